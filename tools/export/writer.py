"""The entry point of export: the format by the file's extension, the file whole or not at all."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from ibisagent.tools.errors import InputError
from ibisagent.tools.export.provenance import Provenance
from ibisagent.tools.files import VOLUME_ENDINGS, atomic_write, local_path, printable_text, require_writable_folder
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.conversion import as_mask

__all__ = ["EXTENSIONS", "get_extension", "require_savable", "save_mask"]

_WRITERS = {
    ".png": "png_json",
    ".json": "png_json",
    ".nii": "nifti_writer",
    ".nii.gz": "nifti_writer",
    ".nrrd": "nrrd_writer",
    ".dcm": "dicom_seg",
}
EXTENSIONS = tuple(_WRITERS)
"""What a mask's file may end with, which says its format."""


def save_mask(
    path: str | os.PathLike[str], mask: Any, image: MedicalImage, provenance: Provenance | None = None
) -> None:
    """Write a mask of ``image``, (H, W) bool or any other form that `as_mask` takes, by extension, whole or not at all.

    ``.png``: 0 and 255, the displayed picture. ``.json``: its COCO run lengths. ``.nii``, ``.nii.gz``, ``.nrrd``: uint8
    on the whole source volume in its own place, 0 elsewhere, for an image with a place. ``.dcm``: a DICOM segmentation
    that refers to the source's instances, for a DICOM image; it warns when ``provenance.target`` has no code. Anything
    else, an unwritable folder or another shape is an `InputError` before anything is written.
    """
    target, writer = _find_writer(path, image)
    whole = as_mask(mask, shape=image.shape, name=printable_text(target))
    with atomic_write(target) as temporary:
        writer.write(temporary, whole, image, provenance or Provenance())


def require_savable(path: str | os.PathLike[str], image: MedicalImage) -> tuple[Path, str]:
    """Refuse with `InputError` what `save_mask` would refuse, before there is a mask; return path and extension."""
    target, _ = _find_writer(path, image)
    return target, get_extension(target)


def _find_writer(path: str | os.PathLike[str], image: MedicalImage) -> tuple[Path, Any]:
    """Return the path and the module that writes it, after that has accepted the image."""
    target = local_path(path)
    ending = get_extension(target)
    if ending not in _WRITERS:
        *most, last = _WRITERS
        raise InputError(
            f"{printable_text(target)}: got ending {ending!r}, expected {', '.join(most)} or {last}; change it"
        )
    writer = import_module(f"ibisagent.tools.export.{_WRITERS[ending]}")
    writer.require(printable_text(target), image)
    require_writable_folder(target.parent)
    return target, writer


def get_extension(path: Path) -> str:
    """Return a file name's extension in lower case, that of a packed volume, such as ``.nii.gz``, as one."""
    name = path.name.lower()
    packed = (ending for ending in VOLUME_ENDINGS if ending.endswith(".gz") and name.endswith(ending))
    return next(packed, path.suffix.lower())
