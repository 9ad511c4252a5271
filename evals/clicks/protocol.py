"""One target, one segmenter: where the prompts fall, and the IoU after each.

Every click falls on the deepest pixel of the larger error, which is at first the truth itself; where it lies among
equals, and what a tie between the errors gives, stands at `ibisagent.tools.simulator`. No pixel is clicked twice.
Two departures from RITM's code: a tie gives a positive click, and a run whose every error pixel has been clicked ends.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from ibisagent.tools.clicks import Box, Pixel, PixelBox, Prompt, pixel_to_click
from ibisagent.tools.masks.measure import bounding_box, iou
from ibisagent.tools.segmenters.base import Mask, Pixels, Segmenter
from ibisagent.tools.simulator import NextClick, next_click

__all__ = ["MODES", "PixelPrompt", "ClickPlacement", "ClickRun", "bounding_box_prompt", "simulate_clicks_on_image", "compute_click_ious", "number_of_clicks", "simulate_clicks", "jittered_placement"]

MODES = {
    "centre": "every click on the deepest pixel of the larger error",
    "jitter": "every click on a random pixel of that error, at least 0.4 of its depth inside",
    "box": "the true bounding box as the first prompt, then as centre",
}

PixelPrompt = NextClick | PixelBox
"""A prompt in pixels."""

ClickPlacement = Callable[[NextClick, Mask, Mask, Collection[Pixel]], Pixel]
"""Moves a click; it gets the mask, the truth and the pixels clicked so far."""

_INSET = 1e-6  # pixels: an edge that is rounded outwards would take in another row or column


class ClickRun(NamedTuple):
    """One target: IoU, score and seconds after each prompt, and the prompts; ends early without an error pixel."""

    ious: list[float]
    scores: list[float | None]
    seconds: list[float]
    pixel_prompts: list[PixelPrompt]


def jittered_placement(seed: int, depth: float = 0.4) -> ClickPlacement:
    """Move clicks to a random pixel of the wrong region, at least ``depth`` of its greatest depth from its outside."""
    rng = np.random.default_rng(seed)

    def place(click: NextClick, mask: Mask, truth: Mask, taken: Collection[Pixel] = ()) -> Pixel:
        parts, _ = ndimage.label((truth & ~mask) if click.positive else (mask & ~truth))
        depths = ndimage.distance_transform_edt(np.pad(parts == parts[click.pixel], 1))[1:-1, 1:-1]
        inside = depths >= depth * depths.max()
        for pixel in taken:
            inside[pixel] = False
        choices = np.argwhere(inside) if inside.any() else np.array([click.pixel])
        row, column = choices[rng.integers(len(choices))]
        return Pixel(int(row), int(column))

    return place


def bounding_box_prompt(truth: Mask) -> Box:
    """Give the box of a mask, (H, W) bool, not empty; `pixel_box` gives its `bounding_box` back."""
    box = bounding_box(truth)
    assert box is not None
    height, width = truth.shape
    x0, x1 = (box.left + _INSET) / width, (box.right + 1 - _INSET) / width
    return Box(x0, (box.top + _INSET) / height, x1, (box.bottom + 1 - _INSET) / height)


def simulate_clicks(
    segmenter: Segmenter, embedding: Any, truth: Mask, clicks: int = 20, placement: ClickPlacement | None = None, box: bool = False
) -> ClickRun:
    """Prompt up to ``clicks`` times after the truth, (H, W) bool, not empty, on the picture behind ``embedding``.

    With ``box`` the first prompt is the truth's bounding box, and counts as one. ``seconds`` are those of the
    segmenter's own ``predict``.
    """
    mask, prior = np.zeros(truth.shape, np.bool_), None
    prompts: list[Prompt] = []
    run = ClickRun([], [], [], [])
    for turn in range(clicks):
        mark = _next(mask, truth, run.pixel_prompts, placement) if turn or not box else bounding_box(truth)
        if mark is None:
            break
        run.pixel_prompts.append(mark)
        prompts.append(_prompt(mark, truth))
        start = time.perf_counter()
        prediction = segmenter.predict(embedding, tuple(prompts), prior)
        run.seconds.append(time.perf_counter() - start)
        mask, prior = prediction.mask, prediction.prior
        run.ious.append(iou(mask, truth))
        run.scores.append(prediction.score)
    return run


def _next(mask: Mask, truth: Mask, marks: Sequence[PixelPrompt], place: ClickPlacement | None) -> NextClick | None:
    taken = {mark.pixel for mark in marks if isinstance(mark, NextClick)}
    click = next_click(mask, truth, taken)
    if click is None or place is None:
        return click
    return click._replace(pixel=place(click, mask, truth, taken))


def _prompt(mark: PixelPrompt, truth: Mask) -> Prompt:
    return pixel_to_click(mark.pixel, truth.shape, mark.positive) if isinstance(mark, NextClick) else bounding_box_prompt(truth)


def simulate_clicks_on_image(segmenter: Segmenter, pixels: Pixels, truth: Mask, clicks: int = 20, placement: ClickPlacement | None = None) -> ClickRun:
    """Encode a picture, (H, W) or (H, W, 3) uint8, and `play` on it."""
    return simulate_clicks(segmenter, segmenter.embed(pixels), truth, clicks, placement)


def compute_click_ious(segmenter: Segmenter, pixels: Pixels, truth: Mask, clicks: int = 20) -> list[float]:
    """Give the IoU after each of ``clicks`` clicks; when no error is left to click on, the last one repeats."""
    ious = simulate_clicks_on_image(segmenter, pixels, truth, clicks).ious
    return ious + ious[-1:] * (clicks - len(ious))


def number_of_clicks(ious: Sequence[float], target: float) -> int:
    """Count the clicks until the IoU reaches ``target``; all of them when it never does (NoC)."""
    return next((index for index, value in enumerate(ious, 1) if value >= target), len(ious))
