"""Files that a client may name: those under the allowed roots, and no larger than the limits.

A path is resolved first, every link in it followed, and then looked at; so a link that leads out is refused like any
other path outside. What lies outside is refused in the same words whether it is there or not.
"""

import os
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import VOLUME_ENDINGS, local_path, require_file
from ibisagent.tools.images import MedicalImage, open_image
from ibisagent.ui.mcp.limits import Limits

__all__ = ["admitted", "open_allowed", "require_roots", "root_of"]

_HEADER = 2**21  # bytes at the head of a volume in which it may name another file
_MIB = 2**20
_MOST_FILES = 2**16 + 1  # more than a series may have, which its reader refuses


def require_roots(folders: Iterable[Path]) -> tuple[Path, ...]:
    """Resolve the folders that clients may read from; `InputError` for one that is no folder."""
    roots = tuple(folder.resolve() for folder in folders)
    for root in roots:
        if not root.is_dir():
            raise InputError(f"--root {root}: got no folder, expected one that is there; create it or name another")
    return roots


def open_allowed(
    given: str, roots: Sequence[Path], limits: Limits, *, slice: str | None = None, window: str | None = None
) -> MedicalImage:
    """Open a data URL, or a file or folder under the roots; `InputError` for any other and for one over the limits."""
    if given[:5].lower() == "data:":
        _require_bytes(len(given) * 3 // 4, limits.file_bytes)
        image = open_image(given, slice=slice, window=window)
    else:
        image = open_image(admitted(given, roots, limits.file_bytes), slice=slice, window=window)
    height, width = image.shape
    if height * width > limits.pixels:
        got = f"got a picture of {height} x {width} pixels"
        raise InputError(f"image: {got}, expected at most {limits.pixels:,} pixels; crop or shrink it")
    return image


def admitted(given: str, roots: Sequence[Path], most: int) -> Path:
    """Resolve a path, from a root if it is relative, and give it where it may be opened; ``most``: bytes."""
    if not roots:
        raise InputError("path: this server reads no files; give a data URL, or start it with --root")
    path = local_path(given)
    inside = [place for place in (_resolved(root / path) for root in roots) if root_of(place, roots) is not None]
    if not inside:
        raise InputError("path: it lies outside the folders that this server may read; name a file inside them")
    found = next((place for place in inside if os.path.exists(place)), inside[0])
    if os.path.isdir(found):
        every = (Path(folder) / name for folder, _, names in os.walk(found) for name in names)
        files = list(islice(every, _MOST_FILES))
    else:
        require_file(found)
        files = [found, *_named_by(found)]
    if any(root_of(_resolved(file), roots) is None for file in files):
        raise InputError("path: a link leads outside the folders that this server may read; name a file inside them")
    _require_bytes(sum(file.stat().st_size for file in files if file.is_file()), most)
    return found


def root_of(path: Path, roots: Sequence[Path]) -> Path | None:
    """Give the root that a resolved path lies under."""
    return next((root for root in roots if path.is_relative_to(root)), None)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):  # a name too long, a null character, links in a circle
        raise InputError("path: it cannot be looked up; check it") from None


def _named_by(path: Path) -> list[Path]:
    """List the neighbours that a NRRD or MetaImage header may mean by its data file; it can name no others."""
    if not path.name.lower().endswith(VOLUME_ENDINGS):
        return []
    with path.open("rb") as file:
        lines = file.read(_HEADER).decode("utf-8", "replace").split("\n")  # as the readers take them
    naming = [line for line in lines if "datafile" in line.lower().replace(" ", "")]
    return [path.parent / name for name in os.listdir(path.parent) if any(name in line for line in naming)]


def _require_bytes(size: int, most: int) -> None:
    if size > most:
        got = f"it is {-(-size // _MIB):,} MiB, expected at most {most / _MIB:,.3g} MiB"
        raise InputError(f"size: {got}; crop it, or take fewer slices")
