"""Preference training from a training file: opens the model and the pairs, runs the trainer, writes a model folder."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import TrainerCallback

from ibisagent.agent.prompting import load_prompts
from ibisagent.tools.files import hash_files, make_folder
from ibisagent.training.dpo.config import DPOTraining
from ibisagent.training.dpo.trainer_factory import build_dpo_config, build_dpo_trainer
from ibisagent.training.model_folder import freeze_modules, open_trainable
from ibisagent.training.samples import Samples, find_shards
from ibisagent.training.training_run import begin_training, find_start, finish_training, run_trainer

__all__ = ["train_dpo"]


def train_dpo(
    config: DPOTraining,
    data: Sequence[Path],
    out: Path,
    *,
    base: str | None = None,
    roots: Sequence[Path] = (),
    callbacks: Sequence[TrainerCallback] = (),
) -> Path:
    """Train on the pairs in the ``.jsonl`` files of the folders ``data``; return the model folder ``out``/model.

    A pair is a state with the policy's reply and a label that is another action: what a person did there
    (`ibisagent.training.corrections`), or an expert (`ibisagent.training.trajectories` with a policy). ``base``
    overrides the file's own model. ``roots``: folders with the trajectories' images, beside ``data``.

    Checkpoints lie in ``out``/checkpoints, and the same call resumes from the last of them; with other data or settings
    it is an `InputError`. ``out``/log.jsonl and log.csv hold the logged metrics, ``out``/training.json, the last file
    to be written, these with the settings.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    shards = find_shards(data)
    make_folder(out)
    start = find_start(base, config.base, config.folder, config.prompts)
    settings = build_dpo_config(config, out / "checkpoints")
    recorded = {
        "data": hash_files(shards),
        "prompt_file": hash_files([start.prompt_file]),
        "base": start.named,
        "config": config.to_json(),
    }
    if not begin_training(out, settings, recorded):
        return out / "model"
    pairs = Samples(shards, load_prompts(start.prompt_file), roots=roots, pairs=True)
    model, inputs = open_trainable(
        start.folder,
        dtype=config.dtype,
        attn_implementation=config.attn_implementation,
        max_pixels=config.max_pixels,
    )
    freeze_modules(model, config.freeze)
    trainer = build_dpo_trainer(config, model, inputs, pairs, settings)
    seconds = run_trainer(trainer, out, callbacks)
    figures = recorded | {"pairs": len(pairs), "seconds": seconds}
    return finish_training(trainer, inputs, start, out, figures, save_fp16=config.save_fp16)
