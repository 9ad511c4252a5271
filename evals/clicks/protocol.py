"""One target, one segmenter: where the prompts fall, and the IoU after each.

Every click falls on the deepest pixel of the larger error, which is at first the truth itself; for ties see
`ibisagent.tools.simulator`. No pixel is clicked twice.
Two departures from RITM's code: a tie gives a positive click, and a run whose every error pixel has been clicked ends.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from ibisagent.evals.metrics import InstanceMetrics, hd95, instance_metrics
from ibisagent.tools.clicks import Box, Pixel, PixelBox, Prompt
from ibisagent.tools.masks.instances import instances
from ibisagent.tools.masks.measure import bounding_box, iou
from ibisagent.tools.segmenters.base import Mask, Pixels, Segmenter
from ibisagent.tools.simulator import NextClick, next_click, to_prompt

__all__ = [
    "DEFAULT_MODES",
    "MODES",
    "ClickPlacement",
    "ClickRun",
    "PixelPrompt",
    "bounding_box_prompt",
    "compute_click_ious",
    "jittered_placement",
    "number_of_clicks",
    "simulate_clicks",
    "simulate_clicks_on_image",
]

MODES = {
    "centre": "every click on the deepest pixel of the larger error",
    "jitter": "every click on a random pixel of that error, at least 0.4 of its depth inside",
    "box": "the true bounding box as the first prompt, then as centre",
    "similar": "as centre, each click an example: everything like this, or nothing",
}
DEFAULT_MODES = ("centre", "jitter", "box")
"""Those that every segmenter takes."""

PixelPrompt = NextClick | PixelBox
"""A prompt in pixels."""

ClickPlacement = Callable[[NextClick, Mask, Mask, Collection[Pixel]], Pixel]
"""Moves a click, given the mask, the truth and the pixels clicked so far."""

_INSET = 1e-6  # pixels: an edge that is rounded outwards would take in another row or column


class ClickRun(NamedTuple):
    """One target: IoU, score and seconds after each prompt, and the prompts; ends early without an error pixel.

    ``instances``: the metrics of the last mask's instances against the truth's, both components of a mask. ``hd95``:
    its 95 % Hausdorff distance in pixels, None of an empty mask.
    """

    ious: list[float]
    scores: list[float | None]
    seconds: list[float]
    pixel_prompts: list[PixelPrompt]
    instances: InstanceMetrics
    hd95: float | None


def jittered_placement(seed: int, depth: float = 0.4) -> ClickPlacement:
    """Return a placement: a random pixel of the error region, at ``depth`` of its greatest depth or deeper."""
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
    """Return the box prompt of a mask, (H, W) bool, not empty; `pixel_box` of it is the mask's `bounding_box`."""
    box = bounding_box(truth)
    assert box is not None
    height, width = truth.shape
    x0, x1 = (box.left + _INSET) / width, (box.right + 1 - _INSET) / width
    return Box(x0, (box.top + _INSET) / height, x1, (box.bottom + 1 - _INSET) / height)


def simulate_clicks(
    segmenter: Segmenter,
    embedding: Any,
    truth: Mask,
    clicks: int = 20,
    placement: ClickPlacement | None = None,
    *,
    box: bool = False,
    similar: bool = False,
) -> ClickRun:
    """Prompt up to ``clicks`` times towards the truth, (H, W) bool, not empty, on the picture of ``embedding``.

    With ``box`` the first prompt is the truth's bounding box, and counts as one; with ``similar`` every prompt is an
    example. ``seconds`` are those of the segmenter's own ``predict``.
    """
    mask, prior = np.zeros(truth.shape, np.bool_), None
    prompts: list[Prompt] = []
    marks: list[PixelPrompt] = []
    ious: list[float] = []
    scores: list[float | None] = []
    seconds: list[float] = []
    for turn in range(clicks):
        mark = _next_click(mask, truth, marks, placement) if turn or not box else bounding_box(truth)
        if mark is None:
            break
        marks.append(mark)
        prompts.append(
            to_prompt(mark, truth.shape, similar=similar) if isinstance(mark, NextClick) else bounding_box_prompt(truth)
        )
        start = time.perf_counter()
        prediction = segmenter.predict(embedding, tuple(prompts), prior)
        seconds.append(time.perf_counter() - start)
        mask, prior = prediction.mask, prediction.prior
        ious.append(iou(mask, truth))
        scores.append(prediction.score)
    distance = hd95(mask, truth) if mask.any() else None
    return ClickRun(ious, scores, seconds, marks, instance_metrics(instances(mask), instances(truth)), distance)


def _next_click(
    mask: Mask, truth: Mask, marks: Sequence[PixelPrompt], place: ClickPlacement | None
) -> NextClick | None:
    taken = {prompt.pixel for prompt in marks if isinstance(prompt, NextClick)}
    click = next_click(mask, truth, taken)
    if click is None or place is None:
        return click
    return click._replace(pixel=place(click, mask, truth, taken))


def simulate_clicks_on_image(
    segmenter: Segmenter, pixels: Pixels, truth: Mask, clicks: int = 20, placement: ClickPlacement | None = None
) -> ClickRun:
    """Encode a picture, (H, W) or (H, W, 3) uint8, and `simulate_clicks` on it."""
    return simulate_clicks(segmenter, segmenter.embed(pixels), truth, clicks, placement)


def compute_click_ious(segmenter: Segmenter, pixels: Pixels, truth: Mask, clicks: int = 20) -> list[float]:
    """Return the IoU after each of ``clicks`` clicks; when no error is left to click on, the last one repeats."""
    ious = simulate_clicks_on_image(segmenter, pixels, truth, clicks).ious
    return ious + ious[-1:] * (clicks - len(ious))


def number_of_clicks(ious: Sequence[float], target: float) -> int:
    """Return the number of clicks until the IoU reaches ``target`` (NoC); all of them when it never does."""
    return next((index for index, value in enumerate(ious, 1) if value >= target), len(ious))
