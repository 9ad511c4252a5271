"""The part of a picture that a contact sheet shows: a small lesion is enlarged, a large organ is not."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ibisagent.tools.clicks import Box, PixelBox, Prompt, box_to_pixel_box, click_to_pixel
from ibisagent.tools.masks.measure import bounding_box
from ibisagent.tools.segmenters.base import Mask

__all__ = ["crop_window", "to_crop"]

_MARGIN = 0.35  # around masks and prompts, as a share of their longer side
_MIN_SHARE = 0.2  # of the picture's longer side that is always shown
_MAX_SHARE = 0.6  # of the picture's longer side beyond which all of it is shown


def crop_window(masks: Iterable[Mask], prompts: Iterable[Prompt], shape: tuple[int, int]) -> PixelBox:
    """Return the square, cut at the border, that holds all ``masks`` (H, W) and ``prompts``, or the whole picture."""
    touched = np.zeros(shape, dtype=np.bool_)
    for mask in masks:
        touched |= mask
    for prompt in prompts:
        top, left, bottom, right = _prompt_box(prompt, shape)
        touched[top : bottom + 1, left : right + 1] = True
    whole = PixelBox(0, 0, shape[0] - 1, shape[1] - 1)
    box = bounding_box(touched)
    if box is None:
        return whole
    longer = max(box.bottom - box.top, box.right - box.left) + 1
    side = max(round(longer * (1 + 2 * _MARGIN)), round(_MIN_SHARE * max(shape)), 1)
    if side > _MAX_SHARE * max(shape):
        return whole
    top = _first_pixel((box.top + box.bottom) // 2, side, shape[0])
    left = _first_pixel((box.left + box.right) // 2, side, shape[1])
    return PixelBox(top, left, min(top + side, shape[0]) - 1, min(left + side, shape[1]) - 1)


def _prompt_box(prompt: Prompt, shape: tuple[int, int]) -> PixelBox:
    if isinstance(prompt, Box):
        return box_to_pixel_box(prompt, shape)
    row, column = click_to_pixel(prompt, shape)
    return PixelBox(row, column, row, column)


def _first_pixel(middle: int, side: int, size: int) -> int:
    """Return the first pixel of ``side`` pixels around ``middle`` that stay within ``size``."""
    return max(0, min(middle - side // 2, size - side))


def to_crop(prompt: Prompt, part: PixelBox, shape: tuple[int, int]) -> Prompt:
    """Convert a prompt of a picture of ``shape`` (H, W) to the coordinates of its ``part``, which contains it."""
    height, width = part.bottom - part.top + 1, part.right - part.left + 1

    def x(unit: float) -> float:
        return min(max((unit * shape[1] - part.left) / width, 0.0), 1.0)

    def y(unit: float) -> float:
        return min(max((unit * shape[0] - part.top) / height, 0.0), 1.0)

    if isinstance(prompt, Box):
        return Box(x(prompt.x0), y(prompt.y0), x(prompt.x1), y(prompt.y1), prompt.target)
    return replace(prompt, x=x(prompt.x), y=y(prompt.y))
