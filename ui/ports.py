"""The port of a server, before it is opened."""

import socket

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import describe_os_error

__all__ = ["require_free_port"]


def require_free_port(host: str, port: int) -> None:
    """Raise `InputError` where a port cannot be listened on."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        socket.create_server((host, port), family=found[0][0]).close()
    except OSError as error:
        got = f"got --host {host} --port {port}, which cannot be listened on"
        raise InputError(f"{got} ({describe_os_error(error)}); choose another") from None
