"""Measures models on the cases of a set, greedily and by draws; each measurement is a CSV file that is made once."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.rewards import REWARD_PRESETS, score_trajectory
from ibisagent.evals.trajectories import trajectory_metrics
from ibisagent.tools.datasets import Case
from ibisagent.tools.files import atomic_write, make_folder
from ibisagent.tools.jobs.run_settings import hash_json
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import decode
from ibisagent.training.arms.rollouts import open_runner
from ibisagent.training.grpo.config import read_grpo_training
from ibisagent.training.grpo.tasks import TaskSet

__all__ = ["COLUMNS", "Measurement", "measure_model", "read_rows"]

COLUMNS = ("case", "image", "present", "draw", "stop", "iou", "refused", "actions", "wasted", "default", "paper")
"""``iou``: of present targets; ``actions``: replies before the last; ``default``, ``paper``: rewards."""

_AT_ONCE = 32
_DRAW_SEED = 77


@dataclass(frozen=True, slots=True)
class Measurement:
    """Which cases are run, and how: ``draws`` 0 for greedy replies, else so many draws of each at temperature 1."""

    set: str
    draws: int
    segmenter: str
    max_steps: int

    def file(self, cell: Path, cases: Sequence[Case]) -> Path:
        """Return the file of a cell's rows; its name changes with the cases and the settings."""
        known = [[case.id, case.target, case.request, case.present] for case in cases]
        key = hash_json([known, self.segmenter, self.max_steps, self.draws])[:8]
        return cell / f"{self.set}-{'drawn' if self.draws else 'greedy'}-{key}.csv"


def measure_model(
    folder: Path,
    cases: Sequence[Case],
    measurement: Measurement,
    path: Path,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Run a model on cases, without a proposal of its own, and write the file ``path`` unless it is there.

    Rows so far are kept beside it, so that a killed call is resumed.
    """
    if path.is_file():
        return path
    make_folder(path.parent)
    partial = path.with_suffix(".partial")
    rows = read_rows(partial) if partial.is_file() else []
    changes = (f"rollouts.segmenter='{measurement.segmenter}'", f"rollouts.max_steps={measurement.max_steps}")
    config = read_grpo_training("nano-grpo", changes)
    jobs = [number for number in range(len(cases)) for _ in range(max(measurement.draws, 1))]
    tasks = TaskSet(cases)
    runner = open_runner(folder, config, tasks, 1.0 if measurement.draws else 0.0)
    each = max(measurement.draws, 1)
    step = each * max(1, _AT_ONCE // each)  # all draws of a case at once
    for start in range(len(rows) // each * each, len(jobs), step):
        part = jobs[start : start + step]
        records = runner.record(part, seed=_DRAW_SEED, update=0)
        rows = rows[:start]
        for task, record in zip(part, records, strict=True):
            draw = sum(row["case"] == cases[task].id for row in rows[start:])
            rows.append(_row(cases[task], draw, record))
        _write_rows(partial, rows)
        if on_progress is not None:
            on_progress(len(rows), len(jobs))
    partial.rename(path)
    return path


def _row(case: Case, draw: int, record: Trajectory | str) -> dict[str, Any]:
    row = {"case": case.id, "image": case.image.name, "present": int(case.present), "draw": draw}
    rewards = {
        name: None if isinstance(record, str) else score_trajectory(record, config, target=case.target)
        for name, config in REWARD_PRESETS.items()
    }
    if isinstance(record, str) or record.truth is None or rewards["default"] is None:
        return dict.fromkeys(COLUMNS) | row | {"stop": "failed" if isinstance(record, str) else record.stop}
    metrics = trajectory_metrics(record)
    return row | {
        "stop": record.stop,
        "iou": iou(decode(record.mask), decode(record.truth)) if case.present else None,
        "refused": int(record.stop == "target_absent"),
        "actions": rewards["default"].terms.steps,
        "wasted": metrics.fit.wasted_clicks if metrics.fit is not None else None,
        **{name: reward.total for name, reward in rewards.items() if reward is not None},
    }


def _write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow({name: f"{v:.5g}" if isinstance(v, float) else v for name, v in row.items()})


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a measurement, numbers as such, None where unknown."""
    texts = ("case", "image", "stop")
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: value if name in texts else float(value) if value else None for name, value in row.items()}
            for row in csv.DictReader(file)
        ]
