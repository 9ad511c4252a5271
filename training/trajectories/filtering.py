"""Which runs are worth learning from."""

import numpy as np

from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.masks import decode
from ibisagent.tools.measure import iou
from ibisagent.training.trajectories.plan import Filters

__all__ = ["fault_of"]

_SOUND = ("terminated", "target_absent", "max_steps")


def fault_of(record: Trajectory, filters: Filters) -> str | None:
    """Say in one line why a run with its truth is not kept; None for one that is."""
    truth = decode(record.truth) if record.truth is not None else np.zeros((0, 0), np.bool_)
    if record.stop not in _SOUND:
        return f"ended by {record.stop}" + (f": {record.error}" if record.error else "")
    if filters.length is not None and len(record.steps) > filters.length:
        return f"{len(record.steps)} replies"
    if truth.any() and (reached := _dice(iou(decode(record.mask), truth))) < filters.dice:
        return f"final Dice {reached:.3f}"
    if not truth.any() and record.stop != "target_absent":
        return "the absent target was not refused"
    if filters.gain is not None and truth.any() and (least := _least_gain(record, truth)) < filters.gain:
        return f"a click gained an IoU of {least:.3f}"
    return None


def _dice(overlap: float) -> float:
    return 2 * overlap / (1 + overlap)


def _least_gain(record: Trajectory, truth: "np.typing.NDArray[np.bool_]") -> float:
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
