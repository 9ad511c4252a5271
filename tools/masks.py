"""Masks: (H, W) bool of the displayed picture, everywhere in the project; as run lengths, from files and into files.

PNG and JSON files hold that same picture (the upright one where EXIF turns it, as every viewer does); volumes hold the
whole source.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.decoding import decoding
from ibisagent.tools.errors import InputError
from ibisagent.tools.export import About, ending_of, require_savable, save_mask
from ibisagent.tools.files import VOLUME_ENDINGS, label, local_path, require_file
from ibisagent.tools.grids import Mask, VolumeGrid
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.labels import Label, inside, stored
from ibisagent.tools.rle import Rle, area, decode, encode, rle_key

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["About", "Rle", "area", "decode", "encode", "read_mask", "require_savable", "rle_key", "save_mask"]


def read_mask(
    source: str | os.PathLike[str] | NDArray[Any] | Rle, image: MedicalImage, *, values: Label | None = None
) -> Mask:
    """Read a mask of ``image``: an (H, W) array, an `Rle`, or a PNG (or other picture), NIfTI, NRRD,
    MetaImage, NPZ or JSON file.

    Inside is what is not 0: in a picture, any colour but black, whatever its alpha; in a JPEG, whose edges ring, 128
    and above. ``values`` picks labels instead: grey levels, palette indices, voxels, or a COCO file's categories. Of
    several pages or frames the image's own is read. A volume must lie on the image's own grid. Another shape or grid
    is an `InputError`.
    """
    if isinstance(source, np.ndarray):
        return _fitting(_numbers(source, values), image, "array")
    if isinstance(source, dict):
        return _fitting(inside(decode(source), values), image, "mask")
    path = local_path(source)
    require_file(path)
    if ending_of(path) in VOLUME_ENDINGS:
        return _read_volume(path, image, values)
    return _fitting(_read_flat(path, image, values), image, label(path.name))


def _read_flat(path: Path, image: MedicalImage, values: Label | None) -> Mask:
    if ending_of(path) == ".npz":
        from ibisagent.tools import npz

        return npz.read_mask(path, image.slice, values)
    if ending_of(path) != ".json":
        return _read_picture(path, image.slice, values)
    if values is None:
        return _read_json(path)
    from ibisagent.tools import coco as annotations

    return annotations.read_mask(path, image, values)


def _fitting(mask: Mask, image: MedicalImage, name: str) -> Mask:
    if mask.shape != image.shape:
        remedy = "save the mask at the displayed picture's size"
        raise InputError(f"{name}: got a mask of {mask.shape}, expected the image's {image.shape}; {remedy}")
    return mask


def _numbers(array: NDArray[Any], values: Label | None = None) -> Mask:
    if array.dtype.kind not in "biuf":
        raise InputError(f"array: got a mask of {array.dtype}, expected bool or numbers; convert it")
    return inside(array, values)


def _read_picture(path: Path, page: str | None, values: Label | None) -> Mask:
    from ibisagent.tools import raster

    picture, number = raster.read_picture(path)
    if number is not None and page not in (None, number):
        picture, _ = raster.read_picture(path, page)
    lossy = picture.format == "JPEG"
    if values is not None:
        return _read_labels(picture, values, label(path.name), lossy)
    with decoding(label(path.name), "a mask picture"):
        deep = picture.mode == "F" or picture.mode.startswith("I")
        # A palette's colours are what a person saw when drawing; its indices may be in any order.
        array = np.asarray(picture if deep else picture.convert("RGBA").convert("RGB"))
    marked = np.asarray(array >= 128) if lossy else _numbers(array)
    return np.asarray(marked.any(axis=2)) if marked.ndim == 3 else marked


def _read_labels(picture: "PIL.Image.Image", values: Label, name: str, lossy: bool) -> Mask:
    if lossy:
        raise InputError(f"{name}: got labels in a JPEG, which changes them, expected PNG; save them as PNG")
    with decoding(name, "a label picture"):
        return inside(stored(picture), values)


def _read_json(path: Path) -> Mask:
    with decoding(label(path.name), "a JSON object with COCO size and counts"):
        return decode(json.loads(path.read_text("utf-8")))


def _read_volume(path: Path, image: MedicalImage, values: Label | None) -> Mask:
    if not isinstance(image.grid, VolumeGrid):
        got = f"got a volume ({ending_of(path)}) as the mask of an image without a place"
        raise InputError(f"{label(path.name)}: {got}, expected a picture; give the mask as PNG or JSON")
    from ibisagent.tools import volumes

    return volumes.read_mask(path, image.grid, values)
