"""One process at a time on a thread or a file: the operating system's lock, released when its process ends or dies."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import describe_os_error, printable_text

__all__ = ["lock_file", "lock_thread"]

_LOCKED_ERRORS = (BlockingIOError, PermissionError)  # raised where another process holds the lock: on POSIX, on Windows


@contextmanager
def lock_thread(database: Path, thread: str, folder: Path) -> Iterator[None]:
    """Lock a thread of a checkpoint file; `InputError` at once where another process, or another part of this one, has.

    ``folder``: for the lock files, created if missing. The empty files that stay in it, one a thread, block nobody.
    """
    name = hashlib.sha256(thread.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    busy = "is being run by another process; wait for it, or name another --thread"
    with lock_file(folder / f"{name}.lock", f"thread {thread!r} in {printable_text(database)}", busy):
        yield


@contextmanager
def lock_file(path: Path, what: str, busy: str) -> Iterator[None]:
    """Lock a file, created with its folder if missing; it stays, empty, and blocks nobody once this has ended.

    `InputError` at once, that ``what`` is ``busy``, where another process, or another part of this one, has the lock.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(
            f"{printable_text(path)}: cannot be made ({describe_os_error(error)}); name a --db where you may write"
        ) from error
    try:
        _lock(descriptor, what, busy)
        yield
    finally:
        os.close(descriptor)  # which unlocks it


if sys.platform == "win32":
    import msvcrt

    def _acquire(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _acquire(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock(descriptor: int, what: str, busy: str) -> None:
    try:
        _acquire(descriptor)
    except _LOCKED_ERRORS as error:
        raise InputError(f"{what} {busy}") from error
    except OSError as error:
        raise InputError(f"{what} cannot be locked ({describe_os_error(error)}); keep --db on a local disk") from error
