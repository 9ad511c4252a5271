"""Imitation of a policy's own best rollouts: SFT on the one of each group that the reward prefers."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.files import atomic_write, make_folder
from ibisagent.training.arms.cpu_clock import CPUClock, read_cpu_seconds
from ibisagent.training.arms.rollouts import open_runner
from ibisagent.training.grpo.config import GRPOTraining
from ibisagent.training.grpo.episodes import Rollout
from ibisagent.training.grpo.estimator import is_dead
from ibisagent.training.grpo.tasks import TaskSet, balance_cases
from ibisagent.training.run_folder import write_json
from ibisagent.training.sft.config import TrainingConfig
from ibisagent.training.sft.run import train_sft

__all__ = ["choose_best", "imitate_best"]

_ROLLED = "rollouts.json"
_TASKS_AT_ONCE = 8


def choose_best(rollouts: Sequence[Rollout], group_size: int) -> list[Rollout]:
    """Return of each group of rollouts the first with the best reward, none of a group whose rewards are all equal."""
    best = list[Rollout]()
    for start in range(0, len(rollouts), group_size):
        group = rollouts[start : start + group_size]
        if not is_dead([each.path for each in group]):
            totals = {number: each.reward.total for number, each in enumerate(group) if each.reward is not None}
            best.append(group[max(totals, key=totals.__getitem__)])
    return best


def imitate_best(
    config: TrainingConfig,
    rollouts: GRPOTraining,
    data: Sequence[Path],
    out: Path,
    *,
    base: Path,
    rounds: int,
    tasks: int,
    seed: int,
    roots: Sequence[Path] = (),
) -> Path:
    """Imitate the best of the model's rollouts ``rounds`` times; return the last model's folder.

    Each round rolls out the last round's model on ``tasks`` cases of the data sets ``data``, drawn by ``seed``,
    ``rollouts.group_size`` times each, and trains it by ``config`` on the best ones. ``roots``: folders with the
    cases' pictures, beside ``data``. A killed call is resumed; ``out``/cpu.json holds the CPU seconds of rollouts and
    trainings.
    """
    cases = [case for folder in data for case in read_dataset(folder)]
    task_set = TaskSet(balance_cases(cases, rollouts.rollouts.absent, seed))
    spent = 0.0
    for number in range(rounds):
        folder = out / f"round-{number}"
        make_folder(folder)
        chosen = _draw_tasks(len(task_set), tasks, seed, number)
        if not (folder / _ROLLED).is_file():
            _roll_out(folder, rollouts, task_set, chosen, base, seed, number)
        clock = CPUClock(folder / "cpu.json")
        base = train_sft(config, [folder], folder / "sft", base=str(base), roots=[*data, *roots], callbacks=[clock])
        rolled = json.loads((folder / _ROLLED).read_text(encoding="utf-8"))["cpu_seconds"]
        spent += rolled + read_cpu_seconds(folder / "cpu.json")
    write_json(out / "cpu.json", {str(rounds): spent})
    return base


def _draw_tasks(count: int, wanted: int, seed: int, number: int) -> list[int]:
    drawn = np.random.default_rng([seed, number]).permutation(count)
    return [int(each) for each in drawn[:wanted]]


def _roll_out(
    folder: Path,
    config: GRPOTraining,
    tasks: TaskSet,
    chosen: Sequence[int],
    model: Path,
    seed: int,
    number: int,
) -> None:
    begun, group_size = time.process_time(), config.rollouts.group_size
    runner = open_runner(model, config, tasks, config.rollouts.temperature)
    best = list[Rollout]()
    for part in _parts(chosen):
        rolled = runner.run([task for task in part for _ in range(group_size)], seed=seed, update=number)
        best += choose_best(rolled, group_size)
    with atomic_write(folder / "best.jsonl") as temporary:
        records = [json.dumps(each.record.to_json()) for each in best if each.record is not None]
        temporary.write_text("".join(f"{record}\n" for record in records), encoding="utf-8")
    figures = {"tasks": len(chosen), "kept": len(best), "cpu_seconds": time.process_time() - begun}
    write_json(folder / _ROLLED, figures)


def _parts(chosen: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(chosen), _TASKS_AT_ONCE):
        yield chosen[start : start + _TASKS_AT_ONCE]
