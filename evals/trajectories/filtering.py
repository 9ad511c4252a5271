"""Which runs are worth learning from."""

from dataclasses import dataclass

from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.trajectories.truth_fit import TruthFit, compute_truth_fit

__all__ = ["Filters", "find_fault"]

_REGULAR_STOPS = ("terminated", "target_absent", "max_steps")
_POLICY_STOPS = (*_REGULAR_STOPS, "loop", "settled", "stalled", "parse_failures")
"""Stop reasons caused by the policy itself, from which it can learn where its replies are relabeled."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which runs are kept: ``min_dice`` of the final mask of a present target, ``max_replies`` of a run.

    ``min_dice`` None: however a run ended, unless a tool failed. ``min_gain``: IoU that every right click must
    gain, of those that are not mistakes; None: any.
    """

    min_dice: float | None = 0.5
    max_replies: int | None = None
    min_gain: float | None = None


def find_fault(record: Trajectory, filters: Filters) -> str | None:
    """Return in one line why a run with its truth is not kept; None for one that is."""
    if record.stop not in (_POLICY_STOPS if filters.min_dice is None else _REGULAR_STOPS):
        return f"ended by {record.stop}" + (f": {record.error}" if record.error else "")
    if filters.max_replies is not None and len(record.steps) > filters.max_replies:
        return f"{len(record.steps)} replies"
    fit = compute_truth_fit(record)
    if fit is None or not fit.present:
        refused = filters.min_dice is None or record.stop == "target_absent"
        return None if refused else "the absent target was not refused"
    if filters.min_dice is not None and fit.final_dice < filters.min_dice:
        return f"final Dice {fit.final_dice:.3f}"
    if filters.min_gain is not None and (least := _min_gain(record, fit)) < filters.min_gain:
        return f"a click gained an IoU of {least:.3f}"
    return None


def _min_gain(record: Trajectory, fit: TruthFit) -> float:
    """Return the smallest IoU gain of a click that is no mistake."""
    return min(
        (
            after - before
            for step, before, after in zip(record.steps, (fit.start_iou, *fit.ious), fit.ious, strict=False)
            if step.action and step.action["type"] == "point" and step.completion.get("label") is None
        ),
        default=1.0,
    )
