"""The figures of measured models, and how they differ from those of the model that a training began from."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibisagent.evals.stats import Bootstrap, Interval, compare, mean_interval, statistic_interval

__all__ = ["NAMES", "change_figures", "level_figures"]

NAMES = ("iou", "accuracy", "refused_present", "refused_absent", "actions", "wasted", "default", "paper")
"""``accuracy``: the mean of the shares of absent targets refused and of present ones not."""

_BOOTSTRAP = Bootstrap(resamples=2000)
_BY_PRESENCE = {"refused_present": 1.0, "refused_absent": 0.0}
_SHARES = ("refused", "declined", "empty")
Rows = Sequence[dict[str, Any]]


def level_figures(rows: Rows) -> dict[str, float]:
    """Return the figures of a measurement; those over nothing are left out. Actions and clicks: of present targets.

    Beside `NAMES` the shares of present and of absent targets that were declined, and whose mask is empty.
    """
    levels = {name: [row[name] for row in rows if row[name] is not None] for name in ("iou", "default", "paper")}
    for name in ("actions", "wasted"):
        levels[name] = [row[name] for row in rows if row["present"] and row[name] is not None]
    for share in _SHARES:
        for word, present in (("present", 1.0), ("absent", 0.0)):
            levels[f"{share}_{word}"] = [
                row[share] for row in rows if row["present"] == present and row[share] is not None
            ]
    figures = {name: fmean(values) for name, values in levels.items() if values}
    if _BY_PRESENCE.keys() <= figures.keys():
        figures["accuracy"] = (figures["refused_absent"] + 1 - figures["refused_present"]) / 2
    return figures


def change_figures(rows: Rows, before: Rows) -> dict[str, Interval]:
    """Return what changed since another measurement of the same cases, in the same order, paired by case.

    Each with its bootstrap interval of 95 %; pictures are drawn as wholes.
    """
    images = [row["image"] for row in rows]
    columns = {name: _column(rows, name) for name in NAMES if name != "accuracy"}
    then = {name: _column(before, name) for name in NAMES if name != "accuracy"}
    changes = {
        name: compare(columns[name], then[name], images, _BOOTSTRAP).difference
        for name in columns
        if any(value is not None for value in columns[name])
    }
    pairs = [
        (row["present"], _missing(row["refused"]), _missing(old["refused"]))
        for row, old in zip(rows, before, strict=True)
    ]
    changes["accuracy"] = statistic_interval(_accuracy_change, pairs, images, _BOOTSTRAP)
    return changes


def mean_figure(rows: Rows, name: str) -> Interval:
    """Return a figure with its interval."""
    return mean_interval(_column(rows, name), [row["image"] for row in rows], _BOOTSTRAP)


def _column(rows: Rows, name: str) -> list[float | None]:
    if name in _BY_PRESENCE:
        return [row["refused"] if row["present"] == _BY_PRESENCE[name] else None for row in rows]
    of_present = name in ("actions", "wasted")
    return [row[name] if row["present"] or not of_present else None for row in rows]


def _missing(value: float | None) -> float:
    return float("nan") if value is None else value


def _accuracy_change(table: NDArray[np.float64]) -> float:
    present = table[:, 0] == 1
    if present.all() or not present.any():
        return float("nan")
    change = table[:, 1] - table[:, 2]
    return float(change[~present].mean() - change[present].mean()) / 2
