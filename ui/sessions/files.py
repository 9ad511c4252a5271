"""Images and masks that clients name or send: data URLs, files below the allowed roots, uploads; within the limits."""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ibisagent.agent.integrations.error_messages import redact_error
from ibisagent.tools.allowed_paths import list_files, resolve
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import VOLUME_ENDINGS, require_file
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.session_errors import FilesNotServed

__all__ = ["ImageFile", "Upload", "find_image", "open_image_file", "require_roots", "resolve_allowed", "store_uploads"]

_MIB = 2**20
_ENDINGS = sorted((*VOLUME_ENDINGS, ".npz"), key=len, reverse=True)  # the kinds that are not known by their content


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a client sent: its name there, and its content, or the path of a file with it, which is moved."""

    name: str
    content: bytes | Path = field(repr=False)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A place that `open_image` opens: a data URL, a file, or a folder with a series.

    ``name``: the client's own, which stands for the place in errors. ``uploaded``: its path tells nobody anything.
    """

    place: str | Path = field(repr=False)
    name: str
    uploaded: bool = False


def require_roots(folders: Iterable[Path]) -> tuple[Path, ...]:
    """Resolve the folders from which clients may read; `InputError` for one that is not a folder."""
    roots = tuple(folder.resolve() for folder in folders)
    for root in roots:
        if not root.is_dir():
            raise InputError(f"{root}: got no folder, expected an existing one; create it or name another")
    return roots


def find_image(given: str, roots: Sequence[Path], limits: Limits) -> ImageFile:
    """Find a data URL's picture, or a file or folder below the roots; `InputError` for any other, or a too large one."""
    if given[:5].lower() == "data:":
        with_name = ImageFile(given, given[:5])
        try:
            _require_bytes(len(given) * 3 // 4, limits.file_bytes)
        except InputError as error:
            raise redact_error(error, given) from None
        return with_name
    if not roots:
        raise FilesNotServed
    try:
        return ImageFile(resolve_allowed(given, roots, limits.file_bytes), given)
    except InputError as error:
        raise redact_error(error, given) from None


def open_image_file(
    file: ImageFile, limits: Limits, *, slice: str | None = None, window: str | None = None
) -> MedicalImage:
    """Open an image; `InputError` for what cannot be opened, and for more pixels than allowed."""
    try:
        image = open_image(file.place, slice=slice, window=window)
    except InputError as error:
        raise redact_error(error, file.name) from None
    height, width = image.shape
    if height * width > limits.pixels:
        got = f"got a picture of {height} x {width} pixels"
        raise InputError(f"image: {got}, expected at most {limits.pixels:,} pixels; crop or shrink it")
    return replace(image, uri=None) if file.uploaded else image


def resolve_allowed(given: str, roots: Sequence[Path], most: int) -> Path:
    """Resolve a path, from a root if it is relative; `InputError` where it may not be opened; ``most``: bytes."""
    if not roots:
        raise FilesNotServed
    found = resolve(given, roots)
    if not os.path.isdir(found):  # False for names too long, which raise elsewhere
        require_file(found)
    _require_bytes(sum(file.stat().st_size for file in list_files(found) if file.is_file()), most)
    return found


def store_uploads(uploads: Sequence[Upload], folder: Path, limits: Limits) -> ImageFile:
    """Store uploads in an empty ``folder`` under names of our own: one is a file, several are a series.

    `InputError`: there is none, or together they are too large; then nothing is stored.
    """
    if not uploads:
        raise InputError("image: got no file, expected one or more; choose some")
    name = uploads[0].name
    try:
        _require_bytes(sum(map(_size, uploads)), limits.file_bytes)
    except InputError as error:
        raise redact_error(error, name) from None
    for number, upload in enumerate(uploads):
        path = folder / f"{number:05}{_ending(upload.name)}"
        if isinstance(upload.content, bytes):
            path.write_bytes(upload.content)
        else:
            shutil.move(upload.content, path)
    return ImageFile(folder if len(uploads) > 1 else path, name, uploaded=True)


def _size(upload: Upload) -> int:
    return len(upload.content) if isinstance(upload.content, bytes) else upload.content.stat().st_size


def _ending(name: str) -> str:
    return next((ending for ending in _ENDINGS if name.lower().endswith(ending)), "")


def _require_bytes(size: int, most: int) -> None:
    if size > most:
        got = f"got {-(-size // _MIB):,} MiB, expected at most {most / _MIB:,.3g} MiB"
        raise InputError(f"path: {got}; crop it, or take fewer slices")
