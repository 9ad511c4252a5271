"""Was a click right? The judgement that the click reward and the figures of a run share (arXiv 2601.03054)."""

from ibisagent.tools.clicks import Box, PixelBox, Prompt, box_to_pixel_box, click_to_pixel
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.measure import bounding_box

__all__ = ["is_correct_prompt"]


def is_correct_prompt(prompt: Prompt, mask: Mask, truth: Mask) -> bool:
    """Judge a prompt by the mask that it met and the true one, both (H, W) bool of one shape.

    A positive click hits on what the mask misses, a negative one on what it spills; a box, whatever the mask, when its
    IoU with the truth's box is above 0.5. Where the truth is empty only a negative click can hit.

    >>> import numpy as np
    >>> is_correct_prompt(Box(0.0, 0.0, 0.5, 1.0), np.zeros((1, 2), bool), np.array([[True, False]]))
    True
    """
    if isinstance(prompt, Box):
        around = bounding_box(truth)
        return around is not None and _box_iou(box_to_pixel_box(prompt, truth.shape), around) > 0.5
    pixel = click_to_pixel(prompt, truth.shape)
    return bool(truth[pixel]) == prompt.positive and bool(mask[pixel]) != prompt.positive


def _box_iou(one: PixelBox, other: PixelBox) -> float:
    rows = min(one.bottom, other.bottom) - max(one.top, other.top) + 1
    columns = min(one.right, other.right) - max(one.left, other.left) + 1
    shared = max(rows, 0) * max(columns, 0)
    both = sum((box.bottom - box.top + 1) * (box.right - box.left + 1) for box in (one, other))
    return shared / (both - shared)
