"""The server of the page: it prints the address once its port is open."""

import socket
import sys

import uvicorn

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import describe_os_error

__all__ = ["PageServer", "require_free"]


class PageServer(uvicorn.Server):
    """A server that prints where its page is."""

    def __init__(self, config: uvicorn.Config, address: str) -> None:
        """Take the address of the page."""
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the port, and print the address."""
        await super().startup(sockets)
        if self.started:
            sys.stderr.write(f"ibisagent: the page is at {self._address}, Ctrl-C to end; not for diagnosis\n")


def require_free(host: str, port: int) -> None:
    """Raise `InputError` where a port cannot be listened on."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        socket.create_server((host, port), family=found[0][0]).close()
    except OSError as error:
        got = f"got --host {host} --port {port}, which cannot be listened on"
        raise InputError(f"{got} ({describe_os_error(error)}); choose another") from None
