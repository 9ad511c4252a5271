"""A suite's figures as CSV and Markdown."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ibisagent.evals.stats import Interval
from ibisagent.evals.suites.results import MEAN, Figure, SourceFigure, SuiteResults
from ibisagent.tools.files import atomic_write

__all__ = ["drop_cell", "gap_lines", "table_rows", "to_markdown", "value_cell", "write_tables"]

_ENDS = ("value", "low", "high")
_COLUMNS = ("condition", "kind", "severity", "metric", "n", "pictures", "clean", *_ENDS)
_DROPS = ("drop", "drop_low", "drop_high", "p", "holm_p", "worse", "equal", "better")


def write_tables(results: SuiteResults, out: Path, head: str) -> list[Path]:
    """Write ``SUITE.csv``, ``SUITE-sources.csv`` (where there are several) and ``SUITE.md`` into ``out``.

    ``head``: the line below the title, on what was run.
    """
    name = results.suite.name
    written = [_write_csv(out / f"{name}.csv", (*_COLUMNS, *_DROPS), map(_figure_cells, results.figures))]
    if results.sources:
        head_row = ("kind", "source", "n", "pictures", *_ENDS, *_DROPS[:3])
        written.append(_write_csv(out / f"{name}-sources.csv", head_row, map(_source_cells, results.sources)))
    with atomic_write(out / f"{name}.md") as temporary:
        temporary.write_text(to_markdown(results, head), encoding="utf-8")
    return [*written, out / f"{name}.md"]


def _write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
    return path


def _figure_cells(figure: Figure) -> list[Any]:
    value, drop = figure.value, figure.drop
    names = [figure.condition, figure.kind, figure.severity, figure.metric, value.n, value.units, figure.clean]
    tests = [figure.p, figure.holm_p, figure.worse, figure.equal, figure.better]
    return [*names, *_ends(value), *_ends(drop), *tests]


def _source_cells(figure: SourceFigure) -> list[Any]:
    return [figure.kind, figure.source, figure.value.n, figure.value.units, *_ends(figure.value), *_ends(figure.drop)]


def _ends(interval: Interval | None) -> list[float | None]:
    return [None] * 3 if interval is None else [interval.value, interval.low, interval.high]


def value_cell(figure: Figure | SourceFigure | None, *, ends: bool = False) -> str:
    """Return a value, with its interval if wanted."""
    if figure is None or figure.value.value is None:
        return "-"
    return _cell(figure.value) if ends else f"{figure.value.value:.3f}"


def drop_cell(figure: Figure | SourceFigure | None) -> str:
    """Return a drop with its interval; empty where there is none."""
    return "" if figure is None or figure.drop is None else _cell(figure.drop)


def _cell(interval: Interval) -> str:
    if interval.value is None:
        return "-"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.3f} (n = {interval.n})"
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def table_rows(results: SuiteResults) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of the main table: a row a condition; value and drop of each metric."""
    metrics = [*results.suite.metrics, *(["balanced_accuracy"] if results.suite.accuracy else [])]
    found = {(each.condition, each.metric): each for each in results.figures}
    rows = []
    for name in dict.fromkeys(each.condition for each in results.figures):
        cells = [found.get((name, metric)) for metric in metrics]
        row = [name, str(max((each.value.n for each in cells if each is not None), default=0))]
        for metric, each in zip(metrics, cells, strict=True):
            row += (
                [value_cell(each, ends=True)] if metric == "balanced_accuracy" else [value_cell(each), drop_cell(each)]
            )
        rows.append(row)
    head = ["condition", "n"]
    for metric in metrics:
        head += [metric] if metric == "balanced_accuracy" else [metric, "drop"]
    return head, rows


def to_markdown(results: SuiteResults, head: str) -> str:
    """Return all of a suite's tables; equal results give equal texts."""
    suite = results.suite
    parts = [f"# {suite.name}: {suite.description}", head, *_severities(results), _markdown(*table_rows(results))]
    parts.append(
        "drop: clean less this on the same cases, with the 95 % interval over pictures"
        " (`ibisagent.evals.suites.metrics` says what each column is)."
    )
    parts += [f"* {note}" for note in results.notes]
    if results.sources:
        parts += [f"## Sources: {suite.metrics[0]}", _sources(results)]
        parts += [f"* {line}" for line in gap_lines(results)]
    return "\n\n".join(parts).replace("\n\n* ", "\n* ") + "\n"


def gap_lines(results: SuiteResults) -> Iterator[str]:
    """Yield a line on each kind's gap between the best and the worst source."""
    for kind, (gap, best, worst) in results.gaps.items():
        yield f"{kind}: gap {gap:.3f}, from {best or 'none given'} (best) to {worst or 'none given'} (worst)"


def _severities(results: SuiteResults) -> Iterator[str]:
    """Yield the table of mean drops by kind and severity, as ImageNet-C's, where there are severities."""
    metric = results.suite.metrics[0]
    found = [each for each in results.figures if each.metric == metric and each.drop is not None]
    degrees = sorted({each.severity for each in found if each.severity is not None})
    if not degrees:
        return
    rows = []
    for kind in dict.fromkeys(each.kind for each in found):
        of = {each.severity: each for each in found if each.kind == kind and MEAN not in each.condition}
        last = next((each for each in found if each.kind == kind and each.condition.endswith(MEAN)), None)
        last = next(iter(of.values())) if last is None else last  # of one degree, or of none
        drops = [of[degree].drop if degree in of else None for degree in degrees]
        rows.append(
            [kind, *("" if not drop or drop.value is None else f"{drop.value:.3f}" for drop in drops), drop_cell(last)]
        )
    yield f"Drop of {metric} by severity:"
    yield _markdown(["kind", *map(str, degrees), "mean"], rows)


def _sources(results: SuiteResults) -> str:
    kinds = list(dict.fromkeys(each.kind for each in results.sources))
    found = {(each.kind, each.source): each for each in results.sources}
    rows = []
    for source in dict.fromkeys(each.source for each in results.sources):
        clean = found.get((kinds[0], source))
        n = "0" if clean is None else str(clean.value.n)
        drops = [drop_cell(found.get((kind, source))) for kind in kinds[1:]]
        rows.append([source or "none given", n, value_cell(clean, ends=True), *drops])
    return _markdown(["source", "n", kinds[0], *(f"{kind}: drop" for kind in kinds[1:])], rows)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
