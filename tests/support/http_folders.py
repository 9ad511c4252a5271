"""A folder served over http on loopback, which counts what is asked of it."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple


class ServedFolder(NamedTuple):
    """The address, and how often each path was asked for by GET."""

    address: str
    gets: Counter[str]


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, gets: Counter[str], *args: Any, **options: Any) -> None:
        self._gets = gets
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        self._gets[self.path] += 1
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing."""


@contextmanager
def serve_folder(folder: Path) -> Iterator[ServedFolder]:
    """Serve a folder until the context is left."""
    gets = Counter[str]()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, gets, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield ServedFolder(f"http://127.0.0.1:{server.server_address[1]}", gets)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
