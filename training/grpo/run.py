"""GRPO from a training file: opens the model and the tasks, runs the trainer, writes a model folder."""

import hashlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback

from ibisagent.agent.coordinates import model_profile
from ibisagent.agent.policies.abstention.known_targets import TARGETS_FILE
from ibisagent.agent.policies.local import NANO, PROFILE, read_profile
from ibisagent.agent.policies.local.policy import MAX_TOKENS
from ibisagent.agent.prompting import load_prompts
from ibisagent.tools.datasets import Case, read_dataset
from ibisagent.tools.files import hash_files, make_folder
from ibisagent.training.grpo.config import GRPOTraining
from ibisagent.training.grpo.csv_log import CSVLogCallback
from ibisagent.training.grpo.start_tasks import add_starts, describe_starts
from ibisagent.training.grpo.tasks import TaskSet, balance_cases, choose_cases, hold_out
from ibisagent.training.grpo.trainer_factory import TrainedPolicy, build_grpo_config, build_grpo_trainer, freeze_modules
from ibisagent.training.grpo.validation import ValidationCallback
from ibisagent.training.model_folder import compose_profile, find_base, find_prompt_file, open_trainable, write_model
from ibisagent.training.run_folder import LogCallback, keep_settings, last_checkpoint, write_json

__all__ = ["train_grpo"]

_FINISHED = "training.json"


def train_grpo(
    config: GRPOTraining,
    data: Sequence[Path],
    out: Path,
    *,
    base: str | None = None,
    validation: Sequence[Path] = (),
    starts: Path | None = None,
    roots: Sequence[Path] = (),
    callbacks: Sequence[TrainerCallback] = (),
) -> Path:
    """Train on the cases of the data sets ``data``; return the model folder ``out``/model.

    ``base`` overrides the file's own model. ``validation``: data sets to validate on; without any, pictures are held
    out of the data. The model that is written is the best by validation, which may be the base itself. ``starts``: a
    file of recorded states (`ibisagent.training.starts`) at which ``rollouts.starts`` of the episodes begin; those of
    pictures that are validated on are left out. ``roots``: folders with their pictures, beside that of the file and the
    data sets.

    Checkpoints lie in ``out``/checkpoints, and the same call resumes from the last of them, with equal episodes; with
    other data or settings it is an `InputError`. ``out``/log.jsonl and log.csv hold the logged metrics, those of the
    validations among them, ``out``/training.json, the last file to be written, these with the settings.
    `RunFailed` where every episode of an update failed, and where the trainer sees something else than the policy did.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    make_folder(out)
    named = base or config.base
    start = NANO if named == "nano" else find_base(named, None if base else config.folder)
    profile = read_profile(start)
    prompt_file = config.folder / config.prompts if config.prompts else find_prompt_file(start / PROFILE)
    max_tokens = int(profile.get("max_tokens", MAX_TOKENS))
    settings = build_grpo_config(config, out / "checkpoints", max_tokens)
    tasks, unseen = _read_tasks(config, data, validation, settings.seed)
    recorded = {
        "data": _hash_tasks([*tasks.cases, *unseen.cases]),
        "prompt_file": hash_files([prompt_file]),
        "base": named,
        "config": config.to_json(),
    }
    recorded |= describe_starts(starts, config.rollouts)
    if starts is not None:
        tasks = add_starts(tasks, unseen, starts, (*data, *roots), config.rollouts, settings.seed)
    with settings.main_process_first(local=False):
        keep_settings(out, recorded)
    if (out / _FINISHED).is_file():
        return out / "model"
    model, inputs = open_trainable(
        start,
        dtype=config.dtype,
        attn_implementation=config.attn_implementation,
        max_pixels=config.max_pixels,
    )
    freeze_modules(model, config.freeze)
    family = "unit" if profile else model_profile(f"{start.name} {model.config.model_type}")
    prompts = load_prompts(prompt_file)
    trained = TrainedPolicy(model, inputs, prompts, family, max_tokens)
    trainer = build_grpo_trainer(config, trained, tasks, settings)
    validating = None
    if config.validation.every:
        runner = trained.build_runner(config, unseen, temperature=0.0)
        validating = ValidationCallback(runner, config.reward, config.validation.every, out)
        validating.metrics = trainer.metrics
    trainer.remove_callback(PrinterCallback)
    logs = (LogCallback(out / "log.jsonl"), CSVLogCallback(out / "log.csv"))
    for callback in (*([validating] if validating else ()), *logs, *callbacks):
        trainer.add_callback(callback)
    checkpoint = last_checkpoint(out / "checkpoints")
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.perf_counter() - started
    best = validating.load_best(trainer.model) if validating else trainer.state.global_step
    if config.save_fp16:
        finished: Any = trainer.model
        finished.half()
    origin = named if start not in (Path(named), config.folder / named, NANO) else str(start.resolve())
    write_model(trainer, inputs, origin, compose_profile(prompt_file, profile), out / "model")
    if trainer.is_world_process_zero():
        if (start / TARGETS_FILE).is_file():
            shutil.copyfile(start / TARGETS_FILE, out / "model" / TARGETS_FILE)
        log = trainer.state.log_history
        write_json(
            out / _FINISHED, recorded | {"tasks": len(tasks), "best_update": best, "seconds": seconds, "log": log}
        )
    return out / "model"


def _read_tasks(
    config: GRPOTraining, data: Sequence[Path], validation: Sequence[Path], seed: int
) -> tuple[TaskSet, TaskSet]:
    """Return the tasks that are trained on, and those that are validated on."""
    cases = [case for folder in data for case in read_dataset(folder)]
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
