"""What rollouts and updates of GRPO cost: ``python -m ibisagent.training.grpo.benchmark``.

nano with geocut on phantoms of 144 x 144 pixels, at most six actions, one thread; seconds are those of the CPU, so that
other work on the machine hardly counts. Printed are episodes for each second by how many run at once, calls of the
models for a group of eight rollouts on one picture, and an update of eight such groups by its parts.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from datasets.utils.logging import disable_progress_bar
from rich.console import Console
from rich.table import Table
from transformers import PrinterCallback, TrainerCallback

from ibisagent.agent.policies.local import NANO, PROFILE
from ibisagent.agent.prompting import load_prompts
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.segmenters import Prediction
from ibisagent.tools.segmenters.base import Pixels
from ibisagent.tools.segmenters.geocut import GeocutSegmenter
from ibisagent.training.grpo.config import GRPOTraining, read_grpo_training
from ibisagent.training.grpo.episodes import EpisodeRunner, Rollout
from ibisagent.training.grpo.tasks import TaskSet, balance_cases
from ibisagent.training.grpo.trainer_factory import TrainedPolicy, build_grpo_config, build_grpo_trainer
from ibisagent.training.model_folder import freeze_modules, open_trainable
from ibisagent.training.phantoms.folder import PhantomDatasetSpec, write_phantoms

__all__ = ["GroupCalls", "count_group_calls", "count_prefixes", "main"]

_SEED = 9_700_000  # of phantoms that no training drew
_TOKENS, _UPDATES = 160, 1
_AT_ONCE = {1: 16, 8: 32, 64: 64}  # episodes by how many run at once


class GroupCalls(NamedTuple):
    """Calls for the rollouts of one task: the segmenter's ``encoder`` and ``decoder``, pictures the policy encoded.

    ``turns``: of all rollouts; ``prefixes``: distinct lists of prompts that were in force.
    """

    encoder: int
    decoder: int
    policy_pictures: int
    turns: int
    prefixes: int


class _CountingGeocut(GeocutSegmenter):
    """geocut, counting its calls."""

    def __init__(self, calls: Counter[str]) -> None:
        super().__init__()
        object.__setattr__(self, "_calls", calls)  # its settings are frozen

    def embed(self, pixels: Pixels) -> Any:
        self._calls["encoder"] += 1  # type: ignore[attr-defined]
        return super().embed(pixels)

    def predict(self, embedding: Any, prompts: Sequence[Prompt], prior: Any) -> Prediction:
        self._calls["decoder"] += 1  # type: ignore[attr-defined]
        return super().predict(embedding, prompts, prior)


class _Setting(NamedTuple):
    """What the measurements share."""

    config: GRPOTraining
    trained: TrainedPolicy
    tasks: TaskSet

    def runner(self, workers: int, segmenter: Any = "geocut") -> EpisodeRunner:
        """Return what runs ``workers`` episodes at once."""
        rollouts = replace(self.config.rollouts, workers=workers, segmenter=segmenter)
        return self.trained.build_runner(replace(self.config, rollouts=rollouts), self.tasks, 1.0)


def _prepare(folder: Path) -> _Setting:
    disable_progress_bar()
    config = read_grpo_training("nano-grpo", ["validation.every=0", f"train.max_steps={_UPDATES}"])
    model, inputs = open_trainable(NANO)
    freeze_modules(model, config.freeze)
    write_phantoms(PhantomDatasetSpec(count=24, seed=_SEED, size=144), folder / "set", workers=1)
    tasks = TaskSet(balance_cases(read_dataset(folder / "set"), config.rollouts.absent, 0))
    return _Setting(config, TrainedPolicy(model, inputs, load_prompts(NANO / PROFILE), "unit", _TOKENS), tasks)


def count_prefixes(rollouts: Sequence[Rollout]) -> int:
    """Return the number of distinct lists of prompts that were in force in the rollouts of a task.

    A prompt that the policy undid counts with those before it.
    """
    prefixes = set()
    for rollout in rollouts:
        active: list[str] = []
        for step in rollout.record.steps if rollout.record is not None else ():
            kind = step.action["type"] if step.action and step.outcome == "applied" else None
            if kind == "backtrack":
                active = active[:-1]
            elif kind in ("point", "box", "similar"):
                active = [*active, str(step.action)]
                prefixes.add(tuple(active))
    return len(prefixes)


def count_group_calls(setting: _Setting, size: int = 8) -> GroupCalls:
    """Count the calls of a group of rollouts on the first present target."""
    counted, pictures = Counter[str](), list[int]()
    visual = setting.trained.model.visual
    hook = visual.register_forward_hook(lambda _, given, __: pictures.append(given[0].shape[0]))
    try:
        runner = setting.runner(size, _CountingGeocut(counted))
        task = next(number for number, case in enumerate(setting.tasks.cases) if case.present)
        rollouts = runner.run([task] * size, seed=0, update=0)
    finally:
        hook.remove()
    turns = [row for rollout in rollouts for row in rollout.rows]
    shown = sum(pictures) // len(turns[0].patches)
    return GroupCalls(counted["encoder"], counted["decoder"], shown, len(turns), count_prefixes(rollouts))


def _throughput_table(setting: _Setting) -> Table:
    heads = ("episodes at once", "episodes", "turns", "CPU s", "episodes a CPU s")
    table = Table(*heads, title="Rollouts, nano and geocut")
    setting.runner(8).run(range(4), seed=1, update=0)  # warms up
    for workers, episodes in _AT_ONCE.items():
        jobs = [number % len(setting.tasks) for number in range(episodes)]
        begun = time.process_time()
        rollouts = setting.runner(workers).run(jobs, seed=0, update=0)
        spent = time.process_time() - begun
        turns = sum(len(rollout.rows) for rollout in rollouts)
        figures = (f"{spent:.1f}", f"{episodes / spent:.2f}")
        table.add_row(str(workers), str(episodes), str(turns), *figures)
    return table


def _group_table(calls: GroupCalls) -> Table:
    table = Table("", "calls", title="Eight rollouts of one task")
    rows = {
        "segmenter, encoder": calls.encoder,
        "segmenter, decoder": calls.decoder,
        "distinct lists of prompts, the most that the decoder may be called": calls.prefixes,
        "policy, pictures encoded": calls.policy_pictures,
        "turns": calls.turns,
    }
    for name, count in rows.items():
        table.add_row(name, str(count))
    return table


class _StepClock(TrainerCallback):
    """CPU seconds of each update."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._begun = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._begun = time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.process_time() - self._begun)


def _update_table(setting: _Setting, folder: Path) -> Table:
    settings = build_grpo_config(setting.config, folder / "checkpoints", _TOKENS)
    settings.save_strategy = "no"
    trainer = build_grpo_trainer(setting.config, setting.trained, setting.tasks, settings)
    trainer.remove_callback(PrinterCallback)
    clock, spent = _StepClock(), {"rollouts": list[float](), "rows": list[float]()}
    trainer.add_callback(clock)
    untyped: Any = trainer
    run, build = untyped._runner.run, untyped._generate_and_score_completions

    def timed_run(*given: Any, **options: Any) -> Any:
        begun = time.process_time()
        try:
            return run(*given, **options)
        finally:
            spent["rollouts"].append(time.process_time() - begun)

    def timed_build(inputs: Any) -> Any:
        begun = time.process_time()
        try:
            return build(inputs)
        finally:
            spent["rows"].append(time.process_time() - begun - spent["rollouts"][-1])

    untyped._runner.run, untyped._generate_and_score_completions = timed_run, timed_build
    trainer.train()
    log = [row for row in trainer.state.log_history if "rows" in row]
    heads = ("update", "rows", "CPU s", "rollouts", "rows to tensors", "forward, backward, step")
    table = Table(*heads, title="An update of 8 tasks x 8 rollouts, vision encoder frozen")
    for number, (row, whole) in enumerate(zip(log, clock.seconds, strict=True)):
        parts = spent["rollouts"][number], spent["rows"][number]
        rest = whole - sum(parts)
        table.add_row(str(number + 1), f"{row['rows']:.0f}", *(f"{each:.1f}" for each in (whole, *parts, rest)))
    return table


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        setting = _prepare(Path(folder))
        console.print(_throughput_table(setting))
        console.print(_group_table(count_group_calls(setting)))
        console.print(_update_table(setting, Path(folder)))


if __name__ == "__main__":
    main()
