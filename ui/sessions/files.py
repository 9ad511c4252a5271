"""Images and masks that clients name or send: data URLs, files below the allowed roots, uploads; within the limits."""

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ibisagent.agent.integrations.error_messages import redact_error
from ibisagent.tools.allowed_paths import list_files, resolve
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import VOLUME_ENDINGS, require_file
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.reading import read_mask
from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.session_errors import FilesNotServed, UnknownSession

__all__ = [
    "HANDLE",
    "ImageFile",
    "ImageSource",
    "MaskSource",
    "Upload",
    "file_ending",
    "find_image",
    "new_handle",
    "open_image_file",
    "read_given_mask",
    "resolve_allowed",
]

HANDLE = re.compile(r"[\w-]{32}")
"""The format of a session's handle."""

_MIB = 2**20
_ENDINGS = sorted(VOLUME_ENDINGS, key=len, reverse=True)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a client sent: its name there, and its content, or the path of a file with it, which is moved."""

    name: str
    content: bytes | Path = field(repr=False)


ImageSource = str | Sequence[Upload]
"""A data URL, a path below a root, or uploads: one file, or the files of a series."""

MaskSource = str | Mapping[str, Any] | Upload
"""A path below a root or the handle of a session, COCO run lengths, or an upload."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A place that `open_image` opens: a data URL, a file, or a folder with a series.

    ``name``: the client's own, which stands for the place in errors. ``upload_folder``: of our own, with the uploads in
    it; the picture then has no path that tells anybody anything.
    """

    place: str | Path = field(repr=False)
    name: str
    upload_folder: Path | None = None

    def delete_upload(self) -> None:
        """Delete the uploads, if it is of some."""
        if self.upload_folder is not None:
            shutil.rmtree(self.upload_folder, ignore_errors=True)


def new_handle() -> str:
    """Return a new secret name of a session or a reader: 32 hexadecimal digits, so that no command reads an option."""
    return secrets.token_hex(16)


def find_image(given: ImageSource, roots: Sequence[Path], limits: Limits) -> ImageFile:
    """Find a data URL's picture or a file or folder below the roots, or store uploads in a new folder.

    `InputError`: it lies elsewhere, or is too large.
    """
    if not isinstance(given, str):
        return _store_uploads(given, limits)
    if not roots and not _is_data_url(given):
        raise FilesNotServed
    try:
        if not _is_data_url(given):
            return ImageFile(resolve_allowed(given, roots, limits.file_bytes), given)
        _require_bytes(len(given) * 3 // 4, limits.file_bytes)
    except InputError as error:
        raise redact_error(error, given) from None
    return ImageFile(given, given[:5])


def _is_data_url(given: str) -> bool:
    return given[:5].lower() == "data:"


def _store_uploads(uploads: Sequence[Upload], limits: Limits) -> ImageFile:
    """Store uploads under names of our own in a new folder that only this user can read."""
    if not uploads:
        raise InputError("image: got no file, expected one or more; choose some")
    name = uploads[0].name
    try:
        _require_bytes(sum(map(_size, uploads)), limits.file_bytes)
    except InputError as error:
        raise redact_error(error, name) from None
    folder = Path(tempfile.mkdtemp(prefix="ibisagent-"))
    for number, upload in enumerate(uploads):
        path = folder / f"{number:05}{file_ending(upload.name)}"
        if isinstance(upload.content, bytes):
            path.write_bytes(upload.content)
        else:
            shutil.move(upload.content, path)
    return ImageFile(folder if len(uploads) > 1 else path, name, folder)


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
    return image if file.upload_folder is None else replace(image, uri=None)


def resolve_allowed(given: str, roots: Sequence[Path], most: int) -> Path:
    """Resolve a path, from a root if it is relative; `InputError` where it may not be opened; ``most``: bytes."""
    if not roots:
        raise FilesNotServed
    found = resolve(given, roots)
    if not os.path.isdir(found):  # False for names too long, which raise elsewhere
        require_file(found)
    _require_bytes(sum(file.stat().st_size for file in list_files(found) if file.is_file()), most)
    return found


def read_given_mask(
    given: MaskSource | None, image: MedicalImage, roots: Sequence[Path], limits: Limits
) -> Mask | None:
    """Read a mask of ``image``, (H, W) bool, from a path, COCO run lengths or an upload; None for None.

    `InputError`: it cannot be read, may not be, or is of another size; `UnknownSession`: it is a handle of no session.
    """
    if given is None:
        return None
    if isinstance(given, Mapping):
        return _read_run_lengths(given, image)
    try:
        if isinstance(given, str):
            return read_mask(resolve_allowed(given, roots, limits.file_bytes), image)
        return _read_uploaded_mask(_store_uploads([given], limits), image)
    except InputError as error:
        if isinstance(given, str) and HANDLE.fullmatch(given):
            raise UnknownSession("mask") from None
        if isinstance(error, FilesNotServed):
            raise
        raise redact_error(error, "mask") from None


def _read_uploaded_mask(file: ImageFile, image: MedicalImage) -> Mask:
    try:
        return read_mask(file.place, image)
    finally:
        file.delete_upload()


def _read_run_lengths(given: Mapping[str, Any], image: MedicalImage) -> Mask:
    if given.get("size") != list(image.shape):  # before memory is allocated for it
        size = list(image.shape)
        got = f"got run lengths of the size {str(given.get('size'))[:40]}"
        raise InputError(f"mask: {got}, expected COCO ones of the image's {size}; encode it anew")
    return read_mask(given, image)


def _size(upload: Upload) -> int:
    return len(upload.content) if isinstance(upload.content, bytes) else upload.content.stat().st_size


def file_ending(name: str) -> str:
    """Return the ending of a file's name, in small letters, "" for one of an unknown form."""
    known = next((ending for ending in _ENDINGS if name.lower().endswith(ending)), None)
    other = re.search(r"\.[a-z][a-z0-9]{0,4}$", name.lower())
    return known or (other[0] if other else "")


def _require_bytes(size: int, most: int) -> None:
    if size > most:
        got = f"got {-(-size // _MIB):,} MiB, expected at most {most / _MIB:,.3g} MiB"
        raise InputError(f"path: {got}; crop it, or take fewer slices")
