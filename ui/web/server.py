"""The server of the page: it prints the address once its port is open."""

import socket
import sys

import uvicorn

__all__ = ["PageServer"]


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
