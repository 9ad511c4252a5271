"""Behavior of policies, from the rows of an evaluation: refusals, first clicks, recovery from initial errors."""

from collections.abc import Sequence

from ibisagent.evals.rows import Row
from ibisagent.evals.stats import Bootstrap, Interval, mean_interval, proportion_interval, ratio_interval

__all__ = ["GAIN", "behavior_metrics", "is_recovered"]

GAIN = 0.05
"""IoU gain from which a run counts as recovered from a distractor click."""


def behavior_metrics(rows: Sequence[Row], threshold: float, bootstrap: Bootstrap) -> dict[str, Interval]:
    """Return every metric of rows that are not broken by name, each with its interval over pictures.

    * ``refusal_rate``: share of absent targets whose run ended as ``target_absent``; ``false_refusal_rate``: of
      present ones.
    * ``decline_rate``: share of all runs that ended as ``declined``; they count in neither refusal rate.
    * ``first_click_hit_rate``: share of first prompts that hit, over present targets.
    * ``length``: mean number of actions without the stop; ``valid_action_rate``: share of replies that the loop could
      act on.

    Over the runs that began with an initial mask or a distractor click:

    * ``start_iou``: mean IoU of the first mask that the policy saw; ``improved``: share that ended with a higher one.
    * ``start_undone``: share in which the initial mask or distractor click was undone.
    * ``recovered``: share of distractor clicks that were undone, or after which the final IoU is above ``threshold``
      and at least `GAIN` above ``start_iou``.
    """
    images = [row["image"] for row in rows]
    turns = [row["turns"] for row in rows]
    found = {name: proportion_interval(values, images, bootstrap) for name, values in _shares(rows).items()}
    found["length"] = mean_interval([row["length"] for row in rows], images, bootstrap)
    found["valid_action_rate"] = ratio_interval([row["valid_actions"] for row in rows], turns, images, bootstrap)
    return found | _start_metrics([row for row in rows if row["start"] is not None], threshold, bootstrap)


def _shares(rows: Sequence[Row]) -> dict[str, list[bool | None]]:
    kinds = [(row["true_area_px"] > 0, row) for row in rows]
    return {
        "refusal_rate": [None if present else row["stop"] == "target_absent" for present, row in kinds],
        "false_refusal_rate": [row["stop"] == "target_absent" if present else None for present, row in kinds],
        "decline_rate": [row["stop"] == "declined" for row in rows],
        "first_click_hit_rate": [row["first_click_hit"] if present else None for present, row in kinds],
    }


def _start_metrics(rows: Sequence[Row], threshold: float, bootstrap: Bootstrap) -> dict[str, Interval]:
    if not rows:
        return {}
    images = [row["image"] for row in rows]
    shares: dict[str, list[bool | None]] = {
        "improved": [row["iou"] > row["start_iou"] for row in rows],
        "start_undone": [row["start_undone"] for row in rows],
        "recovered": [_recovered(row, threshold) if row["start"] == "distractor_click" else None for row in rows],
    }
    found = {name: proportion_interval(values, images, bootstrap) for name, values in shares.items()}
    return {"start_iou": mean_interval([row["start_iou"] for row in rows], images, bootstrap)} | found


def _recovered(row: Row, threshold: float) -> bool:
    return is_recovered(bool(row["start_undone"]), row["iou"], row["start_iou"], threshold)


def is_recovered(undone: bool, final_iou: float, start_iou: float, threshold: float) -> bool:
    """Whether a distractor click was left behind: undone, or outdone by `GAIN` to an IoU above ``threshold``."""
    return undone or (final_iou > threshold and final_iou >= start_iou + GAIN)
