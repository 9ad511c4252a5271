"""The page's server in a process of its own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

__all__ = ["review_server", "served_process", "web_server"]


@contextmanager
def web_server(folder: Path, *options: object) -> Iterator[str]:
    """Serve the page with its sessions in ``folder``, and yield its address once it answers."""
    with served_process(folder, *options) as (address, _):
        yield address


@contextmanager
def served_process(folder: Path, *options: object) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Serve the page as `web_server` does, and yield its process as well."""
    with _serve("web", "/config", "--db", folder / "web.db", *options) as served:
        yield served


@contextmanager
def review_server(*options: object) -> Iterator[str]:
    """Serve the reading page, and yield its address once it answers."""
    with _serve("review", "/", *options) as (address, _):
        yield address


@contextmanager
def _serve(name: str, path: str, *options: object) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "ibisagent.ui", name, "--port", str(port)]
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([*command, *map(str, options)])
    try:
        until = time.monotonic() + 120
        while not _answers(f"{address}{path}"):
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.2)
        yield address, process
    finally:
        process.terminate()
        process.wait(30)


def _answers(address: str) -> bool:
    try:
        httpx.get(address, trust_env=False, timeout=5)
    except httpx.HTTPError:
        return False
    return True
