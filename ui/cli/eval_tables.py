"""The tables that `ibisagent eval` prints after its first one: cost beside quality, and evaluators."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

__all__ = ["cost_table", "evaluator_table"]

_NAMES = ("policy", "segmenter")


def cost_table(summary: dict[str, Any]) -> Table:
    """Return the cost of a sample beside its quality, a row per policy and segmenter, the best IoU first.

    Steps without the stop; seconds as the mean, the median and the 95th percentile; seconds to the first mask that is
    not empty, over the runs that have one; tokens where the policy counts them.
    """
    times = {tuple(each[name] for name in _NAMES): each for each in summary["timing"]}
    table = _table("cost beside quality: means a sample; of seconds also median and 95th percentile")
    for name in ("IoU", "Dice", "steps", "s", "p50", "p95", "policy s", "first mask s", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in sorted(summary["runs"], key=lambda run: -(run["overall"]["iou_per_case"]["value"] or 0.0)):
        spent = times[tuple(run[name] for name in _NAMES)]
        quality = (_number(run["overall"][name]["value"], 3) for name in ("iou_per_case", "dice_per_case"))
        seconds = spent["seconds"] or {}
        table.add_row(
            *(Text(run[name]) for name in _NAMES),
            *quality,
            _mean(run["trajectories"]["length"], 2),
            *(_number(seconds.get(name), 2) for name in ("mean", "p50", "p95")),
            _mean(spent["policy_seconds"], 2),
            _mean(spent["first_mask_seconds"], 2),
            _mean(spent["tokens"], 0),
        )
    return table


def evaluator_table(summary: dict[str, Any]) -> Table:
    """Return the mean score of each evaluator per policy and segmenter, with its interval."""
    table = _table("evaluators: means over the runs that they apply to, intervals of 95 %")
    for name in ("evaluator", "runs", "mean", ""):
        table.add_column(name, justify="left" if name == "evaluator" else "right", no_wrap=True)
    for run in summary["runs"]:
        for name, found in run["evaluators"].items():
            ends = "" if found["low"] is None else f"{found['low']:.2f}-{found['high']:.2f}"
            names = (Text(run[each]) for each in _NAMES)
            table.add_row(*names, Text(name), str(found["n"]), _number(found["value"], 3), ends)
    return table


def _table(caption: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=caption, caption_justify="left")
    for name in _NAMES:
        table.add_column(name)
    return table


def _mean(spread: dict[str, float] | None, digits: int) -> str:
    return _number(spread["mean"] if spread else None, digits)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
