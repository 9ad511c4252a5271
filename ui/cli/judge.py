"""`ibisagent trajectories judge`: evaluators over recorded runs, one run in memory at a time."""

import csv
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ibisagent.agent.privacy import restrict_to_local
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.evaluators import EvaluatorResult, JudgedRun, judge_with
from ibisagent.evals.evaluators.table import open_evaluator, plain_evaluators
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, printable_text, require_writable_folder
from ibisagent.ui.cli.trajectory_files import map_records, print_line, to_printable_line
from ibisagent.ui.record_files import RecordLocation, case_id, list_record_files, read_records

__all__ = ["COLUMNS", "run_judge"]

COLUMNS = ("run", "policy", "segmenter", "reference", "evaluator", "score", "reason")
"""Columns of the CSV, a row per run and evaluator; ``score`` is empty where an evaluator does not apply."""

_LINES = 8  # of reasons why evaluators do not apply


def run_judge(
    runs: list[Path],
    names: Sequence[str] = (),
    *,
    references: list[Path] | None = None,
    dataset: Path | None = None,
    out: Path | None = None,
    local_only: bool = False,
) -> None:
    """Judge all records in files and folders, print a summary table, and write ``out``, a CSV, whole or not at all.

    ``names``: of evaluators; none: all that need no model, those against a reference where there are ``references``. A
    reference is the run of the same picture and request; ``dataset``: names the targets of the records, by their ids.
    """
    with restrict_to_local(local_only):
        evaluators = [open_evaluator(name, local_only=local_only) for name in _names(names, bool(references))]
        if out is not None:
            require_writable_folder(out.parent)
        known = _References.read(references) if references else None
        targets = {case.id: case.target for case in read_dataset(dataset)} if dataset is not None else {}
        table = {each.name: _Tally() for each in evaluators}
        begun, console = time.perf_counter(), Console(stderr=True)

        def judge(place: RecordLocation, record: Trajectory) -> _Judged:
            reference = known.find(record) if known is not None else None
            target = targets.get(case_id(place._replace(number=None)))
            results = judge_with(JudgedRun(record, reference, target), evaluators)
            return _Judged(record.policy, record.segmenter_name, reference is not None, results)

        with _open_csv(out) as write:
            for place, judged in map_records(runs, judge, console, "Judging"):
                for name, result in judged.results.items():
                    table[name].add(result, place)
                    write(place, judged, name, result)
        seconds = time.perf_counter() - begun
    _print(table, known, seconds)
    if out is not None:
        print_line(Console(), f"wrote {out}")


def _names(names: Sequence[str], has_references: bool) -> list[str]:
    chosen = list(dict.fromkeys(names)) or plain_evaluators(reference=has_references)
    needing = [name for name in chosen if not has_references and _needs_reference(name)]
    if needing:
        raise InputError(f"got {needing[0]} without a reference run, expected one; add --reference RUNS")
    return chosen


def _needs_reference(name: str) -> bool:
    return name.partition("?")[0] in set(plain_evaluators(reference=True)) - set(plain_evaluators(reference=False))


class _Judged(NamedTuple):
    policy: str
    segmenter: str
    has_reference: bool
    results: dict[str, EvaluatorResult]


@dataclass
class _Tally:
    """The sums of an evaluator's scores."""

    runs: int = 0
    total: float = 0.0
    full: int = 0
    lowest: float | None = None
    at: str = ""
    silent: int = 0
    reason: str = ""

    def add(self, result: EvaluatorResult, place: RecordLocation) -> None:
        """Count a result."""
        if result.score is None:
            self.silent, self.reason = self.silent + 1, self.reason or result.reason
            return
        self.runs, self.total, self.full = self.runs + 1, self.total + result.score, self.full + (result.score == 1)
        if self.lowest is None or result.score < self.lowest:
            self.lowest, self.at = result.score, to_printable_line(case_id(place))


@contextmanager
def _open_csv(out: Path | None) -> Iterator[Any]:
    """Yield a function that writes a row, which does nothing without a file."""
    if out is None:
        yield lambda *_: None
        return
    with atomic_write(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)

        def write(place: RecordLocation, judged: _Judged, name: str, result: EvaluatorResult) -> None:
            score = "" if result.score is None else repr(result.score)
            texts = (str(place), judged.policy, judged.segmenter, str(int(judged.has_reference)), name)
            writer.writerow([*map(to_printable_line, texts), score, to_printable_line(result.reason)])

        yield write


@dataclass
class _References:
    """Where the reference run of each picture and request lies: its file and the byte that it begins at."""

    places: dict[tuple[str, str, str], tuple[Path, int]]
    repeated: int = 0
    unmatched: int = 0

    @classmethod
    def read(cls, paths: list[Path]) -> "_References":
        """Look all records through; of several with one key the first is taken."""
        found = cls({})
        for path in list_record_files(paths):
            offsets = _line_offsets(path)
            for place, read in read_records(path):
                if isinstance(read, Trajectory):
                    at = path, offsets[place.number - 1] if place.number else 0
                    found.repeated += found.places.setdefault(_key(read), at) is not at
        if not found.places:
            named = ", ".join(map(printable_text, paths))
            raise InputError(
                f"--reference {named}: got no trajectory, expected .json or .jsonl ones; name their folder"
            )
        return found

    def find(self, record: Trajectory) -> Trajectory | None:
        """Read the reference of a run, None where there is none."""
        at = self.places.get(_key(record))
        if at is None:
            self.unmatched += 1
            return None
        path, offset = at
        with path.open("rb") as file:
            file.seek(offset)
            text = file.readline() if path.suffix.lower() == ".jsonl" else file.read()
        return Trajectory.from_json(json.loads(text.decode("utf-8-sig")))


def _key(record: Trajectory) -> tuple[str, str, str]:
    return str(record.image.get("sha")), record.request, record.kind


def _line_offsets(path: Path) -> list[int]:
    """Return the bytes at which the lines of a ``.jsonl`` begin that are not blank."""
    if path.suffix.lower() != ".jsonl":
        return []
    offsets, at = [], 0
    with path.open("rb") as file:
        for line in file:
            if line.decode("utf-8-sig", "replace").strip():
                offsets.append(at)
            at += len(line)
    return offsets


def _print(tallies: dict[str, _Tally], known: _References | None, seconds: float) -> None:
    console, runs = Console(), max(tally.runs + tally.silent for tally in tallies.values())
    console.print(_table(tallies))
    silent = [f"{name}: {tally.reason}" for name, tally in tallies.items() if not tally.runs]
    for line in silent[:_LINES]:
        print_line(console, f"no score by {line}")
    if known is not None:
        print_line(console, f"{runs - known.unmatched} of {runs} runs have a reference" + _repeated(known.repeated))
    print_line(console, f"{runs:,} trajectories in {seconds:.1f} s, {runs / max(seconds, 1e-9):,.0f} a second")


def _repeated(count: int) -> str:
    return f"; {count} references repeat a picture and request, the first was taken" if count else ""


def _table(tallies: dict[str, _Tally]) -> Table:
    """Return a row an evaluator: runs that it applies to, mean, share of full scores, lowest score and its run."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("evaluator", no_wrap=True, min_width=max(map(len, tallies)))
    for head in ("runs", "mean", "full", "lowest"):
        table.add_column(head, justify="right", no_wrap=True, min_width=6)
    table.add_column("of", no_wrap=True, overflow="ellipsis")
    for name, tally in tallies.items():
        if tally.lowest is not None:
            figures = (f"{value:.3f}" for value in (tally.total / tally.runs, tally.full / tally.runs, tally.lowest))
            table.add_row(Text(name), f"{tally.runs:,}", *figures, Text(tally.at if tally.lowest < 1 else ""))
    return table
