"""Supervised fine-tuning from a training file: the model made or opened, the trainer run, a model folder written."""

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

from ibisagent.agent.policies.local import PROFILE, Inputs, folder_of, open_model, read_profile
from ibisagent.agent.prompting import load_prompts
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import digest, label, reason_of
from ibisagent.training.from_scratch import KINDS, Fresh, FreshPointer, make_fresh
from ibisagent.training.sft.config import Plan, built
from ibisagent.training.sft.run_folder import Log, keep_settings, last_checkpoint, write_json
from ibisagent.training.sft.samples import Samples
from ibisagent.training.sft.trainer import PlainTrainer
from ibisagent.training.sft.trainer_factory import settings_of, trainer_of

__all__ = ["train_sft"]

_TEXTS = 4000  # texts that a new tokenizer is trained on, drawn over all samples
_FINISHED = "training.json"


def train_sft(
    plan: Plan, data: Sequence[Path], out: Path, *, base: str | None = None, callbacks: Sequence[TrainerCallback] = ()
) -> Path:
    """Train on the ``.jsonl`` files in the folders ``data``; give the model folder ``out``/model.

    ``base`` goes before the plan's own model: a second training goes on from the first. Checkpoints lie in
    ``out``/checkpoints, and the same call goes on from the last of them; with other data or settings it is an
    `InputError`. ``out``/log.jsonl holds the figures logged, ``out``/training.json, the last file to be written, these
    with the data's hash and the settings. Adapters are written as such; `open_local` opens their folder.
    """
    if plan.threads:
        torch.set_num_threads(plan.threads)
    shards = _shards(data)
    settings = settings_of(plan, _made(out) / "checkpoints")
    start = _start(plan, base, out)
    fresh = start == out / "fresh"
    profile = plan.path(plan.profile) if fresh and plan.profile else start / PROFILE
    words = _words(plan, profile)
    prompts = load_prompts(words)
    settled = asdict(plan) | {"folder": None, "threads": None}
    told = {"data": digest(shards), "words": digest([words]), "base": base, "plan": settled}
    with settings.main_process_first(local=False):
        keep_settings(out, told)
    if (out / _FINISHED).is_file():
        return out / "model"
    samples = Samples(shards, prompts, mistakes=plan.mistakes)
    with settings.main_process_first(local=False):
        if fresh and not (start / PROFILE).is_file():
            make_fresh(_sizes(plan.fresh or {}), _texts(samples), profile, start, settings.seed)
    model, inputs = _opened(plan, start)
    trainer = trainer_of(plan, model, inputs, samples, settings)
    trainer.remove_callback(PrinterCallback)
    for callback in (Log(out / "log.jsonl"), *callbacks):
        trainer.add_callback(callback)
    checkpoint = last_checkpoint(out / "checkpoints")
    begun = time.perf_counter()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.perf_counter() - begun
    named = base or plan.base
    origin = named if named and start not in (Path(named), plan.path(named)) else str(start.resolve())
    _write(trainer, inputs, origin, _profile(words, read_profile(start)), out / "model", half=plan.half)
    if trainer.is_world_process_zero():
        log = trainer.state.log_history
        write_json(out / _FINISHED, told | {"samples": len(samples), "seconds": seconds, "log": log})
    return out / "model"


def _sizes(table: dict[str, Any]) -> Fresh | FreshPointer:
    sizes = dict(table)
    kind = sizes.pop("kind", "pointer")
    if kind not in KINDS:
        raise InputError(f"[fresh]: got kind={kind!r}, expected one of {', '.join(KINDS)}; choose one")
    return built(KINDS[kind], sizes, "fresh")


def _shards(data: Sequence[Path]) -> list[Path]:
    shards = [sorted(folder.glob("*.jsonl")) for folder in data]
    for folder, found in zip(data, shards, strict=True):
        if not found:
            raise InputError(f"{label(folder)}: got no .jsonl file, expected trajectories; make some")
    if not shards:
        raise InputError("got no folder of trajectories, expected one or more; name it")
    return [shard for found in shards for shard in found]


def _made(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{label(out)}: cannot be made ({reason_of(error)}); choose another --out") from error
    return out


def _start(plan: Plan, base: str | None, out: Path) -> Path:
    """Give the folder of the model that is trained on; that of a fresh one is yet to be made."""
    named = base or plan.base
    if named is None:
        return out / "fresh"
    beside = plan.path(named)
    return beside if base is None and beside.is_dir() else folder_of(named)


def _words(plan: Plan, profile: Path) -> Path:
    """Give the file with the words of the prompts."""
    if plan.prompts:
        return plan.path(plan.prompts)
    if profile.is_file() and (profile.name != PROFILE or "first" in read_profile(profile.parent)):
        return profile
    return Path(str(files("ibisagent.agent") / "prompts/default.toml"))


def _texts(samples: Samples) -> Any:
    every = max(1, len(samples) // _TEXTS)
    texts = (text for index in range(0, len(samples), every) for text in samples.texts_of(index))
    return islice(texts, 4 * _TEXTS)


def _opened(plan: Plan, start: Path) -> tuple[Any, Inputs]:
    attention = {"attn_implementation": plan.attention} if plan.attention else {}
    square = read_profile(start).get("square")
    model, inputs = open_model(start, square=square, dtype=getattr(torch, plan.dtype), **attention)
    if plan.max_pixels:
        inputs.limit(plan.max_pixels)
    if plan.freeze_vision:
        model.model.visual.requires_grad_(False)
    return model, inputs


def _profile(words: Path, held: dict[str, Any]) -> str:
    """Give the text of the new model's profile: the words that it learned, and its base's way with pictures."""
    text = words.read_text(encoding="utf-8")
    own = tomllib.loads(text)
    kept = [key for key in ("square", "longest") if key in held and key not in own]
    return "".join(f"{key} = {held[key]}\n" for key in kept) + text


def _write(trainer: PlainTrainer, inputs: Inputs, origin: str, profile: str, folder: Path, *, half: bool) -> None:
    """Write weights, tokenizer, picture processor and profile; adapters are written as such, and name their base."""
    model: Any = trainer.model
    if hasattr(model, "guides"):
        del model.guides
    if half:
        model.half()
    making = folder.with_name(".model")
    trainer.save_model(str(making))
    if not trainer.is_world_process_zero():
        return
    adapter = making / "adapter_config.json"
    if adapter.is_file():
        told = json.loads(adapter.read_text(encoding="utf-8")) | {"base_model_name_or_path": origin}
        adapter.write_text(json.dumps(told, indent=1), encoding="utf-8")
    inputs.pictures.save_pretrained(making)
    (making / PROFILE).write_text(profile, encoding="utf-8")
    for name in ("training_args.bin", "README.md"):  # what the libraries leave for themselves
        (making / name).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    making.rename(folder)
