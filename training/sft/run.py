"""Supervised fine-tuning from a training file: builds or loads the model, runs the trainer, writes a model folder."""

import json
import shutil
import time
import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback

from ibisagent.agent.policies.local import PROFILE, QwenInputs, find_model_folder, open_model, read_profile
from ibisagent.agent.prompting import load_prompts
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import describe_os_error, hash_files, printable_text
from ibisagent.training.from_scratch import MODEL_KINDS, PointerSizes, QwenSizes, write_untrained_model
from ibisagent.training.sft.config import TrainingConfig, build_settings
from ibisagent.training.sft.samples import Samples
from ibisagent.training.sft.trainer import ResumableTrainer
from ibisagent.training.sft.trainer_factory import build_sft_config, build_trainer
from ibisagent.training.sft.training_folder import LogCallback, keep_settings, last_checkpoint, write_json

__all__ = ["train_sft"]

_TEXTS = 4000  # texts that a new tokenizer is trained on, drawn over all samples
_FINISHED = "training.json"


def train_sft(
    config: TrainingConfig,
    data: Sequence[Path],
    out: Path,
    *,
    base: str | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> Path:
    """Train on the ``.jsonl`` files in the folders ``data``; return the model folder ``out``/model.

    ``base`` overrides the file's own model, so that a second training continues the first. Checkpoints lie in
    ``out``/checkpoints, and the same call resumes from the last of them; with other data or settings it is an
    `InputError`. ``out``/log.jsonl holds the logged metrics, ``out``/training.json, the last file to be written, these
    with the data's hash and the settings. Adapters are written as such; `open_local` opens their folder.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    shards = _find_shards(data)
    settings = build_sft_config(config, _make_folder(out) / "checkpoints")
    start = _find_start_folder(config, base, out)
    untrained = start == out / "untrained"
    profile = config.resolve_path(config.profile) if untrained and config.profile else start / PROFILE
    prompt_file = _find_prompt_file(config, profile)
    prompts = load_prompts(prompt_file)
    plain = asdict(config) | {"folder": None, "threads": None}
    recorded = {"data": hash_files(shards), "prompt_file": hash_files([prompt_file]), "base": base, "config": plain}
    with settings.main_process_first(local=False):
        keep_settings(out, recorded)
    if (out / _FINISHED).is_file():
        return out / "model"
    samples = Samples(shards, prompts, mistakes=config.mistakes)
    with settings.main_process_first(local=False):
        if untrained and not (start / PROFILE).is_file():
            write_untrained_model(
                _read_sizes(config.from_scratch or {}), _sample_texts(samples), profile, start, settings.seed
            )
    model, inputs = _open_model(config, start)
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
    _write_model(
        trainer,
        inputs,
        origin,
        _compose_profile(prompt_file, read_profile(start)),
        out / "model",
        save_fp16=config.save_fp16,
    )
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


def _make_folder(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{printable_text(out)}: cannot be made ({describe_os_error(error)}); choose another --out"
        ) from error
    return out


def _find_start_folder(config: TrainingConfig, base: str | None, out: Path) -> Path:
    """Return the folder of the model that is trained on; that of an untrained one may not exist yet."""
    named = base or config.base
    if named is None:
        return out / "untrained"
    beside = config.resolve_path(named)
    return beside if base is None and beside.is_dir() else find_model_folder(named)


def _find_prompt_file(config: TrainingConfig, profile: Path) -> Path:
    """Return the prompt file."""
    if config.prompts:
        return config.resolve_path(config.prompts)
    if profile.is_file() and (profile.name != PROFILE or "first" in read_profile(profile.parent)):
        return profile
    return Path(str(files("ibisagent.agent") / "prompts/default.toml"))


def _sample_texts(samples: Samples) -> Any:
    every = max(1, len(samples) // _TEXTS)
    texts = (text for index in range(0, len(samples), every) for text in samples.texts_of(index))
    return islice(texts, 4 * _TEXTS)


def _open_model(config: TrainingConfig, start: Path) -> tuple[Any, QwenInputs]:
    attention = {"attn_implementation": config.attn_implementation} if config.attn_implementation else {}
    square = read_profile(start).get("square_side")
    model, inputs = open_model(start, square_side=square, dtype=getattr(torch, config.dtype), **attention)
    if config.max_pixels:
        inputs.limit_pixels(config.max_pixels)
    if config.freeze_vision:
        model.model.visual.requires_grad_(False)
    return model, inputs


def _compose_profile(prompt_file: Path, base_profile: dict[str, Any]) -> str:
    """Return the text of the new model's profile: its prompts, and its base's picture sizes."""
    text = prompt_file.read_text(encoding="utf-8")
    own = tomllib.loads(text)
    kept = [key for key in ("square_side", "max_tokens") if key in base_profile and key not in own]
    return "".join(f"{key} = {base_profile[key]}\n" for key in kept) + text


def _write_model(
    trainer: ResumableTrainer, inputs: QwenInputs, origin: str, profile: str, folder: Path, *, save_fp16: bool
) -> None:
    """Write weights, tokenizer, picture processor and profile; adapters are written as such, and name their base."""
    model: Any = trainer.model
    if hasattr(model, "auxiliary_heads"):
        del model.auxiliary_heads
    if save_fp16:
        model.half()
    temporary = folder.with_name(".model")
    trainer.save_model(str(temporary))
    if not trainer.is_world_process_zero():
        return
    adapter = temporary / "adapter_config.json"
    if adapter.is_file():
        adapter_config = json.loads(adapter.read_text(encoding="utf-8")) | {"base_model_name_or_path": origin}
        adapter.write_text(json.dumps(adapter_config, indent=1), encoding="utf-8")
    inputs.pictures.save_pretrained(temporary)
    (temporary / PROFILE).write_text(profile, encoding="utf-8")
    for name in ("training_args.bin", "README.md"):  # what the libraries leave for themselves
        (temporary / name).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
