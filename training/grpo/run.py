"""GRPO from a training file: opens the model and the tasks, runs the trainer, writes a model folder."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import TrainerCallback

from ibisagent.tools.datasets import Case, read_dataset
from ibisagent.tools.datasets.sampling import ALL_CASES, CaseFilter
from ibisagent.tools.files import hash_files, make_folder
from ibisagent.training.grpo.config import GRPOTraining
from ibisagent.training.grpo.start_tasks import add_starts, describe_starts
from ibisagent.training.grpo.tasks import TaskSet, balance_cases, choose_cases, hold_out
from ibisagent.training.grpo.trainer_factory import TrainedPolicy, build_grpo_config, build_grpo_trainer
from ibisagent.training.grpo.validation import ValidationCallback
from ibisagent.training.training_run import begin_training, find_start, finish_training, run_trainer

__all__ = ["train_grpo"]


def train_grpo(
    config: GRPOTraining,
    data: Sequence[Path],
    out: Path,
    *,
    base: str | None = None,
    validation: Sequence[Path] = (),
    starts: Path | None = None,
    roots: Sequence[Path] = (),
    part: CaseFilter = ALL_CASES,
    callbacks: Sequence[TrainerCallback] = (),
) -> Path:
    """Train on the cases of the data sets ``data``; return the model folder ``out``/model.

    ``base`` overrides the file's own model. ``validation``: data sets to validate on; without any, pictures are held
    out of the data. The model that is written is the best by validation, which may be the base itself. ``starts``: a
    file of recorded states (`ibisagent.training.starts`) at which ``rollouts.starts`` of the episodes begin; those of
    pictures that are validated on are left out. ``roots``: folders with their pictures, beside that of the file and the
    data sets. ``part``: which cases of ``data``; data sets to validate on are taken whole.

    Checkpoints lie in ``out``/checkpoints, and the same call resumes from the last of them, with equal episodes; with
    other data or settings it is an `InputError`. ``out``/log.jsonl and log.csv hold the logged metrics, those of the
    validations among them, ``out``/training.json, the last file to be written, these with the settings.
    `RunFailed` where every episode of an update failed, and where the trainer sees something else than the policy did.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    make_folder(out)
    start = find_start(base, config.base, config.folder, config.prompts)
    settings = build_grpo_config(config, out / "checkpoints", start.max_tokens)
    tasks, unseen = _read_tasks(config, data, part, validation, settings.seed)
    recorded = {
        "data": _hash_tasks([*tasks.cases, *unseen.cases]),
        "prompt_file": hash_files([start.prompt_file]),
        "base": start.named,
        "config": config.to_json(),
    }
    recorded |= describe_starts(starts, config.rollouts)
    if starts is not None:
        tasks = add_starts(tasks, unseen, starts, (*data, *roots), config.rollouts, settings.seed)
    if not begin_training(out, settings, recorded):
        return out / "model"
    trained = TrainedPolicy.open(start, config)
    trainer = build_grpo_trainer(config, trained, tasks, settings)
    validating = None
    if config.validation.every:
        runner = trained.build_runner(config, unseen, temperature=0.0)
        validating = ValidationCallback(runner, config.reward, config.validation.every, out)
        validating.metrics = trainer.metrics
        trainer.add_callback(validating)
    seconds = run_trainer(trainer, out, callbacks)
    best = validating.load_best(trainer.model) if validating else trainer.state.global_step
    figures = recorded | {"tasks": len(tasks), "best_update": best, "seconds": seconds}
    return finish_training(trainer, trained.inputs, start, out, figures, save_fp16=config.save_fp16)


def _read_tasks(
    config: GRPOTraining, data: Sequence[Path], part: CaseFilter, validation: Sequence[Path], seed: int
) -> tuple[TaskSet, TaskSet]:
    """Return the tasks that are trained on, and those that are validated on."""
    cases = part.select(case for folder in data for case in read_dataset(folder))
    unseen = [case for folder in validation for case in read_dataset(folder)]
    if config.validation.every and not validation:
        cases, unseen = hold_out(cases, config.validation.pictures, seed)
    tasks = TaskSet(balance_cases(cases, config.rollouts.absent, seed))
    return tasks, TaskSet(choose_cases(unseen, config.validation.cases, seed) if config.validation.every else [])


def _hash_tasks(cases: Sequence[Case]) -> str:
    digest = hashlib.sha256()
    for case in cases:
        known = [case.id, case.image.name, case.target, case.request, case.present]
        digest.update(repr(known).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()[:16]
