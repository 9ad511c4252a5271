"""One process at a time on a thread: a lock of the operating system, which ends with its process however that dies."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import label, reason_of

__all__ = ["claimed"]

_HELD = (BlockingIOError, PermissionError)  # what a lock that another has raises: on POSIX, on Windows


@contextmanager
def claimed(database: Path, thread: str, folder: Path) -> Iterator[None]:
    """Hold a thread of a file of checkpoints; `InputError` at once where another process, or part of this one, does.

    ``folder``: beside the file, made if it is not there. The empty files that it keeps, one a thread, lock nobody out.
    """
    path = folder / f"{hashlib.sha256(thread.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(
            f"{label(path)}: cannot be made ({reason_of(error)}); name a --db where you may write"
        ) from error
    try:
        _lock(held, f"thread {thread!r} in {label(database)}")
        yield
    finally:
        os.close(held)  # which unlocks it


if sys.platform == "win32":
    import msvcrt

    def _take(held: int) -> None:
        msvcrt.locking(held, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(held: int) -> None:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock(held: int, named: str) -> None:
    try:
        _take(held)
    except _HELD as error:
        raise InputError(f"{named} is being run by another process; wait for it, or name another --thread") from error
    except OSError as error:
        raise InputError(f"{named} cannot be locked ({reason_of(error)}); keep --db on a local disk") from error
