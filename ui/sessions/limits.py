"""Limits of the sessions of one process."""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the sessions of one process; what goes beyond is refused with one line, unless stated otherwise.

    ``file_bytes``: of a file, of a folder's files together, of one call's uploads, or of a data URL. ``pixels``: of the
    displayed picture. ``sessions``: the least recently used one ends for a new one, one in which nothing runs first.
    ``seconds``: a session unused for this long ends. ``steps``: of a session, on all its branches. ``runs``: concurrent
    ones; further ones wait.
    """

    file_bytes: int = 512 * 2**20
    pixels: int = 2**24
    sessions: int = 32
    seconds: float = 3600.0
    steps: int = 400
    runs: int = 4
