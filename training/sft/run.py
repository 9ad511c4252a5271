"""Supervised fine-tuning from a training file: builds or loads the model, runs the trainer, writes a model folder."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback

from ibisagent.agent.policies.local import PROFILE, read_profile
from ibisagent.agent.prompting import load_prompts
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import hash_files, make_folder, printable_text
from ibisagent.training.config_files import build_settings
from ibisagent.training.from_scratch import MODEL_KINDS, PointerSizes, QwenSizes, write_untrained_model
from ibisagent.training.model_folder import compose_profile, find_base, find_prompt_file, open_trainable, write_model
from ibisagent.training.run_folder import LogCallback, keep_settings, last_checkpoint, write_json
from ibisagent.training.sft.config import TrainingConfig
from ibisagent.training.sft.samples import Samples
from ibisagent.training.sft.trainer import ResumableTrainer
from ibisagent.training.sft.trainer_factory import build_sft_config, build_trainer

__all__ = ["train_sft"]

_TEXTS = 4000  # texts that a new tokenizer is trained on, drawn over all samples
_FINISHED = "training.json"


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
    shards = _find_shards(data)
    make_folder(out)
    settings = build_sft_config(config, out / "checkpoints")
    start = _find_start_folder(config, base, out)
    untrained = start == out / "untrained"
    profile = config.resolve_path(config.profile) if untrained and config.profile else start / PROFILE
    prompt_file = config.resolve_path(config.prompts) if config.prompts else find_prompt_file(profile)
    prompts = load_prompts(prompt_file)
    plain = asdict(config) | {"folder": None, "threads": None}
    recorded = {"data": hash_files(shards), "prompt_file": hash_files([prompt_file]), "base": base, "config": plain}
    with settings.main_process_first(local=False):
        keep_settings(out, recorded)
    if (out / _FINISHED).is_file():
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
    trainer = build_trainer(config, model, inputs, samples, settings)
    trainer.remove_callback(PrinterCallback)
    for callback in (LogCallback(out / "log.jsonl"), *callbacks):
        trainer.add_callback(callback)
    checkpoint = last_checkpoint(out / "checkpoints")
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.perf_counter() - started
    named = base or config.base
    origin = named if named and start not in (Path(named), config.resolve_path(named)) else str(start.resolve())
    _finish_model(trainer, half=config.save_fp16)
    write_model(trainer, inputs, origin, compose_profile(prompt_file, read_profile(start)), out / "model")
    if trainer.is_world_process_zero():
        log = trainer.state.log_history
        write_json(out / _FINISHED, recorded | {"samples": len(samples), "seconds": seconds, "log": log})
    return out / "model"


def _read_sizes(table: dict[str, Any]) -> QwenSizes | PointerSizes:
    sizes = dict(table)
    kind = sizes.pop("kind", "pointer")
    if kind not in MODEL_KINDS:
        raise InputError(f"[from_scratch]: got kind={kind!r}, expected one of {', '.join(MODEL_KINDS)}; choose one")
    return build_settings(MODEL_KINDS[kind], sizes, "from_scratch")


def _find_shards(data: Sequence[Path]) -> list[Path]:
    shards = [sorted(folder.glob("*.jsonl")) for folder in data]
    for folder, found in zip(data, shards, strict=True):
        if not found:
            raise InputError(f"{printable_text(folder)}: got no .jsonl file, expected trajectories; make some")
    if not shards:
        raise InputError("got no folder of trajectories, expected one or more; name it")
    return [shard for found in shards for shard in found]


def _find_start_folder(config: TrainingConfig, base: str | None, out: Path) -> Path:
    """Return the folder of the model that is trained on; that of an untrained one may not exist yet."""
    if base:
        return find_base(base)
    return find_base(config.base, config.folder) if config.base else out / "untrained"


def _sample_texts(samples: Samples) -> Any:
    every = max(1, len(samples) // _TEXTS)
    texts = (text for index in range(0, len(samples), every) for text in samples.texts_of(index))
    return islice(texts, 4 * _TEXTS)


def _finish_model(trainer: ResumableTrainer, *, half: bool) -> None:
    """Take the auxiliary heads off the trained model, and make its weights float16 where they are written so."""
    model: Any = trainer.model
    if hasattr(model, "auxiliary_heads"):
        del model.auxiliary_heads
    if half:
        model.half()
