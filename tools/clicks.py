"""Clicks, boxes and examples in the frame of the displayed picture, and their conversion to pixels and back.

Frame: x to the right, y down, both in [0, 1] of the displayed picture of W x H pixels.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from ibisagent.tools.errors import InputError

__all__ = [
    "Box",
    "Click",
    "Pixel",
    "PixelBox",
    "Prompt",
    "Similar",
    "box_to_pixel_box",
    "click_to_pixel",
    "pixel_to_click",
]


class Pixel(NamedTuple):
    """A pixel of an (H, W) array: row 0 at the top, column 0 at the left."""

    row: int
    column: int


class PixelBox(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of an (H, W) array, both ends included."""

    top: int
    left: int
    bottom: int
    right: int


def _require_unit(**coordinates: float) -> None:
    for name, value in coordinates.items():
        if not (math.isfinite(value) and 0.0 <= value <= 1.0):
            raise InputError(f"{name}={value!r}: expected a number in [0, 1] of the displayed picture")


@dataclass(frozen=True, slots=True)
class _Mark:
    """A pixel with a sign; ``target`` names one of several targets."""

    x: float
    y: float
    positive: bool = True
    target: str | None = None

    def __post_init__(self) -> None:
        """Refuse a coordinate outside [0, 1] with `InputError`."""
        _require_unit(x=self.x, y=self.y)


class Click(_Mark):
    """A positive (this is the target) or negative (this is not) point; ``target`` names one of several targets."""

    __slots__ = ()


class Similar(_Mark):
    """An example of what all targets look like (positive), or of what none does: everything like this pixel."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle around the target, x0 < x1 and y0 < y1."""

    x0: float
    y0: float
    x1: float
    y1: float
    target: str | None = None

    def __post_init__(self) -> None:
        """Refuse a coordinate outside [0, 1] and an empty box with `InputError`."""
        _require_unit(x0=self.x0, y0=self.y0, x1=self.x1, y1=self.y1)
        if not (self.x0 < self.x1 and self.y0 < self.y1):
            corners = (self.x0, self.y0, self.x1, self.y1)
            raise InputError(f"empty box {corners}: expected (x0, y0, x1, y1) with x0 < x1 and y0 < y1")


Prompt = Click | Box | Similar


def _index(unit: float, size: int) -> int:
    return min(int(unit * size), size - 1)


def click_to_pixel(click: Click | Similar, shape: tuple[int, ...]) -> Pixel:
    """Return the pixel under a click or an example in a picture of ``shape`` (H, W, ...); x = 1.0 is the last column.

    >>> click_to_pixel(Click(1.0, 0.5), (100, 200))
    Pixel(row=50, column=199)
    """
    height, width = shape[:2]
    return Pixel(_index(click.y, height), _index(click.x, width))


def pixel_to_click(pixel: Pixel, shape: tuple[int, ...], positive: bool = True) -> Click:
    """Click on the centre of a pixel: `click_to_pixel` gives the pixel back, also at 4 decimals below 10,000 px.

    >>> pixel_to_click(Pixel(row=0, column=1), (2, 2), positive=False)
    Click(x=0.75, y=0.25, positive=False, target=None)
    """
    height, width = shape[:2]
    return Click((pixel.column + 0.5) / width, (pixel.row + 0.5) / height, positive)


def box_to_pixel_box(box: Box, shape: tuple[int, ...]) -> PixelBox:
    """Return the pixels that a box covers, at least one in each direction; its right and lower edges are exclusive.

    >>> box_to_pixel_box(Box(0.0, 0.0, 0.5, 1.0), (4, 4))
    PixelBox(top=0, left=0, bottom=3, right=1)
    """
    height, width = shape[:2]
    top, left = _index(box.y0, height), _index(box.x0, width)
    bottom, right = math.ceil(box.y1 * height) - 1, math.ceil(box.x1 * width) - 1
    return PixelBox(top, left, max(top, min(bottom, height - 1)), max(left, min(right, width - 1)))
