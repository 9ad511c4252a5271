"""Tables of figures: each figure as it is read, and as it stands in the results to the last digit."""

from typing import Any, NamedTuple

__all__ = ["Cell", "Head", "Line", "Table", "counted", "figure", "given", "known", "mean_of", "probability"]

Figure = dict[str, Any]
"""An interval of `ibisagent.evals.stats` as JSON."""


class Cell(NamedTuple):
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


class Head(NamedTuple):
    """A column: ``key`` names it in the page, ``policy`` is that of the column, whose look it gets."""

    key: str
    text: str
    policy: str | None = None


class Line(NamedTuple):
    """A row by its ``name``, and the ``segmenter`` where it is about one; a ``policy`` is written with its look."""

    name: str
    cells: tuple[Cell, ...]
    segmenter: str = ""
    policy: str | None = None


class Table(NamedTuple):
    """``key`` is the table's id in the page, ``name`` says what its first column holds."""

    key: str
    name: str
    heads: tuple[Head, ...]
    lines: tuple[Line, ...]


def given(value: float | None, digits: int = 3) -> Cell:
    """Write a number, or that there is none."""
    return Cell("–") if value is None else Cell(_text(value, digits), value)


def counted(value: int) -> Cell:
    """Write how many."""
    return Cell(str(value), value)


def probability(p: float) -> Cell:
    """Write a p-value."""
    return Cell("<0.001" if p < 0.001 else f"{p:.3f}", p)


def figure(found: Figure | None, digits: int = 3, cases: int | None = None) -> Cell:
    """Write a figure with its interval, and on how many cases it rests when that is not ``cases``."""
    if not found or found["value"] is None:
        return Cell("–")
    low, high = found["low"], found["high"]
    interval = "" if low is None or high is None else f"[{_text(low, digits)}, {_text(high, digits)}]"
    note = "" if cases is None or found["n"] == cases else f"n {found['n']}"
    return Cell(_text(found["value"], digits), found["value"], low, high, interval, note)


def mean_of(spread: Figure | None, digits: int = 1) -> Cell:
    """Write a mean with the median and 95th percentile beside it."""
    if not spread:
        return Cell("–")
    half, most = _text(spread["p50"], digits), _text(spread["p95"], digits)
    return Cell(_text(spread["mean"], digits), spread["mean"], note=f"{half}, {most}")


def known(table: Table) -> Table:
    """Leave out the columns in which there is no number."""
    columns = range(len(table.heads))
    kept = [column for column in columns if any(line.cells[column].value is not None for line in table.lines)]
    return table._replace(
        heads=tuple(table.heads[column] for column in kept),
        lines=tuple(line._replace(cells=tuple(line.cells[column] for column in kept)) for line in table.lines),
    )


def _text(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return f"−{text[1:]}" if text.startswith("-") and float(text) else text.removeprefix("-")
