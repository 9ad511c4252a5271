"""The tables of an experiment, and their lines by source and modality, from whatever is measured so far."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ibisagent.evals.stats import Interval
from ibisagent.tools.datasets import Case
from ibisagent.training.arms.cpu_clock import read_cpu_seconds
from ibisagent.training.arms.data import find_cases
from ibisagent.training.arms.experiment import NANO, Experiment, MeasureKind, StageTable
from ibisagent.training.arms.figures import change_figures, level_figures, mean_figure
from ibisagent.training.arms.measuring import Measurement, read_rows
from ibisagent.training.arms.stages import LAST, stage_folder

__all__ = ["cell_folder", "list_measurements", "write_source_table", "write_table"]

_STAGE = ("stage", "seeds", "IoU", "change", "accuracy", "change")
_REFUSALS = ("refused: absent", "present")
_NO_MASK = ("declined: absent", "present", "empty: absent", "present")
_COSTS = ("actions", "wasted", "default", "paper", "CPU s")
_SOURCES = ("stage", "by", "", "cases", "IoU", *_REFUSALS, *_NO_MASK, "actions")
_KINDS: dict[MeasureKind, str] = {
    "clicks": "greedy",
    "both": "begun from the model's own proposal",
    "proposal": "the proposal alone",
}


def cell_folder(experiment: Experiment, stage: str, seed: int, out: Path) -> Path:
    """Return the folder of a measured stage."""
    name = stage.removesuffix(LAST)
    return out / "cells" / f"{experiment.stage_key(name, seed)}{LAST if stage.endswith(LAST) else ''}"


def list_measurements(experiment: Experiment, table: StageTable, case_set: str) -> list[Measurement]:
    """Return how the stages of a table are measured on a set."""
    return [
        Measurement(case_set, draws, experiment.segmenter, experiment.max_steps, kind)
        for kind in table.measure
        for draws in ([0, table.samples] if table.samples and kind == "clicks" else [0])
    ]


def write_table(experiment: Experiment, name: str, case_set: str, seeds: Sequence[int], out: Path) -> str:
    """Return a table as Markdown: a part for each measurement, each stage compared with the first, paired by case.

    A stage that is not measured yet is a row without figures. Seeds are pooled: each case is there once for each, and
    all of its rows are one unit of the bootstrap.
    """
    table, cases = experiment.tables[name], find_cases(experiment, case_set, out)
    parts = []
    for measurement in list_measurements(experiment, table, case_set):
        heads = (*_STAGE, *_REFUSALS, *(_NO_MASK if measurement.kind != "clicks" else ()), *_COSTS)
        lines = [f"{name}, {case_set}, {_describe(measurement)}, {len(cases)} cases"]
        lines += ["", _line(heads), _line(["---"] * len(heads))]
        found = {stage: _read_seeds(experiment, stage, seeds, out, measurement, cases) for stage in table.stages}
        start = found[table.stages[0]]
        lines += [_stage_line(experiment, stage, found[stage], start, out, heads) for stage in table.stages]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def write_source_table(experiment: Experiment, name: str, case_set: str, seeds: Sequence[int], out: Path) -> str:
    """Return the levels of a table's measured stages by the cases' source and by their modality, as Markdown.

    IoU has its interval of 95 %, by a bootstrap that draws whole pictures.
    """
    table, cases = experiment.tables[name], find_cases(experiment, case_set, out)
    parts = []
    for measurement in list_measurements(experiment, table, case_set):
        lines = [f"{name}, {case_set}, {_describe(measurement)}, by source and modality"]
        lines += ["", _line(_SOURCES), _line(["---"] * len(_SOURCES))]
        for stage in table.stages:
            found = _read_seeds(experiment, stage, seeds, out, measurement, cases)
            lines += _source_lines(stage, [row for rows in found.values() for row in rows], cases)
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _describe(measurement: Measurement) -> str:
    return "drawn at temperature 1" if measurement.draws else _KINDS[measurement.kind]


def _source_lines(stage: str, rows: list[dict[str, Any]], cases: Sequence[Case]) -> list[str]:
    lines = []
    for by in ("source", "modality"):
        names = {case.id: str(getattr(case, by)) for case in cases}
        for name in sorted(set(names.values())):
            some = [row for row in rows if names[row["case"]] == name]
            if some:
                levels, count = level_figures(some), len({row["case"] for row in some})
                cells = [_level(mean_figure(some, "iou")), *_share_cells(levels, ("refused", "declined", "empty"))]
                said = name.replace("|", "/") or "none given"
                lines.append(_line([stage, by, said, str(count), *cells, _number(levels.get("actions"), 2)]))
    return lines


def _share_cells(levels: dict[str, float], shares: Sequence[str]) -> list[str]:
    return [_number(levels.get(f"{share}_{word}")) for share in shares for word in ("absent", "present")]


def _read_seeds(
    experiment: Experiment, stage: str, seeds: Sequence[int], out: Path, measurement: Measurement, cases: Any
) -> dict[int, list[dict[str, Any]]]:
    files = {seed: measurement.file(cell_folder(experiment, stage, seed, out), cases) for seed in seeds}
    distinct = {path: seed for seed, path in reversed(files.items())}  # a stage without seeds is there once
    return {
        seed: read_rows(path) for path, seed in sorted(distinct.items(), key=lambda each: each[1]) if path.is_file()
    }


def _stage_line(
    experiment: Experiment,
    stage: str,
    found: dict[int, list[dict[str, Any]]],
    start: dict[int, list[dict[str, Any]]],
    out: Path,
    heads: Sequence[str],
) -> str:
    if not found:
        return _line([stage, "not measured yet", *[""] * (len(heads) - 2)])
    rows = [row for some in found.values() for row in some]
    levels = level_figures(rows)
    changes: dict[str, Interval] = {}
    if start and found is not start:
        before = [row for seed in found for row in start.get(seed, next(iter(start.values())))]
        changes = change_figures(rows, before)
    cells = [stage, ", ".join(map(str, found))]
    for name in ("iou", "accuracy"):
        cells += [_number(levels.get(name)), _change(changes.get(name))]
    cells += _share_cells(levels, ("refused", "declined", "empty") if _NO_MASK[0] in heads else ("refused",))
    cells += [
        f"{_number(levels.get(name), 2)}{_share(levels.get(name), changes.get(name))}" for name in ("actions", "wasted")
    ]
    cells += [_number(levels.get(name)) for name in ("default", "paper")]
    return _line([*cells, _cpu_seconds(experiment, stage, found, out)])


def _cpu_seconds(experiment: Experiment, stage: str, seeds: Any, out: Path) -> str:
    name = stage.removesuffix(LAST)
    if name == NANO:
        return ""
    files = [stage_folder(experiment, name, seed, out) / "cpu.json" for seed in seeds]
    return ", ".join(f"{read_cpu_seconds(path):.0f}" for path in files if path.is_file())


def _number(value: float | None, digits: int = 3) -> str:
    return (
        ""
        if value is None
        else f"{value:.{digits}f}".replace("0.", ".", 1)
        if abs(value) < 1
        else f"{value:.{digits}f}"
    )


def _level(level: Interval) -> str:
    ends = f" ({_number(level.low)} to {_number(level.high)})" if level.low is not None else ""
    return f"{_number(level.value)}{ends}"


def _change(change: Interval | None) -> str:
    if change is None or change.value is None:
        return ""
    ends = f" ({change.low:+.3f} to {change.high:+.3f})" if change.low is not None else ""
    return f"{change.value:+.3f}{ends}"


def _share(level: float | None, change: Interval | None) -> str:
    if level is None or change is None or change.value is None or not level - change.value:
        return ""
    return f" ({change.value / (level - change.value):+.0%})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
