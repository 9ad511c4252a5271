"""The model that is trained: found and opened from a folder or the hub, written as a folder that a policy opens."""

import json
import shutil
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

from ibisagent.agent.policies.local import NANO, PROFILE, QwenInputs, find_model_folder, open_model, read_profile
from ibisagent.tools.errors import InputError
from ibisagent.training.config_files import build_settings

__all__ = [
    "build_lora_config",
    "compose_profile",
    "find_base",
    "find_prompt_file",
    "freeze_modules",
    "open_trainable",
    "write_model",
]


def find_base(named: str, config_folder: Path | None = None) -> Path:
    """Return a model's folder: the shipped ``nano``, one beside the training file that names it, any, or the hub's."""
    if named == "nano":
        return NANO
    beside = config_folder / named if config_folder is not None else None
    return beside if beside is not None and beside.is_dir() else find_model_folder(named)


def find_prompt_file(profile: Path) -> Path:
    """Return the prompt file of a model: its profile, where that has prompts, else ours."""
    if profile.is_file() and (profile.name != PROFILE or "first" in read_profile(profile.parent)):
        return profile
    return Path(str(files("ibisagent.agent") / "prompts/default.toml"))


def open_trainable(
    folder: Path,
    *,
    dtype: str = "float32",
    attn_implementation: str | None = None,
    max_pixels: int | None = None,
    freeze_vision: bool = False,
) -> tuple[Any, QwenInputs]:
    """Open a model with its tokenizer and picture processor; see `ibisagent.training.sft.config` for the settings."""
    attention = {"attn_implementation": attn_implementation} if attn_implementation else {}
    square = read_profile(folder).get("square_side")
    model, inputs = open_model(folder, square_side=square, dtype=getattr(torch, dtype), **attention)
    if max_pixels:
        inputs.limit_pixels(max_pixels)
    if freeze_vision:
        getattr(model, "model", model).visual.requires_grad_(False)  # a pointer model holds it itself
    return model, inputs


def freeze_modules(model: Any, names: Sequence[str]) -> None:
    """Leave modules as they are; a name is the end of a module's own, such as ``visual``; `InputError` for none."""
    for name in names:
        found = [module for own, module in model.named_modules() if own == name or own.endswith(f".{name}")]
        if not found:
            known = ", ".join(own for own, _ in model.named_children())
            raise InputError(f"freeze: got {name!r}, expected the name of a module, such as {known}; correct it")
        for module in found:
            module.requires_grad_(False)


def build_lora_config(table: dict[str, Any] | None) -> Any:
    """Return peft's `LoraConfig` of a training file's table, None without one."""
    if table is None:
        return None
    from peft import LoraConfig

    return build_settings(LoraConfig, table, "lora", task_type="CAUSAL_LM")


def compose_profile(prompt_file: Path, base_profile: dict[str, Any]) -> str:
    """Return the text of the new model's profile: its prompts, and its base's picture sizes."""
    text = prompt_file.read_text(encoding="utf-8")
    own = tomllib.loads(text)
    kept = [key for key in ("square_side", "max_tokens") if key in base_profile and key not in own]
    return "".join(f"{key} = {base_profile[key]}\n" for key in kept) + text


def write_model(trainer: Trainer, inputs: QwenInputs, origin: str, profile: str, folder: Path) -> None:
    """Write weights, tokenizer, picture processor and ``profile``, in the first process alone.

    Adapters are written as such, and name ``origin``, their base: a folder or a hub id.
    """
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
