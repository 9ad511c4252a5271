"""A person's clicks in recorded runs, beside the clicks that the simulator would have made in their place."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ibisagent.agent.actions import as_prompt
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.tools.click_correctness import is_correct_prompt
from ibisagent.tools.clicks import Click, Pixel, Prompt, click_to_pixel, pixel_to_click
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import Rle, decode
from ibisagent.tools.simulator import find_deepest_pixel, next_click

__all__ = ["PersonClick", "Predict", "compare_person_clicks"]

Predict = Callable[[Rle | None, tuple[Prompt, ...]], Mask]
"""The segmenter's mask, (H, W) bool, of all prompts in force over an initial mask, None for none."""


class PersonClick(NamedTuple):
    """A person's click, judged by the true mask and the mask before it.

    ``hit``: a positive click lies in the false negatives, a negative one in the false positives. ``distance``: in
    pixels, from the deepest pixel of that region, which is where the simulator clicks; None where the region is empty.
    ``gain``: the IoU after it minus before it. ``simulated_gain``: of the simulator's click in its place, which hits
    by its making; None without a segmenter, and where no error was left to click on.
    """

    step: int
    positive: bool
    hit: bool
    distance: float | None
    gain: float
    simulated_gain: float | None


def compare_person_clicks(record: Trajectory, predict: Predict | None = None) -> list[PersonClick]:
    """Judge each click that a person made in a run, oldest first; none without a true mask."""
    if record.truth is None:
        return []
    truth, before = decode(record.truth), record.start
    found: list[PersonClick] = []
    for number, step in enumerate(record.steps):
        prompt = as_prompt(step.action) if _is_click(step) else None
        if isinstance(prompt, Click):
            found.append(_compare(record, number, prompt, decode(before), truth, predict))
        before = step.mask
    return found


def _is_click(step: Step) -> bool:
    kind = step.action and step.action.get("type")
    return step.actor == "person" and step.outcome == "applied" and kind == "point"


def _compare(
    record: Trajectory, number: int, click: Click, mask: Mask, truth: Mask, predict: Predict | None
) -> PersonClick:
    step, was = record.steps[number], iou(mask, truth)
    earlier, start = _in_force(record.steps[:number]), record.start if record.has_initial_mask else None
    deepest = find_deepest_pixel(truth & ~mask if click.positive else mask & ~truth)
    pixel = click_to_pixel(click, truth.shape)
    taken = [click_to_pixel(each, truth.shape) for each in earlier if isinstance(each, Click)]
    simulated = next_click(mask, truth, taken)
    gained = None
    if predict is not None and simulated is not None:
        placed = pixel_to_click(simulated.pixel, truth.shape, simulated.positive)
        initial = None if any(each.reverts == 0 for each in record.steps[:number]) else start
        gained = iou(predict(initial, (*earlier, placed)), truth) - was
    return PersonClick(
        step=step.index,
        positive=click.positive,
        hit=is_correct_prompt(click, mask, truth),
        distance=_distance(pixel, deepest.pixel) if deepest is not None else None,
        gain=iou(decode(step.mask), truth) - was,
        simulated_gain=gained,
    )


def _in_force(steps: Sequence[Step]) -> list[Prompt]:
    """Return the prompts that the steps leave in force."""
    active: dict[int, Prompt] = {}
    made = {step.index: step for step in steps}
    for step in steps:
        if step.reverts:
            active.pop(step.reverts, None)
        if step.restores:
            active[step.restores] = as_prompt(made[step.restores].action)
        if step.outcome == "applied" and step.action and step.action.get("type") in ("point", "box"):
            active[step.index] = as_prompt(step.action)
    return list(active.values())


def _distance(one: Pixel, other: Pixel) -> float:
    return float(np.hypot(one.row - other.row, one.column - other.column))
