"""`ibisagent trajectories thresholds`: recorded runs under other thresholds of the reward, as tables and a figure."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.thresholds import RunScores, ThresholdSetting, measure_run, summarize_thresholds
from ibisagent.evals.thresholds.figure import write_figure
from ibisagent.evals.thresholds.tables import write_csv, write_markdown
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.tools.files import make_folder, printable_text
from ibisagent.ui.cli.trajectory_files import map_records, print_line
from ibisagent.ui.record_files import RecordLocation, case_id

__all__ = ["parse_tiers", "run_thresholds"]


class _Policy(NamedTuple):
    """A policy as the runs name it: the argument that they lie in, its name and its segmenter's."""

    argument: int
    name: str
    segmenter: str


def parse_tiers(text: str) -> tuple[float, ...]:
    """Parse ``0.5,0.7,0.8``; `InputError` for what is no list of numbers.

    >>> parse_tiers(".5,.75")
    (0.5, 0.75)
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        got = printable_text(text[:40])
        raise InputError(f"got --tiers {got!r}, expected numbers such as 0.5,0.7,0.8; correct them") from None


def run_thresholds(
    paths: Sequence[Path], out: Path, settings: list[ThresholdSetting], *, dataset: Path | None = None
) -> None:
    """Score the records of files and folders under every setting; write and print what depends on it.

    Writes ``thresholds.csv``, ``order_changes.csv``, ``thresholds.md`` and ``thresholds.png`` into ``out``. Runs are
    told apart by policy and segmenter, and where these are the same by the path that they lie in; those of one case
    have files of one name.
    ``dataset``: has each case's modality. One record at a time is in memory.
    """
    MissingExtra.require("eval", "matplotlib")
    modalities = {case.id: case.modality for case in read_dataset(dataset)} if dataset is not None else None
    make_folder(out)
    console, found = Console(stderr=True), dict[_Policy, dict[str, RunScores]]()
    unscored = 0
    for argument, path in enumerate(paths):
        for place, scores in map_records([path], partial(_measure, settings), console, f"Scoring {path}"):
            if scores is None:
                unscored += 1
                continue
            mine = found.setdefault(_Policy(argument, scores.policy, scores.segmenter), {})
            if mine.setdefault(case_id(place), scores) is not scores:
                given = f"got two runs of case {case_id(place)} by {scores.policy}"
                raise InputError(f"{place}: {given}, expected one; name the folders one by one")
    if unscored:
        print_line(console, f"left out: {unscored} runs without a reward (no true mask, not ended, or a tool failed)")
    summary = summarize_thresholds(_name_policies(found, paths), settings, modalities)
    write_csv(out, summary)
    write_markdown(out / "thresholds.md", summary, settings)
    write_figure(out / "thresholds.png", summary)
    printed = Console()
    printed.print((out / "thresholds.md").read_text(encoding="utf-8"), markup=False, highlight=False, soft_wrap=True)
    print_line(printed, f"wrote thresholds.csv, order_changes.csv, thresholds.md and thresholds.png in {out}")


def _measure(settings: Sequence[ThresholdSetting], _place: RecordLocation, record: Trajectory) -> RunScores | None:
    return measure_run(record, settings)


def _name_policies(
    found: dict[_Policy, dict[str, RunScores]], paths: Sequence[Path]
) -> dict[str, dict[str, RunScores]]:
    """Name each policy as shortly as tells it from the others: by its name, its segmenter too, its path too."""
    names = Counter(each.name for each in found)
    with_segmenter = Counter((each.name, each.segmenter) for each in found)
    named = {}
    for each, runs in found.items():
        parts = [each.name]
        if names[each.name] > 1 and len({other.segmenter for other in found if other.name == each.name}) > 1:
            parts.append(each.segmenter)
        if with_segmenter[each.name, each.segmenter] > 1:
            parts.append(str(paths[each.argument]))
        named[", ".join(parts)] = runs
    return named
