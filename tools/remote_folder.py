"""Folders at an address such as ``s3://bucket/set`` or ``http://host/set``: a file is fetched when it is needed.

fsspec opens the address; what is fetched is kept below `~/.cache/ibisagent` (``XDG_CACHE_HOME``) under the same names.
"""

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from ibisagent.tools.errors import IbisError, InputError, MissingExtra, describe_error
from ibisagent.tools.files import describe_os_error, printable_text

__all__ = ["RemoteFolder", "is_address", "open_folder", "remote_errors", "require_no_address"]

_ADDRESS = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+://", re.IGNORECASE)
_SECRET = re.compile(r"(?<=//)[^/@]*@")


def is_address(text: str | os.PathLike[str]) -> bool:
    """Whether a text is an address and no local path or ``file:`` URI.

    >>> is_address("s3://bucket/set"), is_address("file:///data/set"), is_address("data/set")
    (True, False, False)
    """
    return bool(_ADDRESS.match(os.fspath(text)))


def require_no_address(text: str | os.PathLike[str], local_only: bool) -> None:
    """Refuse an address with `InputError` where nothing may leave this machine."""
    if local_only and is_address(text):
        got = f"{_shown(os.fspath(text))}: got an address under --local-only"
        raise InputError(f"{got}, expected a local folder; download it and name that, or leave --local-only out")


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder at an ``address``; ``folder``: the local one that holds what was fetched, the same on every machine."""

    address: str
    folder: Path

    def __str__(self) -> str:
        """Return the address without a password."""
        return _shown(self.address)

    def connect(self) -> tuple[Any, str]:
        """Return fsspec's file system and this folder's path in it.

        `InputError` for a protocol that is unknown or whose package is missing, `MissingExtra` without fsspec.
        """
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise MissingExtra.of("fsspec", "remote") from None
        try:
            system, root = url_to_fs(self.address)
        except ImportError as error:
            remedy = "install it here and on every node (for http: the extra remote)"
            got = f"got an address whose package is missing ({describe_error(error, 200)})"
            raise InputError(f"{self}: {got}, expected it; {remedy}") from error
        except Exception as error:  # ValueError of an unknown protocol, or what a protocol's package raises
            got = f"got an address that cannot be opened ({describe_error(error, 200)})"
            raise InputError(f"{self}: {got}, expected one that fsspec knows; check it") from error
        return system, str(root).rstrip("/")

    def fetch(self, path: Path) -> None:
        """Bring the file whose local path is ``path``, unless it is here and has not changed at the address.

        Of several processes one fetches it. `InputError`: it lies outside of this folder, is not at the address, or
        cannot be read there or written here.
        """
        local = Path(os.path.normpath(path))
        if not local.is_relative_to(self.folder):
            got = f"{printable_text(path)}: got a path outside of {self}"
            raise InputError(f"{got}, expected one inside it; write it relative to manifest.csv")
        name = local.relative_to(self.folder).as_posix()
        system, root = self.connect()
        there = f"{root}/{quote(name) if root.startswith(('http:', 'https:')) else name}"
        with remote_errors(f"{self}/{name}", "read"):
            about = system.info(there)
            stamp = hashlib.sha256(repr(sorted(about.items())).encode()).hexdigest()
        if about.get("type") == "directory":
            raise InputError(f"{self}/{name}: got a folder, expected a file; pack a series into a zip file")
        self._keep(local, stamp, lambda part: _download(system, there, part, f"{self}/{name}"))

    @staticmethod
    def _keep(local: Path, stamp: str, download: Callable[[Path], None]) -> None:
        """Download a file unless the mark beside it, which is also its lock, has this stamp."""
        try:
            local.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with local.with_name(f".{local.name}.mark").open("a+", encoding="utf-8") as mark:
                _lock(mark)
                mark.seek(0)
                if mark.read() == stamp and local.is_file():
                    return
                part = local.with_name(f".{local.name}.part")
                download(part)
                os.replace(part, local)
                mark.truncate(0)
                mark.write(stamp)
        except OSError as error:
            got = f"{printable_text(local)}: could not be written ({describe_os_error(error)})"
            raise InputError(
                f"{got}; free space, or set XDG_CACHE_HOME to a folder that every node can make"
            ) from error


def _lock(file: IO[str]) -> None:
    """Wait for the lock of an open file, which its closing releases."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)


def _download(system: Any, there: str, part: Path, name: str) -> None:
    with remote_errors(name, "read"):
        system.get_file(there, str(part))


def open_folder(address: str) -> RemoteFolder:
    """Return the folder at an address; nothing is read yet. `InputError` as `RemoteFolder.connect` raises it."""
    address = address.rstrip("/")
    name = re.sub(r"[^A-Za-z0-9]+", "-", _shown(address).rpartition("/")[2])[:40]
    digest = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    remote = RemoteFolder(address, Path(os.path.abspath(cache), "ibisagent", f"{name}-{digest}"))
    remote.connect()
    return remote


@contextmanager
def remote_errors(where: str, done: str) -> Iterator[None]:
    """Turn whatever a file system raises into an `InputError`; ``done``: what was tried, "read" or "written"."""
    try:
        yield
    except IbisError:
        raise
    except Exception as error:  # every protocol's package has errors of its own
        reason = error.__cause__ if isinstance(error, FileNotFoundError) else error  # so fsspec raises any of http
        if reason is None or getattr(reason, "status", None) == 404:
            raise InputError(f"{where}: got nothing there, expected a file or folder; check the address") from None
        got = f"{where}: could not be {done} ({_shown(describe_error(reason, 200))})"
        raise InputError(f"{got}; check the address, the network and your rights there") from error


def _shown(address: str) -> str:
    return _SECRET.sub("", address)
