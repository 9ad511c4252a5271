"""Access to the files that clients name: below the allowed roots, and within the limits."""

import os
from collections.abc import Sequence
from pathlib import Path

from ibisagent.tools.allowed_paths import list_files, require_roots, resolve
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import require_file
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.ui.mcp.limits import Limits

__all__ = ["open_allowed", "require_roots", "resolve_allowed"]

_MIB = 2**20


def open_allowed(
    given: str, roots: Sequence[Path], limits: Limits, *, slice: str | None = None, window: str | None = None
) -> MedicalImage:
    """Open a data URL, or a file or folder under the roots; `InputError` for any other, and over the limits."""
    if given[:5].lower() == "data:":
        _require_bytes(len(given) * 3 // 4, limits.file_bytes)
        image = open_image(given, slice=slice, window=window)
    else:
        image = open_image(resolve_allowed(given, roots, limits.file_bytes), slice=slice, window=window)
    height, width = image.shape
    if height * width > limits.pixels:
        got = f"got a picture of {height} x {width} pixels"
        raise InputError(f"image: {got}, expected at most {limits.pixels:,} pixels; crop or shrink it")
    return image


def resolve_allowed(given: str, roots: Sequence[Path], most: int) -> Path:
    """Resolve a path, from a root if it is relative; `InputError` where it may not be opened; ``most``: bytes."""
    if not roots:
        raise InputError("path: this server reads no files; give a data URL, or start it with --root")
    found = resolve(given, roots)
    if not os.path.isdir(found):  # False for names too long, which raise elsewhere
        require_file(found)
    _require_bytes(sum(file.stat().st_size for file in list_files(found) if file.is_file()), most)
    return found


def _require_bytes(size: int, most: int) -> None:
    if size > most:
        got = f"got {-(-size // _MIB):,} MiB, expected at most {most / _MIB:,.3g} MiB"
        raise InputError(f"path: {got}; crop it, or take fewer slices")
