"""Masks: (H, W) bool of the displayed picture, everywhere in the project; as run lengths, from files and into files.

PNG and JSON files hold that same picture (the upright one where EXIF turns it, as every viewer does); volumes hold the
whole source.
"""

import json
from pathlib import Path
from typing import Any

from ibisagent.tools.decoding import decoding
from ibisagent.tools.errors import InputError
from ibisagent.tools.export import About, ending_of, require_savable, save_mask
from ibisagent.tools.files import VOLUME_ENDINGS, label, local_path, require_file
from ibisagent.tools.grids import Mask, VolumeGrid
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.labels import Label
from ibisagent.tools.mask_forms import as_mask, is_file, of_picture
from ibisagent.tools.rle import Rle, area, decode, encode, rle_key

__all__ = [
    "About",
    "Rle",
    "area",
    "as_mask",
    "decode",
    "encode",
    "is_file",
    "read_mask",
    "require_savable",
    "rle_key",
    "save_mask",
]


def read_mask(source: Any, image: MedicalImage, *, values: Label | None = None) -> Mask:
    """Read a mask of ``image``: whatever `as_mask` takes, or a PNG (or other picture), NIfTI, NRRD, MetaImage, NPZ or
    JSON file by its path or URI.

    Inside is what is not 0, one value alone: in a picture, one colour beside black, whatever its alpha; in a JPEG,
    whose edges ring, 128 and above; where all is of one colour, its alpha. A picture of many greys is no mask, and a
    map of several labels is one only with ``values``, which picks labels: grey levels, palette indices, voxels, or a
    COCO file's categories. Of several pages or frames the image's own is read, and none where the image is of one. A
    volume must lie on the image's own grid. Another shape or grid is an `InputError`.
    """
    if not is_file(source):
        return as_mask(source, values, shape=image.shape)
    path = local_path(source)
    require_file(path)
    if ending_of(path) in VOLUME_ENDINGS:
        return _read_volume(path, image, values)
    return as_mask(_read_flat(path, image, values), shape=image.shape, name=label(path.name))


def _read_flat(path: Path, image: MedicalImage, values: Label | None) -> Mask:
    if ending_of(path) == ".npz":
        from ibisagent.tools import npz

        return npz.read_mask(path, image.slice, values)
    if ending_of(path) != ".json":
        return _read_picture(path, image, values)
    if values is None:
        return _read_json(path)
    from ibisagent.tools import coco as annotations

    return annotations.read_mask(path, image, values)


def _read_picture(path: Path, image: MedicalImage, values: Label | None) -> Mask:
    from ibisagent.tools import raster

    picture, number = raster.read_picture(path)
    if number is not None and image.slice is None:
        got = "got a mask of several pages for a picture of one"
        raise InputError(f"{label(path.name)}: {got}, expected one; save the page that is meant by itself")
    if number is not None and image.slice != number:
        picture, _ = raster.read_picture(path, image.slice)
    return of_picture(picture, values, shape=image.shape, name=label(path.name), kind=picture.format)


def _read_json(path: Path) -> Mask:
    with decoding(label(path.name), "a JSON object with COCO size and counts"):
        return as_mask(json.loads(path.read_bytes()), name=label(path.name))  # of bytes, also with any Unicode's mark


def _read_volume(path: Path, image: MedicalImage, values: Label | None) -> Mask:
    if not isinstance(image.grid, VolumeGrid):
        got = f"got a volume ({ending_of(path)}) as the mask of an image without a place"
        raise InputError(f"{label(path.name)}: {got}, expected a picture; give the mask as PNG or JSON")
    from ibisagent.tools import volumes

    return volumes.read_mask(path, image.grid, values)
