"""`ibisagent train sft`, `train grpo` and `train dpo`: training with a progress bar."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ibisagent.tools.datasets.sampling import ALL_CASES, CaseFilter
from ibisagent.tools.errors import MissingExtra
from ibisagent.ui.cli.trajectory_files import readable_roots

MissingExtra.require("train", "torch", "transformers", "trl", "peft", "datasets", "accelerate")

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments  # noqa: E402
from transformers.utils import logging  # noqa: E402

__all__ = ["run_dpo", "run_grpo", "run_sft"]

_FIGURES = {
    "loss": "loss",
    "coordinate_nll": "coordinates",
    "reward": "reward",
    "rewards/margins": "margin",
    "iou": "IoU",
    "validation/iou": "unseen IoU",
}


def run_sft(
    config: str,
    data: Sequence[Path],
    out: Path,
    *,
    base: str | None,
    overrides: Sequence[str],
    roots: Sequence[Path] = (),
) -> None:
    """Train by a training config with ``overrides``; the same call resumes an earlier one.

    The trajectories' images are found below ``data``, the current folder or ``roots``.
    """
    from ibisagent.training.sft.config import read_training_config
    from ibisagent.training.sft.run import train_sft

    plan = read_training_config(config, overrides)
    with _training_bar(out) as bar:
        folder = train_sft(plan, data, out, base=base, roots=readable_roots(roots), callbacks=[bar])
    _print_folder(folder)


def run_dpo(
    config: str,
    data: Sequence[Path],
    out: Path,
    *,
    base: str | None,
    overrides: Sequence[str],
    roots: Sequence[Path] = (),
) -> None:
    """Train on pairs by a training config with ``overrides``; pictures and resuming as in `run_sft`."""
    from ibisagent.training.dpo.config import read_dpo_training
    from ibisagent.training.dpo.run import train_dpo

    plan = read_dpo_training(config, overrides)
    with _training_bar(out) as bar:
        folder = train_dpo(plan, data, out, base=base, roots=readable_roots(roots), callbacks=[bar])
    _print_folder(folder)


def run_grpo(
    config: str,
    data: Sequence[Path],
    out: Path,
    *,
    base: str | None,
    validation: Sequence[Path],
    overrides: Sequence[str],
    starts: Path | None = None,
    roots: Sequence[Path] = (),
    part: CaseFilter = ALL_CASES,
) -> None:
    """Train on episodes by a training config with ``overrides``; the same call resumes an earlier one.

    ``part``: which cases of ``data``. The pictures of ``starts`` are found beside the file, below ``data``, the current
    folder or ``roots``.
    """
    from ibisagent.training.grpo.config import read_grpo_training
    from ibisagent.training.grpo.run import train_grpo

    plan = read_grpo_training(config, overrides)
    with _training_bar(out) as bar:
        folder = train_grpo(
            plan,
            data,
            out,
            base=base,
            validation=validation,
            starts=starts,
            roots=readable_roots(roots),
            part=part,
            callbacks=[bar],
        )
    _print_folder(folder)


def _print_folder(folder: Path) -> None:
    if not _is_first_process():
        return
    Console().print(f"wrote {escape(str(folder))}; try it: --policy hf:{escape(str(folder))}", soft_wrap=True)


def _is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"  # as set by torchrun, accelerate and deepspeed


@contextmanager
def _training_bar(out: Path) -> Iterator["_ProgressCallback"]:
    loud: Any = logging
    loud.set_verbosity_error()
    loud.disable_progress_bar()
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (console.is_terminal and _is_first_process()),
    )
    try:
        with progress:
            yield _ProgressCallback(progress)
    except KeyboardInterrupt:
        console.print(f"finished work is kept in {escape(str(out))}; the same command resumes from there")
        raise


class _ProgressCallback(TrainerCallback):
    """Shows the finished steps, the last losses and the remaining time."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("reading", total=None, figures="")

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        del args, control, more
        self._progress.reset(self._task, total=state.max_steps, completed=state.global_step, description="training")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        del args, control, more
        self._progress.update(self._task, completed=state.global_step)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        del args, control, more
        last = state.log_history[-1]
        said = [f"{short} {last[name]:.3f}" for name, short in _FIGURES.items() if name in last]
        if said:
            self._progress.update(self._task, figures=", ".join(said))
