"""Tables of the report: each value as formatted text, and unrounded as in the results."""

from typing import Any, NamedTuple

__all__ = [
    "ReportCell",
    "ReportColumn",
    "ReportRow",
    "ReportTable",
    "count_cell",
    "drop_empty_columns",
    "interval_cell",
    "mean_cell",
    "number_cell",
    "p_value_cell",
]

IntervalValues = dict[str, Any]
"""An interval of `ibisagent.evals.stats` as JSON."""


class ReportCell(NamedTuple):
    """The formatted ``text``, the unrounded ``value`` with the ends of its interval, and a ``note``.

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
    """A column: its ``key`` in the page, its header ``text``, and the ``policy`` in whose style the header is."""

    key: str
    text: str
    policy: str | None = None


class ReportRow(NamedTuple):
    """A row by its ``name``, its ``segmenter`` if it has one; a ``policy`` is written in that policy's style."""

    name: str
    cells: tuple[ReportCell, ...]
    segmenter: str = ""
    policy: str | None = None


class ReportTable(NamedTuple):
    """``key`` is the table's id in the page, ``name`` the header of its first column."""

    key: str
    name: str
    columns: tuple[ReportColumn, ...]
    rows: tuple[ReportRow, ...]


def number_cell(value: float | None, digits: int = 3) -> ReportCell:
    """Return the cell of a number, a dash for None."""
    return ReportCell("–") if value is None else ReportCell(_text(value, digits), value)


def count_cell(value: int) -> ReportCell:
    """Return the cell of a count."""
    return ReportCell(str(value), value)


def p_value_cell(p: float) -> ReportCell:
    """Return the cell of a p-value."""
    return ReportCell("<0.001" if p < 0.001 else f"{p:.3f}", p)


def interval_cell(found: IntervalValues | None, digits: int = 3, cases: int | None = None) -> ReportCell:
    """Return the cell of a value with its interval, and its number of cases when that is not ``cases``."""
    if not found or found["value"] is None:
        return ReportCell("–")
    low, high = found["low"], found["high"]
    interval = "" if low is None or high is None else f"[{_text(low, digits)}, {_text(high, digits)}]"
    note = "" if cases is None or found["n"] == cases else f"n {found['n']}"
    return ReportCell(_text(found["value"], digits), found["value"], low, high, interval, note)


def mean_cell(spread: IntervalValues | None, digits: int = 1) -> ReportCell:
    """Return the cell of a mean with the median and 95th percentile beside it."""
    if not spread:
        return ReportCell("–")
    half, most = _text(spread["p50"], digits), _text(spread["p95"], digits)
    return ReportCell(_text(spread["mean"], digits), spread["mean"], note=f"{half}, {most}")


def drop_empty_columns(table: ReportTable) -> ReportTable:
    """Return the table without the columns in which there is no number."""
    columns = range(len(table.columns))
    kept = [column for column in columns if any(row.cells[column].value is not None for row in table.rows)]
    return table._replace(
        columns=tuple(table.columns[column] for column in kept),
        rows=tuple(row._replace(cells=tuple(row.cells[column] for column in kept)) for row in table.rows),
    )


def _text(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return f"−{text[1:]}" if text.startswith("-") and float(text) else text.removeprefix("-")
