"""Masks: (H, W) bool of the displayed picture, everywhere in the project, read from files.

PNG and JSON files hold that same picture (the upright one where EXIF turns it, as every viewer does); volumes hold the
whole source.
"""

import json
from pathlib import Path
from typing import Any

from ibisagent.tools.errors import InputError
from ibisagent.tools.export import get_extension
from ibisagent.tools.files import VOLUME_ENDINGS, local_path, printable_text, require_file
from ibisagent.tools.imaging import npz, raster, volumes
from ibisagent.tools.imaging.decoding import decode_guard
from ibisagent.tools.imaging.grids import Mask, VolumeGrid
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks import coco_annotations
from ibisagent.tools.masks.conversion import as_mask, is_file_reference, picture_to_mask
from ibisagent.tools.masks.label_values import Label

__all__ = ["read_mask"]


def read_mask(source: Any, image: MedicalImage, *, values: Label | None = None) -> Mask:
    """Read a mask of ``image``: whatever `as_mask` takes, or a PNG (or other picture), NIfTI, NRRD, MetaImage, NPZ or
    JSON file by its path or URI.

    Inside is what is not 0, one value alone: in a picture, one colour beside black, whatever its alpha; in a JPEG,
    whose edges ring, 128 and above; where all is of one colour, its alpha. A picture of many greys is no mask, and a
    map of several labels is one only with ``values``, which picks labels: grey levels, palette indices, voxels, or a
    COCO file's categories. Of several pages or frames the image's own is read, and none where the image is of one. A
    volume must lie on the image's own grid. Another shape or grid is an `InputError`.
    """
    if not is_file_reference(source):
        return as_mask(source, values, shape=image.shape)
    path = local_path(source)
    require_file(path)
    if get_extension(path) in VOLUME_ENDINGS:
        return _read_volume(path, image, values)
    return as_mask(_read_displayed(path, image, values), shape=image.shape, name=printable_text(path.name))


def _read_displayed(path: Path, image: MedicalImage, values: Label | None) -> Mask:
    if get_extension(path) == ".npz":
        return npz.read_mask(path, image.slice, values)
    if get_extension(path) != ".json":
        return _read_picture(path, image, values)
    if values is None:
        return _read_json(path)
    return coco_annotations.read_mask(path, image, values)


def _read_picture(path: Path, image: MedicalImage, values: Label | None) -> Mask:
    picture, number = raster.read_picture(path)
    if number is not None and image.slice is None:
        got = "got a mask of several pages for a picture of one"
        raise InputError(f"{printable_text(path.name)}: {got}, expected one; save only the page that you need")
    if number is not None and image.slice != number:
        picture, _ = raster.read_picture(path, image.slice)
    return picture_to_mask(picture, values, shape=image.shape, name=printable_text(path.name), kind=picture.format)


def _read_json(path: Path) -> Mask:
    with decode_guard(printable_text(path.name), "a JSON object with COCO size and counts"):
        return as_mask(
            json.loads(path.read_bytes()), name=printable_text(path.name)
        )  # of bytes, also with any Unicode's mark


def _read_volume(path: Path, image: MedicalImage, values: Label | None) -> Mask:
    if not isinstance(image.grid, VolumeGrid):
        got = f"got a volume ({get_extension(path)}) as the mask of an image without a place"
        raise InputError(f"{printable_text(path.name)}: {got}, expected a picture; give the mask as PNG or JSON")
    return volumes.read_mask(path, image.grid, values)
