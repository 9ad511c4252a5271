"""File names: ids, stems and splits read from them."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ibisagent.tools.datasets.case import Case

__all__ = ["assign_ids", "is_safe_id", "list_files", "parse_split", "strip_extension", "zero_pad_numbers"]

_MAX_LENGTH = 150  # bytes; a file system takes 255, and a report adds endings of its own
_UNSAFE = re.compile(r"[^\w.+-]+")
_FORBIDDEN = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]|^\.|[. ]$')
_SPLIT = re.compile(r"(?<![a-z])(train|val|test)", re.IGNORECASE)


def strip_extension(name: str) -> str:
    """Leave out a file's ending, ``.nii.gz`` as one.

    >>> strip_extension("liver_001.nii.gz")
    'liver_001'
    """
    return name[:-7] if name.lower().endswith(".nii.gz") else os.path.splitext(name)[0]


def parse_split(text: str) -> str:
    """Read ``train``, ``val`` or ``test`` at the start of a word of a name; empty when none is there.

    >>> parse_split("instances_val2017")
    'val'
    """
    found = _SPLIT.search(text)
    return found[1].lower() if found else ""


def zero_pad_numbers(slice: str) -> str:
    """Write a slice's number in four digits, so that names sort as numbers do.

    >>> zero_pad_numbers("axial:12")
    'axial:0012'
    """
    return re.sub(r"\d+", lambda number: number[0].zfill(4), slice)


def list_files(folder: Path) -> list[str]:
    """List a folder's files by name, sorted, without hidden ones; empty for a folder that is not there."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file())


def is_safe_id(id: str) -> bool:
    """Whether an id can be a file's name on every system."""
    return bool(id) and not _FORBIDDEN.search(id) and len(id.encode("utf-8", "surrogatepass")) <= _MAX_LENGTH + 50


def assign_ids(cases: Iterable[Case]) -> Iterator[Case]:
    """Make ids safe, and unique also where upper and lower case are one, in an order that the files alone decide."""
    taken: dict[str, int] = {}
    for case in sorted(cases, key=lambda case: (case.id, str(case.image), case.slice or "", case.target)):
        id = base = _make_safe(case.id)
        while id.casefold() in taken:
            taken[base.casefold()] += 1
            id = f"{base}-{taken[base.casefold()]}"
        taken[id.casefold()] = 1
        yield case if id == case.id else replace(case, id=id)


def _make_safe(text: str) -> str:
    id = _UNSAFE.sub("-", text).strip(".") or "case"
    long = id.encode("utf-8", "replace")
    if len(long) <= _MAX_LENGTH:
        return id
    return f"{long[: _MAX_LENGTH - 17].decode('utf-8', 'ignore')}-{hashlib.sha256(long).hexdigest()[:16]}"
