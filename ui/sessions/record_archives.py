"""A zip of a run folder: its records, and the pictures in it that are named by their hash; nothing else is unpacked."""

import re
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ibisagent.tools.datasets.names import is_safe_id
from ibisagent.tools.errors import InputError
from ibisagent.ui.sessions.limits import Limits

__all__ = ["is_record_name", "unpack_records"]

_MOST_FILES = 20_000
_PART = 2**20
_HASHED = re.compile(r"[0-9a-f]{32}\.png")


def is_record_name(name: str) -> bool:
    """Whether a file's name is that of records, or of a picture that a record finds by its hash.

    >>> is_record_name("case-7.json"), is_record_name("scan.png")
    (True, False)
    """
    return is_safe_id(name) and (name.endswith((".json", ".jsonl")) or _HASHED.fullmatch(name) is not None)


def unpack_records(archive: Path, folder: Path, limits: Limits) -> bool:
    """Unpack the records of a zip into a new folder, each picture into the folder itself; whether there were any.

    A member whose path leads out of the archive is left out. `InputError`: it is broken, locked, or larger than
    ``limits.file_bytes`` once unpacked.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            names = {each: path for each in opened.infolist() if (path := _place(each.filename)) is not None}
            if not any(path.suffix != ".png" for path in names.values()):
                return False
            if len(names) > _MOST_FILES:
                raise InputError(f"the zip: got {len(names):,} records, expected at most {_MOST_FILES:,}; send fewer")
            folder.mkdir(mode=0o700)
            left = limits.file_bytes
            for member, path in names.items():
                left = _unpack(opened, member, folder / (path.name if path.suffix == ".png" else path), left)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        raise InputError("the zip: got one that is broken or locked, expected a run folder's; pack it anew") from error
    return True


def _place(name: str) -> PurePosixPath | None:
    """Return a member's path below the folder, None for what is not wanted or would lead elsewhere."""
    path = PurePosixPath(name)
    safe = not path.is_absolute() and all(is_safe_id(part) for part in path.parts)
    return path if safe and is_record_name(path.name) else None


def _unpack(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, left: int) -> int:
    """Write a member, and return how many bytes may still come; what the header says of its size is not believed."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with opened.open(member) as source, target.open("wb") as file:
        target.chmod(0o600)
        while part := source.read(_PART):
            left -= len(part)
            if left < 0:
                raise InputError("the zip: got too much once unpacked, expected a run folder's; send fewer records")
            file.write(part)
    return left
