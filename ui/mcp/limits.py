"""Limits of one server."""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one server; a call beyond them is refused with one line, unless stated otherwise.

    ``file_bytes``: of a file, of a folder's files together, or of a data URL. ``message_bytes``: of an HTTP request.
    ``pixels``: of the displayed picture. ``sessions``: the least recently used one ends for a new one. ``seconds``:
    a session unused for this long ends. ``steps``: of a session. ``runs``: concurrent ones; further ones wait.
    ``connections``: open at a time over HTTP.
    """

    file_bytes: int = 512 * 2**20
    message_bytes: int = 32 * 2**20
    pixels: int = 2**24
    sessions: int = 32
    seconds: float = 3600.0
    steps: int = 400
    runs: int = 4
    connections: int = 256
