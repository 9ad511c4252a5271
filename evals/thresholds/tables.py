"""The files of a comparison of thresholds: every row and every change of order as CSV, what counts as Markdown."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ibisagent.evals.stats import Interval
from ibisagent.evals.thresholds.settings import ThresholdSetting
from ibisagent.evals.thresholds.summary import OrderChange, ThresholdRow, ThresholdSummary
from ibisagent.tools.files import atomic_write, printable_text

__all__ = ["write_csv", "write_markdown"]

_HEAD = "| knob | value | policy | reward | 95 % | rank | prompts | best stop | one stop for all | lost |"


def write_csv(folder: Path, summary: ThresholdSummary) -> None:
    """Write ``thresholds.csv``, a row by group of cases, setting and policy, and ``order_changes.csv``."""
    _write_rows(folder / "thresholds.csv", ThresholdRow._fields, summary.rows)
    names = [f"{side}_{end}" for side in ("base", "changed") for end in ("difference", "low", "high")]
    first, last = OrderChange._fields[:6], OrderChange._fields[8:]
    rows = [(*each[:6], *each.base[:3], *each.changed[:3], *each[8:]) for each in summary.order_changes]
    _write_rows(folder / "order_changes.csv", (*first, *names, *last), rows)


def _write_rows(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(rows)


def write_markdown(path: Path, summary: ThresholdSummary, settings: list[ThresholdSetting]) -> None:
    """Write the table over all cases, and the changes of the order of policies: over all cases, and the clear ones."""
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join([*_lines(summary, settings), ""]), encoding="utf-8")


def _lines(summary: ThresholdSummary, settings: list[ThresholdSetting]) -> Iterator[str]:
    yield f"{summary.cases} cases that every policy has; {summary.left_out} left out. Stops are counted in prompts."
    yield from ("", _HEAD, "|---|---|---|---|---|---|---|---|---|---|")
    yield from (_row(row) for row in summary.rows if row.group_by == "all")
    changed = len({(each.knob, each.value) for each in summary.order_changes if each.group_by == "all"})
    others = len(settings) - sum(each.is_base for each in settings)
    yield from ("", f"Over all cases {changed} of {others} other settings change the order of policies.")
    told = [each for each in summary.order_changes if each.is_clear or each.group_by == "all"]
    more = len(summary.order_changes) - len(told)
    if more:
        yield f"Of sizes and modalities only clear changes are told below; {more} others are in order_changes.csv."
    if told:
        yield from ("", "| cases | setting | puts | above | paper's reward: difference | with the setting | clear |")
        yield "|---|---|---|---|---|---|---|"
        yield from map(_order_change, told)


def _row(row: ThresholdRow) -> str:
    value = f"{row.value} (paper)" if row.is_base else row.value
    cells = (row.knob, value, _cell(row.policy), f"{row.reward:.3f}", _ends(row.low, row.high), str(row.rank))
    more = (f"{row.prompts:.2f}", f"{row.best_stop:.2f}", str(row.best_common_stop), f"{row.lost:.3f}")
    return f"| {' | '.join((*cells, *more))} |"


def _order_change(found: OrderChange) -> str:
    group = "all" if found.group_by == "all" else f"{found.group_by} {_cell(found.group)}"
    cells = (group, f"{found.knob} {found.value}", _cell(found.below), _cell(found.above))
    more = (_interval(found.base), _interval(found.changed), "yes" if found.is_clear else "no")
    return f"| {' | '.join((*cells, *more))} |"


def _interval(found: Interval) -> str:
    return f"{found.value:+.3f} ({_ends(found.low, found.high)})"


def _ends(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _cell(text: str) -> str:
    return printable_text(text).replace("|", "\\|")
