"""Which runs are worth learning from."""

import numpy as np

from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import decode
from ibisagent.training.trajectories.settings import Filters

__all__ = ["find_fault"]

_REGULAR_STOPS = ("terminated", "target_absent", "max_steps")
_POLICY_STOPS = (*_REGULAR_STOPS, "loop", "settled", "stalled", "parse_failures")
"""Stop reasons caused by the policy itself, from which it can learn where its replies are relabeled."""


def find_fault(record: Trajectory, filters: Filters) -> str | None:
    """Return in one line why a run with its truth is not kept; None for one that is."""
    truth = decode(record.truth) if record.truth is not None else np.zeros((0, 0), np.bool_)
    if record.stop not in (_POLICY_STOPS if filters.min_dice is None else _REGULAR_STOPS):
        return f"ended by {record.stop}" + (f": {record.error}" if record.error else "")
    if filters.max_replies is not None and len(record.steps) > filters.max_replies:
        return f"{len(record.steps)} replies"
    if filters.min_dice is not None and (poor := _find_final_fault(record, truth, filters.min_dice)):
        return poor
    if filters.min_gain is not None and truth.any() and (least := _min_gain(record, truth)) < filters.min_gain:
        return f"a click gained an IoU of {least:.3f}"
    return None


def _find_final_fault(record: Trajectory, truth: Mask, least: float) -> str | None:
    if truth.any():
        reached = _dice(iou(decode(record.mask), truth))
        return f"final Dice {reached:.3f}" if reached < least else None
    return "the absent target was not refused" if record.stop != "target_absent" else None


def _dice(overlap: float) -> float:
    return 2 * overlap / (1 + overlap)


def _min_gain(record: Trajectory, truth: Mask) -> float:
    """Return the smallest IoU gain of a click that is no mistake."""
    reached = [iou(decode(mask), truth) for mask in (record.start, *(step.mask for step in record.steps))]
    return min(
        (
            after - before
            for step, before, after in zip(record.steps, reached, reached[1:], strict=False)
            if step.action and step.action["type"] == "point" and step.completion.get("label") is None
        ),
        default=1.0,
    )
