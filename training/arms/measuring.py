"""Measures models on the cases of a set in several ways; each measurement is a CSV file that is made once."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ibisagent.agent.proposers import Proposal
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.rewards import REWARD_PRESETS, score_trajectory
from ibisagent.evals.trajectories import trajectory_metrics
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, make_folder
from ibisagent.tools.jobs.run_settings import hash_json
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import area, decode
from ibisagent.training.arms.experiment import MeasureKind
from ibisagent.training.arms.rollouts import open_loop, open_proposals, open_runner
from ibisagent.training.grpo.config import read_grpo_training
from ibisagent.training.grpo.tasks import TaskSet

__all__ = ["COLUMNS", "Measurement", "measure_model", "read_rows"]

COLUMNS = (
    *("case", "image", "present", "draw", "stop", "iou", "refused", "declined", "empty"),
    *("actions", "wasted", "default", "paper"),
)
"""``iou``: of present targets; ``refused``: the target was said to be absent; ``declined``: its name was not learned;
``empty``: the mask is; ``actions``: replies before the last; ``default``, ``paper``: rewards."""

Row = dict[str, Any]
_AT_ONCE = 32
_DRAW_SEED = 77


@dataclass(frozen=True, slots=True)
class Measurement:
    """Which cases are run, and how: ``draws`` 0 for greedy replies, else so many draws of each at temperature 1.

    ``kind``: see `ibisagent.training.arms.experiment.StageTable`; draws are of clicks alone.
    """

    set: str
    draws: int
    segmenter: str
    max_steps: int
    kind: MeasureKind = "clicks"

    def file(self, cell: Path, cases: Sequence[Case]) -> Path:
        """Return the file of a cell's rows; its name changes with the cases and the settings."""
        known = [[case.id, case.target, case.request, case.present] for case in cases]
        key = hash_json([known, self.segmenter, self.max_steps, self.draws])[:8]
        how = self.kind if self.kind != "clicks" else "drawn" if self.draws else "greedy"
        return cell / f"{self.set}-{how}-{key}.csv"


def measure_model(
    folder: Path,
    cases: Sequence[Case],
    measurement: Measurement,
    path: Path,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Run a model on cases as the measurement says, and write the file ``path`` unless it is there.

    Rows so far are kept beside it, so that a killed call is resumed.
    """
    if path.is_file():
        return path
    make_folder(path.parent)
    partial = path.with_suffix(".partial")
    rows = read_rows(partial) if partial.is_file() else []
    each = max(measurement.draws, 1)
    jobs = [number for number in range(len(cases)) for _ in range(each)]
    measure = _open(folder, cases, measurement)
    names = _name_pictures(cases)
    step = each * max(1, _AT_ONCE // each)  # all draws of a case at once
    for start in range(len(rows) // each * each, len(jobs), step):
        part = jobs[start : start + step]
        rows = rows[:start]
        for task, found in zip(part, measure(part), strict=True):
            case = cases[task]
            draw = sum(row["case"] == case.id for row in rows[start:])
            known = {"case": case.id, "image": names[case.image], "present": int(case.present), "draw": draw}
            rows.append(dict.fromkeys(COLUMNS) | known | found)
        _write_rows(partial, rows)
        if on_progress is not None:
            on_progress(len(rows), len(jobs))
    partial.rename(path)
    return path


def _open(folder: Path, cases: Sequence[Case], how: Measurement) -> Callable[[Sequence[int]], list[Row]]:
    """Open a model, and return what measures cases by their numbers."""
    if how.kind == "proposal":
        propose = open_proposals(folder)
        return lambda part: [_proposal_row(cases[task], propose) for task in part]
    if how.kind == "both":
        run = open_loop(folder, how.segmenter, how.max_steps)
        return lambda part: [_run_row(cases[task], run(cases[task])) for task in part]
    changes = (f"rollouts.segmenter='{how.segmenter}'", f"rollouts.max_steps={how.max_steps}")
    runner = open_runner(folder, read_grpo_training("nano-grpo", changes), TaskSet(cases), 1.0 if how.draws else 0.0)

    def run_bare(part: Sequence[int]) -> list[Row]:
        records = runner.record(part, seed=_DRAW_SEED, update=0)
        return [_run_row(cases[task], record) for task, record in zip(part, records, strict=True)]

    return run_bare


def _name_pictures(cases: Sequence[Case]) -> dict[Path, str]:
    """Return a name for each picture's file, its own, with a number where another has that name already."""
    names: dict[str, list[Path]] = {}
    for path in dict.fromkeys(case.image for case in cases):
        names.setdefault(path.name, []).append(path)
    return {
        path: f"{name} ({number})" if number else name
        for name, some in names.items()
        for number, path in enumerate(some)
    }


def _run_row(case: Case, record: Trajectory | str) -> Row:
    rewards = {
        name: None if isinstance(record, str) else score_trajectory(record, config, target=case.target)
        for name, config in REWARD_PRESETS.items()
    }
    if isinstance(record, str) or record.truth is None or rewards["default"] is None:
        return {"stop": "failed" if isinstance(record, str) else record.stop}
    metrics = trajectory_metrics(record)
    return {
        "stop": record.stop,
        "iou": iou(decode(record.mask), decode(record.truth)) if case.present else None,
        "refused": int(record.stop == "target_absent"),
        "declined": int(record.stop == "declined"),
        "empty": int(not area(record.mask)),
        "actions": rewards["default"].terms.steps,
        "wasted": metrics.fit.wasted_clicks if metrics.fit is not None else None,
        **{name: reward.total for name, reward in rewards.items() if reward is not None},
    }


def _proposal_row(case: Case, propose: Callable[[Case], tuple[Proposal, bool]]) -> Row:
    """Measure a proposal, which asserts nothing: whether an absent target was refused stays unknown."""
    try:
        proposal, unknown = propose(case)
        truth = case.read_truth(case.open())
    except InputError:
        return {"stop": "failed"}
    mask = proposal.mask if proposal.mask is not None else np.zeros_like(truth)
    return {
        "stop": "proposed" if mask.any() else "nothing",
        "iou": iou(mask, truth) if case.present else None,
        "declined": int(unknown),
        "empty": int(not mask.any()),
    }


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow({name: f"{v:.5g}" if isinstance(v, float) else v for name, v in row.items()})


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a measurement, numbers as such, None where unknown."""
    texts = ("case", "image", "stop")
    with path.open(newline="", encoding="utf-8") as file:
        return [
            dict.fromkeys(COLUMNS)  # files of before have fewer
            | {name: value if name in texts else float(value) if value else None for name, value in row.items()}
            for row in csv.DictReader(file)
        ]
