"""Supervised fine-tuning from a training file: builds or loads the model, runs the trainer, writes a model folder."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from ibisagent.agent.policies.abstention.known_targets import read_targets
from ibisagent.agent.policies.local import PROFILE, read_profile
from ibisagent.agent.prompting import load_prompts
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import hash_files, make_folder
from ibisagent.training.config_files import build_settings
from ibisagent.training.from_scratch import MODEL_KINDS, PointerSizes, QwenSizes, write_untrained_model
from ibisagent.training.model_folder import find_base, find_prompt_file, open_trainable
from ibisagent.training.samples import Samples, find_shards
from ibisagent.training.sft.config import TrainingConfig
from ibisagent.training.sft.grafting import graft_modules
from ibisagent.training.sft.trainer_factory import build_sft_config, build_trainer
from ibisagent.training.taught_names import find_taught_names
from ibisagent.training.training_run import (
    StartModel,
    begin_training,
    describe_origin,
    finish_training,
    run_trainer,
)

__all__ = ["train_sft"]

_TEXTS = 4000  # texts that a new tokenizer is trained on, drawn over all samples


def train_sft(
    config: TrainingConfig,
    data: Sequence[Path],
    out: Path,
    *,
    base: str | None = None,
    roots: Sequence[Path] = (),
    callbacks: Sequence[TrainerCallback] = (),
) -> Path:
    """Train on the ``.jsonl`` files in the folders ``data``; return the model folder ``out``/model.

    ``base`` overrides the file's own model, so that a second training continues the first. ``roots``: folders with the
    trajectories' images, beside ``data``. Checkpoints lie in
    ``out``/checkpoints, and the same call resumes from the last of them; with other data or settings it is an
    `InputError`. ``out``/log.jsonl holds the logged metrics, ``out``/training.json, the last file to be written, these
    with the data's hash and the settings. Adapters are written as such; `open_local` opens their folder.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    shards = find_shards(data)
    make_folder(out)
    settings = build_sft_config(config, out / "checkpoints")
    start = _find_start_folder(config, base, out)
    untrained = start == out / "untrained"
    profile = config.resolve_path(config.profile) if untrained and config.profile else start / PROFILE
    prompt_file = config.resolve_path(config.prompts) if config.prompts else find_prompt_file(profile)
    prompts = load_prompts(prompt_file)
    plain = asdict(config) | {"folder": None, "threads": None}
    recorded = {"data": hash_files(shards), "prompt_file": hash_files([prompt_file]), "base": base, "config": plain}
    if not begin_training(out, settings, recorded):
        return out / "model"
    samples = Samples(shards, prompts, mistakes=config.mistakes, roots=roots)
    with settings.main_process_first(local=False):
        if untrained and not (start / PROFILE).is_file():
            write_untrained_model(
                _read_sizes(config.from_scratch or {}), _sample_texts(samples), profile, start, settings.seed
            )
    model, inputs = open_trainable(
        start,
        dtype=config.dtype,
        attn_implementation=config.attn_implementation,
        max_pixels=config.max_pixels,
        freeze_vision=config.freeze_vision,
    )
    graft_modules(model, config.graft, settings.seed)
    trainer = build_trainer(config, model, inputs, samples, settings)
    seconds = run_trainer(trainer, out, callbacks)
    if hasattr(model, "auxiliary_heads"):
        del model.auxiliary_heads
    named = base or config.base or str(start)
    began = StartModel(named, start, read_profile(start), prompt_file, describe_origin(named, start, config.folder))
    known = read_targets(start)
    taught = find_taught_names(samples.records(), known) if known is not None else {}
    figures = recorded | {"samples": len(samples), "seconds": seconds, "taught": taught}
    return finish_training(trainer, inputs, began, out, figures, save_fp16=config.save_fp16, taught=taught)


def _read_sizes(table: dict[str, Any]) -> QwenSizes | PointerSizes:
    sizes = dict(table)
    kind = sizes.pop("kind", "pointer")
    if kind not in MODEL_KINDS:
        raise InputError(f"[from_scratch]: got kind={kind!r}, expected one of {', '.join(MODEL_KINDS)}; choose one")
    return build_settings(MODEL_KINDS[kind], sizes, "from_scratch")


def _find_start_folder(config: TrainingConfig, base: str | None, out: Path) -> Path:
    """Return the folder of the model that is trained on; that of an untrained one may not exist yet."""
    if base:
        return find_base(base)
    return find_base(config.base, config.folder) if config.base else out / "untrained"


def _sample_texts(samples: Samples) -> Any:
    every = max(1, len(samples) // _TEXTS)
    texts = (text for index in range(0, len(samples), every) for text in samples.texts_of(index))
    return islice(texts, 4 * _TEXTS)
