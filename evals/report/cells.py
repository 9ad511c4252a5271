"""Tables of figures: each figure as it is read, and as it stands in the results to the last digit."""

from typing import Any, NamedTuple

__all__ = ["ReportCell", "ReportColumn", "ReportRow", "ReportTable", "count_cell", "interval_cell", "number_cell", "drop_empty_columns", "mean_cell", "p_value_cell"]

IntervalValues = dict[str, Any]
"""An interval of `ibisagent.evals.stats` as JSON."""


class ReportCell(NamedTuple):
    """``text`` to read, ``value`` in full with the ends of its interval; ``note``: what else is to be said of it.

    ``share``, from 0 to 1: the length of a bar behind it.
    """

    text: str
    value: float | int | None = None
    low: float | None = None
    high: float | None = None
    interval: str = ""
    note: str = ""
    share: float | None = None


class ReportColumn(NamedTuple):
    """A column: ``key`` names it in the page, ``policy`` is that of the column, whose look it gets."""

    key: str
    text: str
    policy: str | None = None


class ReportRow(NamedTuple):
    """A row by its ``name``, and the ``segmenter`` where it is about one; a ``policy`` is written with its look."""

    name: str
    cells: tuple[ReportCell, ...]
    segmenter: str = ""
    policy: str | None = None


class ReportTable(NamedTuple):
    """``key`` is the table's id in the page, ``name`` says what its first column holds."""

    key: str
    name: str
    columns: tuple[ReportColumn, ...]
    rows: tuple[ReportRow, ...]


def number_cell(value: float | None, digits: int = 3) -> ReportCell:
    """Write a number, or that there is none."""
    return ReportCell("–") if value is None else ReportCell(_text(value, digits), value)


def count_cell(value: int) -> ReportCell:
    """Write how many."""
    return ReportCell(str(value), value)


def p_value_cell(p: float) -> ReportCell:
    """Write a p-value."""
    return ReportCell("<0.001" if p < 0.001 else f"{p:.3f}", p)


def interval_cell(found: IntervalValues | None, digits: int = 3, cases: int | None = None) -> ReportCell:
    """Write a figure with its interval, and on how many cases it rests when that is not ``cases``."""
    if not found or found["value"] is None:
        return ReportCell("–")
    low, high = found["low"], found["high"]
    interval = "" if low is None or high is None else f"[{_text(low, digits)}, {_text(high, digits)}]"
    note = "" if cases is None or found["n"] == cases else f"n {found['n']}"
    return ReportCell(_text(found["value"], digits), found["value"], low, high, interval, note)


def mean_cell(spread: IntervalValues | None, digits: int = 1) -> ReportCell:
    """Write a mean with the median and 95th percentile beside it."""
    if not spread:
        return ReportCell("–")
    half, most = _text(spread["p50"], digits), _text(spread["p95"], digits)
    return ReportCell(_text(spread["mean"], digits), spread["mean"], note=f"{half}, {most}")


def drop_empty_columns(table: ReportTable) -> ReportTable:
    """Leave out the columns in which there is no number."""
    columns = range(len(table.columns))
    kept = [column for column in columns if any(line.cells[column].value is not None for line in table.rows)]
    return table._replace(
        heads=tuple(table.columns[column] for column in kept),
        lines=tuple(line._replace(cells=tuple(line.cells[column] for column in kept)) for line in table.rows),
    )


def _text(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return f"−{text[1:]}" if text.startswith("-") and float(text) else text.removeprefix("-")
