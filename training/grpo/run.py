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
from ibisagent.tools.files import hash_files, make_folder
from ibisagent.training.grpo.config import GRPOTraining
from ibisagent.training.grpo.csv_log import CSVLogCallback
from ibisagent.training.grpo.tasks import TaskSet
from ibisagent.training.grpo.trainer_factory import build_grpo_config, build_grpo_trainer, freeze_modules
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
    callbacks: Sequence[TrainerCallback] = (),
) -> Path:
    """Train on the cases of the data sets ``data``; return the model folder ``out``/model.

    ``base`` overrides the file's own model. Checkpoints lie in ``out``/checkpoints, and the same call resumes from the
    last of them, with equal episodes; with other data or settings it is an `InputError`. ``out``/log.jsonl and log.csv
    hold the logged metrics, ``out``/training.json, the last file to be written, these with the settings.
    `RunFailed` where every episode of an update failed, and where the trainer sees something else than the policy did.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    make_folder(out)
    named = base or config.base
    start = NANO if named == "nano" else find_base(named, None if base else config.folder)
    profile = read_profile(start)
    prompt_file = config.folder / config.prompts if config.prompts else find_prompt_file(start / PROFILE)
    settings = build_grpo_config(config, out / "checkpoints", int(profile.get("max_tokens", MAX_TOKENS)))
    tasks = TaskSet.read(data, config.rollouts.absent, settings.seed)
    recorded = {
        "data": _hash_tasks(tasks),
        "prompt_file": hash_files([prompt_file]),
        "base": named,
        "config": config.to_json(),
    }
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
    trainer = build_grpo_trainer(config, model, inputs, prompts, tasks, settings, coordinates=family)
    trainer.remove_callback(PrinterCallback)
    for callback in (LogCallback(out / "log.jsonl"), CSVLogCallback(out / "log.csv"), *callbacks):
        trainer.add_callback(callback)
    checkpoint = last_checkpoint(out / "checkpoints")
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.perf_counter() - started
    trained: Any = trainer.model
    if config.save_fp16:
        trained.half()
    origin = named if start not in (Path(named), config.folder / named, NANO) else str(start.resolve())
    write_model(trainer, inputs, origin, compose_profile(prompt_file, profile), out / "model")
    if trainer.is_world_process_zero():
        if (start / TARGETS_FILE).is_file():
            shutil.copyfile(start / TARGETS_FILE, out / "model" / TARGETS_FILE)
        log = trainer.state.log_history
        write_json(out / _FINISHED, recorded | {"tasks": len(tasks), "seconds": seconds, "log": log})
    return out / "model"


def _hash_tasks(tasks: TaskSet) -> str:
    digest = hashlib.sha256()
    for case in tasks.cases:
        known = [case.id, case.image.name, case.target, case.request, case.present]
        digest.update(repr(known).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()[:16]
