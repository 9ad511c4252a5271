"""What of a drawing's named masks can be seen, and what was asked for and lies out of view."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.training.phantoms.canvas import Canvas
from ibisagent.training.phantoms.phantom import Drawing

__all__ = ["SMALLEST", "framed", "seen"]

SMALLEST = 0.0012
"""The share of the picture below which a target is too small to be seen."""


def framed(canvas: Canvas, zoom: float, x: float = 0.0, y: float = 0.0) -> None:
    """Look at ``zoom`` times the field of view, with (x, y) in the middle; levels stay in pixels of zoom 1."""
    canvas.X = np.asarray(canvas.X * np.float32(zoom) + np.float32(x), np.float32)
    canvas.Y = np.asarray(canvas.Y * np.float32(zoom) + np.float32(y), np.float32)


def seen(
    image: NDArray[np.floating],
    masks: dict[str, NDArray[np.bool_]],
    organs: tuple[str, ...],
    lesions: tuple[str, ...],
) -> Drawing:
    """Make the drawing: masks without crumbs and large enough; absent is what has nothing in view."""
    whole = {name: _without_crumbs(mask) for name, mask in masks.items()}
    shown = {name: mask for name, mask in whole.items() if mask.mean() >= SMALLEST}
    absent = tuple(name for name in organs + lesions if name not in whole or not whole[name].any())
    return Drawing(image, shown, absent, tuple(name for name in lesions if name in shown or name in absent))


def _without_crumbs(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Drop the parts that are too small to be seen, but for the largest."""
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    keep = (areas >= SMALLEST * mask.size) | (areas == areas.max())
    return np.asarray(keep[parts])
