"""What suites compare: a number for each row of an evaluation, None where it says nothing; more is better.

* ``iou``, ``dice``: of the final mask, where the target is there. ``found``: share of these with an IoU above one half.
* ``verdict``: share of the runs that end with a mask where the target is there, and without one where it is not.
* ``first_hit``: share of the first clicks that hit, where the target is there and something is clicked.
* ``refused``, ``declined``: share of the runs that end as ``target_absent`` or ``declined``, whether that is right or
  not.
"""

from collections.abc import Callable, Mapping

from ibisagent.evals.rows import Row

__all__ = ["METRICS"]

_FOUND = 0.5


def _of_present(column: str) -> Callable[[Row], float | None]:
    return lambda row: float(row[column]) if row["true_area_px"] and row[column] is not None else None


METRICS: Mapping[str, Callable[[Row], float | None]] = {
    "iou": _of_present("iou"),
    "dice": _of_present("dice"),
    "found": lambda row: float(row["iou"] > _FOUND) if row["true_area_px"] else None,
    "verdict": lambda row: float((row["area_px"] > 0) == (row["true_area_px"] > 0)),
    "first_hit": _of_present("first_click_hit"),
    "refused": lambda row: float(row["stop"] == "target_absent"),
    "declined": lambda row: float(row["stop"] == "declined"),
}
"""Each metric's function of a row that is not broken."""
