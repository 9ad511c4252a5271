"""Masks: COCO run lengths for state and files, and reading and writing on the image's grid.

A mask is (H, W) bool of the displayed picture everywhere in the project. PNG and JSON files hold that same picture
(the upright one where EXIF turns it, as every viewer does); NIfTI files hold the whole source volume.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco
from typing_extensions import TypedDict

from ibisagent.tools.decoding import MAX_PIXELS, decoding
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic, label, local_path, require_file, require_writable_folder
from ibisagent.tools.grids import Mask, VolumeGrid
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.labels import Label, inside, stored

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["Rle", "area", "decode", "encode", "read_mask", "require_savable", "rle_key", "save_mask"]


class Rle(TypedDict):
    """COCO run lengths: ``size`` [H, W] and ``counts``, compressed, column by column, in ASCII."""

    size: list[int]
    counts: str


def encode(mask: Mask) -> Rle:
    """Encode an (H, W) mask exactly as pycocotools does.

    >>> encode(np.eye(2, dtype=bool))
    {'size': [2, 2], 'counts': '0120'}
    """
    columns = _transposed(np.asarray(mask, dtype=np.bool_).view(np.uint8))
    counts: bytes = coco.encode(columns.T)["counts"]
    return {"size": [int(length) for length in mask.shape], "counts": counts.decode("ascii")}


def decode(rle: Rle) -> Mask:
    """Give the (H, W) mask; `InputError` for what is not an `Rle` or does not fill its size.

    pycocotools' own decoder warns under NumPy 2 and leaves the pixels past the last run uninitialised.
    """
    height, width, runs = _checked(rle)
    inside = np.arange(runs.size, dtype=np.int64) % 2 == 1
    columns = np.repeat(inside.view(np.uint8), runs).reshape(width, height)
    return _transposed(columns).view(np.bool_)


def area(rle: Rle) -> int:
    """Count the mask's pixels without decoding it."""
    return int(_runs(rle["counts"])[1::2].sum())


def rle_key(rle: Rle) -> str:
    """Name a mask by its content, 16 hexadecimal digits."""
    height, width = rle["size"]
    return hashlib.sha256(f"{height}x{width}:{rle['counts']}".encode()).hexdigest()[:16]


def _transposed(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Copy (H, W) to a contiguous (W, H), a few rows at a time so that each cache line is used whole."""
    height, width = array.shape
    out = np.empty((width, height), dtype=np.uint8)
    for row in range(0, height, 32):
        out[:, row : row + 32] = array[row : row + 32].T
    return out


def _checked(rle: Rle) -> tuple[int, int, NDArray[np.int64]]:
    """Give height, width and run lengths of a sound RLE."""
    wrong = "got run lengths that do not fit, expected COCO {'size': [H, W], 'counts': str}; encode the mask anew"
    try:
        height, width = (int(length) for length in rle["size"])
        runs = _runs(rle["counts"])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"mask: {wrong}") from None
    if min(height, width) < 1 or height * width > MAX_PIXELS or int(runs.sum()) != height * width:
        raise InputError(f"mask: {wrong}")
    return height, width, runs


def _runs(counts: str) -> NDArray[np.int64]:
    """Decompress run lengths: signed numbers of 5 bits a character, from the third on relative to the last but one.

    Raises `ValueError` for text that is no such list.
    """
    codes = np.frombuffer(counts.encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
    if codes.size == 0 or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError
    ends = np.flatnonzero((codes & 32) == 0)
    lengths = np.diff(ends, prepend=-1)
    if lengths.max() > 7:  # more than 32 bits
        raise ValueError
    starts = ends - lengths + 1
    shifts = 5 * (np.arange(codes.size) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 31) << shifts, starts)
    runs -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    if runs.min() < 0:
        raise ValueError
    return runs


def read_mask(
    source: str | os.PathLike[str] | NDArray[Any] | Rle, image: MedicalImage, *, values: Label | None = None
) -> Mask:
    """Read a mask of ``image``: an (H, W) array, an `Rle`, or a PNG (or other picture), NIfTI, NPZ or JSON file.

    Inside is what is not 0: in a picture, any colour but black, whatever its alpha; in a JPEG, whose edges ring, 128
    and above. ``values`` picks labels instead: grey levels, palette indices, voxels, or a COCO file's categories. Of
    several pages or frames the image's own is read. A NIfTI mask must lie on the image's own grid. Another shape or
    grid is an `InputError`.
    """
    if isinstance(source, np.ndarray):
        return _fitting(_numbers(source, values), image, "array")
    if isinstance(source, dict):
        return _fitting(inside(decode(source), values), image, "mask")
    path = local_path(source)
    require_file(path)
    if _ending(path) in (".nii", ".nii.gz"):
        return _read_volume(path, image, values)
    return _fitting(_read_flat(path, image, values), image, label(path.name))


def _read_flat(path: Path, image: MedicalImage, values: Label | None) -> Mask:
    if _ending(path) == ".npz":
        from ibisagent.tools import npz

        return npz.read_mask(path, image.slice, values)
    if _ending(path) != ".json":
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
        remedy = "give the mask as PNG or JSON"
        raise InputError(f"{label(path.name)}: got a NIfTI mask of an image that is not NIfTI, expected PNG; {remedy}")
    from ibisagent.tools import nifti

    return nifti.read_mask(path, image.grid, values)


def save_mask(path: str | os.PathLike[str], mask: Mask, image: MedicalImage) -> None:
    """Write an (H, W) mask of ``image`` by extension, whole or not at all.

    ``.png``: 0 and 255, the displayed picture. ``.json``: its `Rle`. ``.nii``, ``.nii.gz``: uint8 on the whole source
    volume, with its affine and codes, only for an image that came from NIfTI. Anything else, an unwritable folder or
    another shape is an `InputError` before anything is written.
    """
    target, ending = require_savable(path, image)
    _fitting(mask, image, label(target.name))
    with atomic(target) as temporary:
        _write(temporary, ending, np.asarray(mask, dtype=np.bool_), image)


def require_savable(path: str | os.PathLike[str], image: MedicalImage) -> tuple[Path, str]:
    """Refuse with `InputError` what `save_mask` would refuse, before there is a mask; give the path and its ending."""
    target = local_path(path)
    ending = _ending(target)
    if ending not in (".png", ".json", ".nii", ".nii.gz"):
        raise InputError(f"{label(target)}: got ending {ending!r}, expected .png, .nii, .nii.gz or .json; change it")
    if ending.startswith(".nii") and not isinstance(image.grid, VolumeGrid):
        raise InputError(f"{label(target)}: got a 2-D image, expected a NIfTI one for {ending}; save .png or .json")
    require_writable_folder(target.parent)
    return target, ending


def _write(path: Path, ending: str, mask: Mask, image: MedicalImage) -> None:
    if ending == ".json":
        path.write_text(json.dumps(encode(mask)), "utf-8")
    elif isinstance(image.grid, VolumeGrid) and ending != ".png":
        from ibisagent.tools import nifti

        nifti.write_mask(path, mask, image.grid)
    else:
        from PIL import Image

        Image.fromarray(mask.astype(np.uint8) * 255).save(path, format="PNG")


def _ending(path: Path) -> str:
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()
