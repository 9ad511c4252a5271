"""The click simulator: where a careful person who knows the truth would click next.

The rule is RITM's and SimpleClick's (padded distance transform, the deepest pixel of the larger error, no
pixel twice), with a tie between a false negative and a false positive going to the positive click.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.tools.clicks import Click, Pixel, Similar, pixel_to_click
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.measure import bounding_box

__all__ = ["DeepestPixel", "NextClick", "compute_depths", "find_deepest_pixel", "next_click", "to_prompt"]


class DeepestPixel(NamedTuple):
    """The pixel of a region farthest from its outside (first in row-major order), and that distance in pixels."""

    pixel: Pixel
    depth: float


class NextClick(NamedTuple):
    """A pixel to click and the click's sign."""

    pixel: Pixel
    positive: bool


def find_deepest_pixel(region: Mask, taken: Collection[Pixel] = ()) -> DeepestPixel | None:
    """Find the deepest pixel of ``region`` (H, W) not in ``taken``; None when there is none.

    What lies beyond the picture counts as outside, so a region at the border is not clicked on the border.
    """
    if (found := compute_depths(region)) is None:
        return None
    (top, left), depth = found
    for pixel in taken:
        row, column = pixel.row - top, pixel.column - left
        if 0 <= row < depth.shape[0] and 0 <= column < depth.shape[1]:
            depth[row, column] = 0.0
    row, column = divmod(int(depth.argmax()), depth.shape[1])
    if depth[row, column] <= 0.0:
        return None
    return DeepestPixel(Pixel(row + top, column + left), float(depth[row, column]))


def compute_depths(region: Mask) -> tuple[Pixel, NDArray[np.float64]] | None:
    """Return the bounding box's first pixel, and in it each pixel's distance to what is outside ``region`` (H, W).

    What lies beyond the picture is outside; an empty region has no box.
    """
    box = bounding_box(region)
    if box is None:
        return None
    crop = region[box.top : box.bottom + 1, box.left : box.right + 1]
    return Pixel(box.top, box.left), ndimage.distance_transform_edt(np.pad(crop, 1))[1:-1, 1:-1]


def next_click(mask: Mask, truth: Mask, taken: Collection[Pixel] = ()) -> NextClick | None:
    """Place the next click for ``mask`` against ``truth``, both (H, W) bool; None when no error pixel is left."""
    false_negative, false_positive = find_deepest_pixel(truth & ~mask, taken), find_deepest_pixel(mask & ~truth, taken)
    if false_negative is None and false_positive is None:
        return None
    if false_positive is None or (false_negative is not None and false_negative.depth >= false_positive.depth):
        assert false_negative is not None
        return NextClick(false_negative.pixel, positive=True)
    return NextClick(false_positive.pixel, positive=False)


def to_prompt(click: NextClick, shape: tuple[int, ...], *, similar: bool = False) -> Click | Similar:
    """Return the prompt on a pixel's centre in a picture of ``shape`` (H, W, ...): a point, or an example.

    The rule of `next_click` serves both: for a mask of many objects the first click is the deepest pixel of them all,
    and each later one, as an example, corrects everything that looks like its pixel.
    """
    point = pixel_to_click(click.pixel, shape, click.positive)
    return Similar(point.x, point.y, point.positive) if similar else point
