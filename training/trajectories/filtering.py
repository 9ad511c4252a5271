"""Which runs are worth learning from."""

import numpy as np

from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import decode
from ibisagent.training.trajectories.settings import Filters

__all__ = ["fault_of"]

_SOUND = ("terminated", "target_absent", "max_steps")
_OWN = (*_SOUND, "loop", "settled", "stalled", "parse_failures")
"""Ends that are a policy's own doing, from which it can learn where its replies are labelled."""


def fault_of(record: Trajectory, filters: Filters) -> str | None:
    """Say in one line why a run with its truth is not kept; None for one that is."""
    truth = decode(record.truth) if record.truth is not None else np.zeros((0, 0), np.bool_)
    if record.stop not in (_OWN if filters.dice is None else _SOUND):
        return f"ended by {record.stop}" + (f": {record.error}" if record.error else "")
    if filters.length is not None and len(record.steps) > filters.length:
        return f"{len(record.steps)} replies"
    if filters.dice is not None and (poor := _poor(record, truth, filters.dice)):
        return poor
    if filters.gain is not None and truth.any() and (least := _least_gain(record, truth)) < filters.gain:
        return f"a click gained an IoU of {least:.3f}"
    return None


def _poor(record: Trajectory, truth: Mask, least: float) -> str | None:
    if truth.any():
        reached = _dice(iou(decode(record.mask), truth))
        return f"final Dice {reached:.3f}" if reached < least else None
    return "the absent target was not refused" if record.stop != "target_absent" else None


def _dice(overlap: float) -> float:
    return 2 * overlap / (1 + overlap)


def _least_gain(record: Trajectory, truth: Mask) -> float:
    """Give the smallest IoU gain of a click that is no mistake."""
    reached = [iou(decode(mask), truth) for mask in (record.start, *(step.mask for step in record.steps))]
    return min(
        (
            after - before
            for step, before, after in zip(record.steps, reached, reached[1:], strict=False)
            if step.action and step.action["type"] == "point" and step.completion.get("label") is None
        ),
        default=1.0,
    )
