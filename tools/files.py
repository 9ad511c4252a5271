"""Local files: paths from what a user typed, and files written whole or not at all."""

import hashlib
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ibisagent.tools.errors import InputError

__all__ = [
    "PAIR_ENDINGS",
    "VOLUME_ENDINGS",
    "atomic_write",
    "describe_os_error",
    "find_paired_file",
    "hash_files",
    "local_path",
    "make_folder",
    "printable_text",
    "require_file",
    "require_writable_folder",
]

PAIR_ENDINGS = (".hdr", ".hdr.gz", ".img", ".img.gz")
"""Endings of the header and the voxels of a NIfTI volume in two files."""

VOLUME_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", *PAIR_ENDINGS)

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
_MAX_PRINTED = 120


def printable_text(source: object) -> str:
    """Return a path or other text made printable for an error: one line, and only the tail of a very long one."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(source)).split())
    return text if len(text) <= _MAX_PRINTED else f"...{text[-_MAX_PRINTED:]}"


def describe_os_error(error: OSError) -> str:
    """Return the system's own text for a failure, for use in an error."""
    return error.strerror or type(error).__name__


def local_path(source: str | os.PathLike[str]) -> Path:
    """Turn a path or a ``file:`` URI into a path; any other URL is refused with `InputError`, nothing is fetched."""
    text = os.fspath(source)
    if text.lower().startswith("file:"):
        return _parse_file_uri(text)
    scheme = _SCHEME.match(text)
    if scheme:
        remedy = "nothing is fetched from the network; download the file and give its path"
        raise InputError(f"{printable_text(text)}: got a {scheme[1]} address, expected a local file; {remedy}")
    return Path(text)


def _parse_file_uri(uri: str) -> Path:
    try:
        parts = urlsplit(uri)
    except ValueError:  # unbalanced brackets
        raise InputError(f"{printable_text(uri)}: got no valid URI, expected file:///path; correct it") from None
    if parts.netloc not in ("", "localhost"):
        raise InputError(f"{printable_text(uri)}: got another machine's file, expected a local one; copy it here")
    return Path(unquote(parts.path))


def require_file(path: Path) -> None:
    """Refuse with `InputError` what is not a readable, regular file that holds something."""
    try:
        got = _describe_file_fault(path)
    except (OSError, ValueError):  # a name too long for the file system, a null byte, a folder that may not be entered
        got = "got a path that cannot be looked up"
    if got:
        raise InputError(f"{printable_text(path)}: {got}, expected a readable file; check the path")


def _describe_file_fault(path: Path) -> str | None:
    if not path.exists():
        return "got a path with no file"
    if path.is_dir():
        return "got a folder"
    if not path.is_file():
        return "got a device or pipe"
    if not os.access(path, os.R_OK):
        return "got a file without read permission"
    return "got an empty file" if path.stat().st_size == 0 else None


def require_writable_folder(path: str | os.PathLike[str]) -> None:
    """Refuse with `InputError` a folder that is missing, is not one, or may not be written to."""
    folder = Path(path)
    try:
        got = "no such folder" if not folder.exists() else "not a folder" if not folder.is_dir() else None
    except (OSError, ValueError):
        got = "a path that cannot be looked up"
    if got is None and not os.access(folder, os.W_OK | os.X_OK):
        got = "a folder without write permission"
    if got:
        raise InputError(
            f"{printable_text(folder)}: got {got}, expected a writable folder; create it or choose another"
        )


def make_folder(path: Path) -> None:
    """Create a folder unless it exists; `InputError` when it cannot be created or written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{printable_text(path)}: cannot be created ({describe_os_error(error)}); name a folder with write access"
        ) from error
    require_writable_folder(path)


def find_paired_file(path: Path) -> Path | None:
    """Return the file beside a header (.hdr) that has its voxels (.img), or beside these the header; None without."""
    base, _, ending = path.name.removesuffix(".gz").removesuffix(".GZ").rpartition(".")
    wanted = {"hdr": "img", "img": "hdr"}.get(ending.lower())
    names = [f"{base}.{half}{packed}" for half in (wanted, (wanted or "").upper()) for packed in ("", ".gz")]
    return next((path.with_name(name) for name in names if wanted and path.with_name(name).is_file()), None)


def hash_files(files: Sequence[Path]) -> str:
    """Return the SHA-256, in hex, of the contents of files, one after the other."""
    total = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                total.update(chunk)
    return total.hexdigest()


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside ``path``, with its extensions; without an error it replaces ``path`` at the end.

    The body writes the file itself. Its folder is checked before the body runs; a full disk is an `InputError` too.
    A process that is killed in the body leaves ``path`` as it was.
    """
    target = Path(path)
    require_writable_folder(target.parent)
    if target.is_dir():
        raise InputError(f"{printable_text(target)}: got a folder, expected a file name; add one")
    temporary = target.with_name(f".{uuid.uuid4().hex}{_extensions(target)}")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(
            f"{printable_text(target)}: could not be written ({describe_os_error(error)}); free space or choose another"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _extensions(path: Path) -> str:
    """Keep ``.nii.gz`` whole; writers choose the format by it."""
    return "".join(path.suffixes[-2:]) if path.suffix.lower() == ".gz" else path.suffix


def _flush(path: Path) -> None:
    # Without this a power cut after the rename can leave the new name on an empty file.
    with path.open("rb") as file:
        os.fsync(file.fileno())
