"""What policies do, from the rows of an evaluation: refuse, aim, and get over what was planted."""

from collections.abc import Sequence

from ibisagent.evals.rows import Row
from ibisagent.evals.stats import Bootstrap, Interval, mean_interval, proportion_interval, ratio_interval

__all__ = ["GAIN", "behavior_metrics"]

GAIN = 0.05
"""IoU by which a final mask outweighs a planted click."""


def behavior_metrics(rows: Sequence[Row], threshold: float, bootstrap: Bootstrap) -> dict[str, Interval]:
    """Give every figure of rows that are not broken by name, each with its interval over pictures.

    * ``refused``: share of absent targets whose run ended as ``target_absent``; ``wrongly_refused``: of present ones.
    * ``declined``: share of all runs that ended so: neither refused nor wrongly refused, whatever the mask.
    * ``first_hit``: share of first clicks and boxes that hit, over present targets.
    * ``length``: mean of actions but the stop; ``valid_action_rate``: replies that the loop could act on, of all.

    Where something was planted, over the runs that began with it:

    * ``start_iou``: mean IoU that the policy met; ``better``: share that ended with a higher one.
    * ``start_undone``: share in which the planted mask or click was undone.
    * ``outweighed``: share of planted clicks that were undone, or else left behind: the final IoU is above
      ``threshold`` and by `GAIN` or more above the one that the policy met.
    """
    images = [row["image"] for row in rows]
    turns = [row["turns"] for row in rows]
    found = {name: proportion_interval(values, images, bootstrap) for name, values in _shares(rows).items()}
    found["length"] = mean_interval([row["length"] for row in rows], images, bootstrap)
    found["valid_action_rate"] = ratio_interval([row["valid"] for row in rows], turns, images, bootstrap)
    return found | _planted([row for row in rows if row["start"] is not None], threshold, bootstrap)


def _shares(rows: Sequence[Row]) -> dict[str, list[bool | None]]:
    kinds = [(row["true_area_px"] > 0, row) for row in rows]
    return {
        "refused": [None if present else row["stop"] == "target_absent" for present, row in kinds],
        "wrongly_refused": [row["stop"] == "target_absent" if present else None for present, row in kinds],
        "declined": [row["stop"] == "declined" for row in rows],
        "first_hit": [row["first_hit"] if present else None for present, row in kinds],
    }


def _planted(rows: Sequence[Row], threshold: float, how: Bootstrap) -> dict[str, Interval]:
    if not rows:
        return {}
    images = [row["image"] for row in rows]
    shares: dict[str, list[bool | None]] = {
        "better": [row["iou"] > row["start_iou"] for row in rows],
        "start_undone": [row["start_undone"] for row in rows],
        "outweighed": [_outweighed(row, threshold) if row["start"] == "click" else None for row in rows],
    }
    found = {name: proportion_interval(values, images, how) for name, values in shares.items()}
    return {"start_iou": mean_interval([row["start_iou"] for row in rows], images, how)} | found


def _outweighed(row: Row, threshold: float) -> bool:
    left_behind = row["iou"] > threshold and row["iou"] >= row["start_iou"] + GAIN
    return bool(row["start_undone"] or left_behind)
