"""Whether a click is correct: the criterion that the click reward and a run's metrics share (arXiv 2601.03054)."""

from ibisagent.tools.clicks import Box, PixelBox, Prompt, Similar, box_to_pixel_box, click_to_pixel
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.measure import bounding_box

__all__ = ["is_correct_prompt"]


def is_correct_prompt(prompt: Prompt, mask: Mask, truth: Mask) -> bool:
    """Whether a prompt corrects the mask before it, judged by the true one; both (H, W) bool of one shape.

    A positive click is correct on a false negative, a negative one on a false positive; a box, whatever the mask, when
    its IoU with the truth's box is above 0.5; an example, whatever the mask, on the target, a negative one off it.
    Where the truth is empty only a negative click or example can be correct.

    >>> import numpy as np
    >>> is_correct_prompt(Box(0.0, 0.0, 0.5, 1.0), np.zeros((1, 2), bool), np.array([[True, False]]))
    True
    """
    if isinstance(prompt, Box):
        around = bounding_box(truth)
        return around is not None and _box_iou(box_to_pixel_box(prompt, truth.shape), around) > 0.5
    pixel = click_to_pixel(prompt, truth.shape)
    if isinstance(prompt, Similar):
        return bool(truth[pixel]) == prompt.positive
    return bool(truth[pixel]) == prompt.positive and bool(mask[pixel]) != prompt.positive


def _box_iou(one: PixelBox, other: PixelBox) -> float:
    rows = min(one.bottom, other.bottom) - max(one.top, other.top) + 1
    columns = min(one.right, other.right) - max(one.left, other.left) + 1
    shared = max(rows, 0) * max(columns, 0)
    both = sum((box.bottom - box.top + 1) * (box.right - box.left + 1) for box in (one, other))
    return shared / (both - shared)
