"""Label values: the numbers in a label map, 0 being the background."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.imaging.grids import Mask

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Label", "get_stored_values", "select_labels"]

Label = int | tuple[int, ...]
"""One value, or several that together are one target, such as a tumour and its core."""


def select_labels(array: NDArray[Any], values: Label | None) -> Mask:
    """Return where an array holds one of ``values``; without any, where it is neither 0 nor NaN."""
    if values is not None:
        return np.asarray(np.isin(array, values), dtype=np.bool_)
    marked = array != 0
    return np.asarray(marked & ~np.isnan(array) if array.dtype.kind == "f" else marked, dtype=np.bool_)


def get_stored_values(picture: "Image.Image") -> NDArray[Any]:
    """Return a picture's (H, W) values: a palette's index, the grey level; -1 for a true colour."""
    if picture.mode in ("1", "L", "P", "F") or picture.mode.startswith("I"):
        return np.asarray(picture)
    if picture.mode in ("LA", "PA"):
        return np.asarray(picture.getchannel(0))
    colours = np.asarray(picture.convert("RGB")).astype(np.int16)
    return np.where((colours == colours[..., :1]).all(axis=2), colours[..., 0], -1)
