"""Paths restricted to allowed folders: a path is resolved first, every link in it followed, and then checked."""

import os
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import PAIR_ENDINGS, VOLUME_ENDINGS, find_paired_file, local_path, require_file

__all__ = ["find_root", "list_files", "require_roots", "resolve"]

_HEADER = 2**20  # bytes at the head of a volume in which it may name another file
_MAX_FILES = 2**16 + 1  # more than a series may have, which its reader refuses


def require_roots(folders: Iterable[Path]) -> tuple[Path, ...]:
    """Resolve the folders that may be read; `InputError` for one that is not a folder."""
    roots = tuple(folder.resolve() for folder in folders)
    for root in roots:
        if not root.is_dir():
            raise InputError(f"--root {root}: got no folder, expected an existing one; create it or name another")
    return roots


def resolve(given: str, roots: Sequence[Path]) -> Path:
    """Resolve a path, from a root if it is relative; ``roots`` are resolved already.

    `InputError`, in the same words whether it exists or not: it lies outside all roots, or something that would be
    read with it does, such as a file of a folder or the data file that a volume's header names.
    """
    path = local_path(given)
    inside = [place for place in (_resolve_links(root / path) for root in roots) if given and find_root(place, roots)]
    if not inside:
        raise _outside_error()
    found = next((place for place in inside if os.path.exists(place)), inside[0])
    if any(find_root(_resolve_links(file), roots) is None for file in list_files(found)):
        raise _outside_error()
    return found


def list_files(path: Path) -> list[Path]:
    """List what opening a path may read: itself and the data files that it names, or all files of a folder."""
    if os.path.isdir(path):
        names = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
        return list(islice(names, _MAX_FILES))
    return [path, *_find_companions(path)]


def find_root(path: Path, roots: Sequence[Path]) -> Path | None:
    """Return the root that a resolved path lies under."""
    return next((root for root in roots if path.is_relative_to(root)), None)


def _outside_error() -> InputError:
    return InputError("path: got one outside the folders that may be read, expected one inside them; name another")


def _resolve_links(path: Path) -> Path:
    try:
        found = path.resolve()
    except (OSError, ValueError, RuntimeError):  # a name too long, a null character, links in a circle
        raise _outside_error() from None
    # Links in a circle raise nothing from Python 3.13 on; they are left in the path.
    if any(os.path.islink(place) for place in (found, *found.parents)):
        raise _outside_error()
    return found


def _find_companions(path: Path) -> list[Path]:
    """List the files beside a header that may be its data file, or whose name makes them its pair."""
    if path.name.lower().endswith(PAIR_ENDINGS):
        half = find_paired_file(path)
        return [] if half is None else [half]
    if not path.name.lower().endswith(VOLUME_ENDINGS):
        return []
    require_file(path)
    with path.open("rb") as file:
        lines = file.read(_HEADER).decode("utf-8", "replace").split("\n")  # as the readers take them
    naming = [line for line in lines if "datafile" in line.lower().replace(" ", "")]
    return [path.parent / name for name in os.listdir(path.parent) if any(name in line for line in naming)]
