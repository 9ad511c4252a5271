"""Masks in any form but a file converted to arrays; `ibisagent.tools.masks.reading` reads files as well."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging import raster
from ibisagent.tools.imaging.decoding import decode_guard
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.label_values import Label, get_stored_values, select_labels
from ibisagent.tools.masks.rle import as_rle, decode

__all__ = ["as_mask", "is_file_reference", "picture_to_mask", "select_foreground"]

_JPEG = ("JPEG", "MPO")
_LOSSY = (*_JPEG, "WEBP")
_UNSURE_LEVELS = (64, 192)  # levels of a lossy picture between which a pixel is on neither side
_EXPECTED_TWO = "expected two (0 and another)"
_REMEDY = "threshold it, or name the label where the values are labels (label in a manifest, values= in Python)"


def is_file_reference(given: Any) -> bool:
    """Whether a mask is given by its file's path or URI; such a one needs its image to be read."""
    return isinstance(given, os.PathLike) or (isinstance(given, str) and given[:5].lower() != "data:")


def as_mask(
    given: Any, values: Label | None = None, *, shape: tuple[int, ...] | None = None, name: str = "mask"
) -> Mask:
    """Return a mask as an (H, W) bool array, from any form but a file.

    Taken are an array, a torch tensor on any device, nested lists, a PIL picture, a base64 data URL, and COCO run
    lengths whose counts are text, bytes or a list. Axes of length 1 beside H and W are dropped. Inside is where
    ``values`` are, by default what is neither 0 nor NaN; more than one such value, another ``shape`` (H, W) than the
    one named, or anything else is an `InputError`.
    """
    if isinstance(given, Mapping):
        _require_run_lengths(given, name)
        whole = decode(as_rle(given, name), name)
        _require_shape(whole.shape, shape, name)
        return select_labels(whole, values)
    if isinstance(given, Image.Image) or (isinstance(given, str) and not is_file_reference(given)):
        picture, kind = _to_upright_picture(given, name)
        return picture_to_mask(picture, values, shape=shape, name=name, kind=kind)
    array = _to_array(given, name)
    _require_shape(array.shape, shape, name)
    return select_labels(array, values) if values is not None else select_foreground(array, name)


def _require_run_lengths(given: Mapping[str, Any], name: str) -> None:
    """Refuse what else COCO files hold, which people take for a mask."""
    if "annotations" in given:
        got, remedy = "a COCO annotation file", "read it with a category (label in a manifest, values= in Python)"
    elif "segmentation" in given:
        got, remedy = "a COCO annotation", "save its segmentation alone, polygons encoded by pycocotools"
    else:
        return
    raise InputError(f"{name}: got {got}, expected the run lengths of one mask, size and counts; {remedy}")


def _require_shape(got: tuple[int, ...], shape: tuple[int, ...] | None, name: str) -> None:
    if len(got) != 2 or shape not in (None, got):
        expected = f"the image's {shape}" if shape else "(H, W)"
        remedy = "save the mask at the displayed picture's size"
        raise InputError(f"{name}: got a mask of {got}, expected {expected}; {remedy}")


def _to_upright_picture(given: Image.Image | str, name: str) -> tuple[Image.Image, str | None]:
    """Return a picture in memory upright, and the format that it came in, which a copy of it has lost."""
    if isinstance(given, Image.Image):
        return raster.turn_upright(given, name), given.format
    picture, _ = raster.decode_data_url(given)
    return picture, picture.format


def _to_array(given: Any, name: str) -> NDArray[Any]:
    expected = "an array, tensor, PIL picture, data URL, nested lists or COCO run lengths"
    if is_file_reference(given) or isinstance(given, bytes):
        got = "a path" if is_file_reference(given) else "bytes"
        raise InputError(
            f"{name}: got {got}, expected {expected}; read a file by ibisagent.tools.masks.reading.read_mask"
        )
    if isinstance(given, list) and any(isinstance(each, Mapping) for each in given):
        got = "a list of objects, as COCO annotations and results are"
        raise InputError(f"{name}: got {got}, expected {expected}; give the segmentation of one")
    try:
        if hasattr(given, "detach"):  # a torch tensor, maybe on a device, maybe of a float that NumPy does not know
            tensor = given.detach().cpu()
            given = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        array = np.asarray(given)
    except Exception:  # ragged lists, and whatever a library has against a conversion
        raise InputError(f"{name}: got {type(given).__name__} without numbers in rows, expected {expected}") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name}: got a mask of {array.dtype}, expected bool or numbers; convert it")
    while array.ndim > 2 and 1 in (array.shape[0], array.shape[-1]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    return array


def select_foreground(array: NDArray[Any], name: str) -> Mask:
    """Return where an array is neither 0 nor NaN; `InputError` where it has more than one such value."""
    mask = select_labels(array, None)
    found = array[mask]
    if found.size and (found != found[0]).any():
        count = np.unique(found).size + (found.size < array.size)
        got = f"{count} values{', none of them 0' if count == 2 else ''}"
        raise InputError(f"{name}: got {got}, {_EXPECTED_TWO}; {_REMEDY}")
    return mask


def picture_to_mask(
    picture: Image.Image, values: Label | None, *, shape: tuple[int, ...] | None, name: str, kind: str | None
) -> Mask:
    """Return where an upright picture has labels ``values``; by default where it is not black, whatever its alpha.

    A picture of one colour holds its mask in its alpha, where some of it is clear. More than one colour but black is an
    `InputError`. What JPEG and WebP (``kind``, as PIL names a format) leave round the edges of black and white is cut
    in the middle.
    """
    _require_shape((picture.height, picture.width), shape, name)
    if values is not None:
        if kind in _JPEG:
            raise InputError(f"{name}: got labels in a JPEG, which changes them, expected PNG; save them as PNG")
        with decode_guard(name, "a label picture"):
            return select_labels(get_stored_values(picture), values)
    with decode_guard(name, "a mask picture"):
        if picture.mode == "F" or picture.mode.startswith("I"):
            return select_foreground(np.asarray(picture), name)
        # A palette's colours are what a person saw when drawing; its indices may be in any order.
        colours, alpha = np.split(np.asarray(picture.convert("RGBA")), [3], axis=2)
        if picture.mode == "P" and not colours.any():  # a palette that was never filled in
            return select_foreground(np.asarray(picture), name)
        if not alpha.all() and (colours == colours[0, 0]).all():
            return select_foreground(alpha[..., 0], name)
        return _colours_to_mask(colours, name, lossy=kind in _LOSSY)


def _colours_to_mask(colours: NDArray[np.uint8], name: str, *, lossy: bool) -> Mask:
    packed = colours.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    if not lossy or np.unique(packed).size <= 2:
        return select_foreground(packed, name)
    mask = np.asarray((colours >= 128).any(axis=2))
    unsure = np.count_nonzero(((colours >= _UNSURE_LEVELS[0]) & (colours < _UNSURE_LEVELS[1])).any(axis=2))
    if unsure * 4 > np.count_nonzero(mask) or not mask.any():  # the edges of a mask are far fewer than its inside
        got = f"{np.unique(packed).size} values that are not near black and white"
        raise InputError(f"{name}: got {got}, {_EXPECTED_TWO}; threshold it and save it as PNG")
    return mask
