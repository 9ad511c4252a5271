"""The figures of a suite, all from the rows of its evaluations."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from ibisagent.evals.rows import COLUMNS, Row
from ibisagent.evals.stats import Bootstrap, Interval, compare, holm, mean_interval
from ibisagent.evals.suites.metrics import METRICS
from ibisagent.evals.suites.suite import CLEAN, Condition, Suite
from ibisagent.tools.jobs.jsonl import scan_rows

__all__ = ["MEAN", "ConditionRun", "Figure", "SourceFigure", "SuiteResults", "read_condition", "summarize_suite"]

MEAN = "mean"
"""The condition that stands for all of a kind's severities, and the kind that stands for all kinds."""
_BOOTSTRAP = Bootstrap(resamples=2000)

_Values = dict[str, float]  # by case id


@dataclass(frozen=True, slots=True, eq=False)
class ConditionRun:
    """A condition that was run: its evaluation's folder, its rows by case, and the segmenter's fingerprint."""

    condition: Condition
    folder: Path
    rows: Mapping[str, Row]
    fingerprint: str


class Figure(NamedTuple):
    """A metric under a condition, and how much lower it is than in the clean runs of the same cases.

    ``condition``: its name, or "KIND mean" over a kind's severities, or "mean" over all kinds. ``clean``: mean of the
    clean runs of the cases that count; ``drop``: clean minus this, a case at a time, None for the clean runs
    themselves; ``p``: of the permutation test, ``holm_p``: adjusted for all drops of the suite. ``worse``, ``equal``,
    ``better``: the number of pictures that are so under the condition.
    """

    condition: str
    kind: str
    severity: int | None
    metric: str
    clean: float | None
    value: Interval
    drop: Interval | None = None
    p: float | None = None
    holm_p: float | None = None
    worse: int | None = None
    equal: int | None = None
    better: int | None = None


class SourceFigure(NamedTuple):
    """The first metric on one source under a kind of condition, its severities averaged; ``drop``: as in `Figure`."""

    kind: str
    source: str
    value: Interval
    drop: Interval | None


@dataclass(frozen=True, slots=True, eq=False)
class SuiteResults:
    """All of a suite: the clean run and the conditions' in the suite's order, the figures, and notes of a line each.

    ``gaps``: by kind, the first metric's best source mean less its worst, with both names; empty with one source.
    """

    suite: Suite
    clean: ConditionRun
    runs: Sequence[ConditionRun]
    figures: Sequence[Figure]
    sources: Sequence[SourceFigure]
    gaps: Mapping[str, tuple[float, str, str]]
    notes: Sequence[str]

    def pairs(self, run: ConditionRun) -> list[tuple[Row, Row]]:
        """Return the clean and the changed row of each case that counts."""
        return _pairs(self.clean, run)


def read_condition(condition: Condition, folder: Path, policy: str, segmenter: str, fingerprint: str) -> ConditionRun:
    """Read the finished rows of a condition's evaluation; of rows of one case the last counts."""
    rows = {
        row["id"]: row
        for _, row in scan_rows(folder / "rows.jsonl", COLUMNS)
        if (row["policy"], row["segmenter"]) == (policy, segmenter)
    }
    return ConditionRun(condition, folder, rows, fingerprint)


def summarize_suite(
    suite: Suite, clean: ConditionRun, runs: Sequence[ConditionRun], skipped: Sequence[str] = ()
) -> SuiteResults:
    """Compute a suite's figures; intervals are of 95 %, over pictures. ``skipped``: conditions that no case took."""
    figures = list(
        _adjusted([figure for metric in suite.metrics for figure in _metric_figures(suite, clean, runs, metric)])
    )
    figures += [*_accuracies(clean, runs)] if suite.accuracy else []
    figures += [*_spread(suite, clean, runs)] if suite.spread else []
    sources = list(_source_figures(suite.metrics[0], clean, runs))
    notes = [*_notes(suite, clean, runs), *(f"{name}: no case of this data set can be changed so" for name in skipped)]
    return SuiteResults(suite, clean, runs, figures, sources, _gaps(sources), notes)


def _pairs(clean: ConditionRun, run: ConditionRun) -> list[tuple[Row, Row]]:
    """Pair the rows of a case; a run without the initial mask that its condition is about does not count."""
    bare = run.condition.start == "none"
    return [
        (clean.rows[id], row)
        for id, row in run.rows.items()
        if id in clean.rows
        and clean.rows[id]["status"] == row["status"] == "done"
        and (bare or row["start"] is not None)
    ]


def _metric_figures(suite: Suite, clean: ConditionRun, runs: Sequence[ConditionRun], metric: str) -> Iterator[Figure]:
    images = {id: row["image"] for id, row in clean.rows.items()}
    before = _measure(metric, ((id, row) for id, row in clean.rows.items() if row["status"] == "done"))
    groups = [images[id] for id in before]
    yield Figure(CLEAN.name, CLEAN.kind, None, metric, None, mean_interval([*before.values()], groups, _BOOTSTRAP))
    kinds: dict[str, list[_Values]] = {}
    for run in runs:
        condition = run.condition
        after = _measure(metric, ((row["id"], row) for _, row in _pairs(clean, run)))
        kinds.setdefault(condition.kind, []).append(after)
        yield _compare(condition.name, condition.kind, condition.severity, metric, before, after, images)
    means = {kind: _average(each) for kind, each in kinds.items()}
    for kind, each in kinds.items():
        if len(each) > 1:
            yield _compare(f"{kind} {MEAN}", kind, None, metric, before, means[kind], images)
    if suite.averaged and len(means) > 1:
        yield _compare(MEAN, MEAN, None, metric, before, _average(list(means.values())), images)


def _measure(metric: str, rows: Iterable[tuple[str, Row]]) -> _Values:
    return {id: value for id, row in rows if (value := METRICS[metric](row)) is not None}


def _average(several: Sequence[_Values]) -> _Values:
    """Average a case's values over those that have one."""
    found: dict[str, list[float]] = defaultdict(list)
    for each in several:
        for id, value in each.items():
            found[id].append(value)
    return {id: fmean(values) for id, values in found.items()}


def _compare(
    name: str, kind: str, severity: int | None, metric: str, before: _Values, after: _Values, images: Mapping[str, str]
) -> Figure:
    ids = [id for id in after if id in before]
    first, second, groups = [before[id] for id in ids], [after[id] for id in ids], [images[id] for id in ids]
    value = mean_interval([*after.values()], [images[id] for id in after], _BOOTSTRAP)
    if not ids:
        return Figure(name, kind, severity, metric, None, value)
    found = compare(first, second, groups, _BOOTSTRAP)
    p, counts = found.permutation_p, (found.larger, found.equal, found.smaller)
    return Figure(name, kind, severity, metric, fmean(first), value, found.difference, p, None, *counts)


def _adjusted(figures: Sequence[Figure]) -> Iterator[Figure]:
    """Adjust the p-values of single conditions; a mean over them is no further test."""
    tested = [each for each in figures if each.p is not None and not each.condition.endswith(MEAN)]
    adjusted = dict(zip(map(id, tested), holm([each.p for each in tested if each.p is not None]), strict=True))
    return (each._replace(holm_p=adjusted.get(id(each))) for each in figures)


def _accuracies(clean: ConditionRun, runs: Sequence[ConditionRun]) -> Iterator[Figure]:
    """Yield each condition's balanced accuracy: the mean of the clean verdicts on present targets and of its own."""
    verdict = METRICS["verdict"]
    for run in runs:
        pairs = _pairs(clean, run)
        values = [(verdict(before) + verdict(after)) / 2 for before, after in pairs]  # type: ignore[operator]
        found = mean_interval(values, [before["image"] for before, _ in pairs], _BOOTSTRAP)
        name, kind, severity = run.condition.name, run.condition.kind, run.condition.severity
        yield Figure(name, kind, severity, "balanced_accuracy", None, found)


def _spread(suite: Suite, clean: ConditionRun, runs: Sequence[ConditionRun]) -> Iterator[Figure]:
    """Yield the mean over the cases of the largest value less the smallest, for each metric."""
    for metric in suite.metrics:
        several = [
            _measure(metric, ((id, row) for id, row in run.rows.items() if row["status"] == "done"))
            for run in (clean, *runs)
        ]
        ids = [id for id in several[0] if all(id in each for each in several)]
        spans = [max(each[id] for each in several) - min(each[id] for each in several) for id in ids]
        found = mean_interval(spans, [clean.rows[id]["image"] for id in ids], _BOOTSTRAP)
        yield Figure("spread", "spread", None, metric, None, found)


def _source_figures(metric: str, clean: ConditionRun, runs: Sequence[ConditionRun]) -> Iterator[SourceFigure]:
    by_source: dict[str, set[str]] = {}
    for id, row in clean.rows.items():
        by_source.setdefault(row["source"], set()).add(id)
    if len(by_source) < 2:
        return
    images = {id: row["image"] for id, row in clean.rows.items()}
    before = _measure(metric, ((id, row) for id, row in clean.rows.items() if row["status"] == "done"))
    kinds: dict[str, list[_Values]] = {}
    for run in runs:
        measured = _measure(metric, ((row["id"], row) for _, row in _pairs(clean, run)))
        kinds.setdefault(run.condition.kind, []).append(measured)
    values = {CLEAN.kind: before} | {kind: _average(each) for kind, each in kinds.items()}
    for kind, after in values.items():
        for source, ids in sorted(by_source.items()):
            part = {id: value for id, value in after.items() if id in ids}
            if part:
                found = _compare(kind, kind, None, metric, before, part, images)
                yield SourceFigure(kind, source, found.value, None if after is before else found.drop)


def _gaps(sources: Sequence[SourceFigure]) -> dict[str, tuple[float, str, str]]:
    found = {}
    for kind in dict.fromkeys(each.kind for each in sources):
        means = {
            each.source: each.value.value for each in sources if each.kind == kind and each.value.value is not None
        }
        if len(means) > 1:
            best, worst = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
            found[kind] = (means[best] - means[worst], best, worst)
    return found


def _notes(suite: Suite, clean: ConditionRun, runs: Sequence[ConditionRun]) -> Iterator[str]:
    """Yield what a mean would hide: conditions that changed nothing, equal models under two names, broken cases."""
    if suite.takes == "segmenters":
        for run in runs:
            if run.fingerprint == clean.fingerprint:
                yield f"{run.condition.name}: the same model as the first segmenter, by its fingerprint"
    for run in runs:
        pairs = _pairs(clean, run)
        measured = ("area_px", "intersection_px", "iou", "length", "stop")
        if pairs and all(before[name] == after[name] for before, after in pairs for name in measured):
            yield f"{run.condition.name}: all {len(pairs)} runs ended as the clean ones did"
    for run in (clean, *runs):
        if broken := sum(row["status"] == "broken" for row in run.rows.values()):
            yield f"{run.condition.name}: {broken} of {len(run.rows)} cases are broken and do not count"
