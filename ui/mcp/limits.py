"""What one server gives to its clients at most."""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Past any of these a call is refused in a line.

    ``file_bytes``: of a file, of a folder's files together, or of a data URL. ``message_bytes``: of an HTTP request.
    ``pixels``: of the displayed picture. ``sessions``: the one that was used least recently ends for a new one.
    ``seconds``: a session that was not used for so long ends. ``steps``: of a session. ``runs``: at the same time; more
    of them wait. ``connections``: open at a time over HTTP.
    """

    file_bytes: int = 512 * 2**20
    message_bytes: int = 32 * 2**20
    pixels: int = 2**24
    sessions: int = 32
    seconds: float = 3600.0
    steps: int = 400
    runs: int = 4
    connections: int = 256
