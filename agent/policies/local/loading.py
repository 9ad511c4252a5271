"""From a model's folder to a policy."""

import json
import os
import tomllib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from ibisagent.agent.coordinates import model_profile
from ibisagent.agent.policies.abstention.known_targets import TARGETS_FILE, read_targets
from ibisagent.agent.policies.local.policy import MAX_TOKENS, LocalPolicy
from ibisagent.agent.policies.local.processor_inputs import ProcessorInputs
from ibisagent.agent.policies.local.qwen_inputs import QwenInputs
from ibisagent.agent.policies.pointer import PointerConfig
from ibisagent.agent.prompting import PromptSet, load_prompts
from ibisagent.tools.errors import InputError, MissingExtra, describe_error
from ibisagent.tools.files import printable_text
from ibisagent.tools.quiet_loading import suppress_load_output
from ibisagent.tools.segmenters.sam.weights import describe_differing_keys

__all__ = ["PROFILE", "download_folder", "open_local", "open_model", "read_profile"]

PROFILE = "ibisagent.toml"
"""In a model folder: the prompts that the model was trained on, and how its pictures are resized."""

_ADAPTER = "adapter_config.json"
_DOWNLOADED = ("*.json", "*.safetensors", "*.jinja", "*.txt", PROFILE, TARGETS_FILE)
_TYPES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", PointerConfig.model_type)


def open_local(
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    prompts: PromptSet | None = None,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
    max_pixels: int | None = None,
    **options: Any,
) -> LocalPolicy:
    """Open a model folder as a policy; a `PROFILE` in it has the model's prompts and settings.

    A `TARGETS_FILE` in it lists the targets that the model learned. An adapter's folder opens with its base, if that is
    cached. ``dtype``: by default float32 on the CPU, elsewhere that of the weights; ``max_pixels``: of a picture,
    before the folder's own limit. ``prompts`` override those of the profile; ``options`` as in `LocalPolicy`.
    `InputError` for anything but a complete vision-language model: of the Qwen-VL family, a pointer model, or another
    that transformers' `AutoModelForImageTextToText` supports.
    """
    folder = Path(folder)
    profile = read_profile(folder)
    wanted = dtype or (torch.float32 if device == "cpu" else "auto")
    inputs: QwenInputs | ProcessorInputs
    if _read_model_type(folder) in _TYPES:
        model, inputs = open_model(folder, square_side=profile.get("square_side"), dtype=wanted)
    else:
        model, inputs = _open_other(folder, dtype=wanted)
    if max_pixels is not None:
        inputs.limit_pixels(max_pixels)
    if prompts is None and "first" in profile:
        prompts = load_prompts(folder / PROFILE)
    family = "unit" if profile else model_profile(f"{name or folder.name} {model.config.model_type}")
    settings = {"max_tokens": profile.get("max_tokens", MAX_TOKENS), "coordinates": family} | options
    fixed = {"prompts": prompts, "name": name or f"hf:{folder}", "targets": read_targets(folder)}
    fixed |= {"weights": _weight_files(folder)}
    return LocalPolicy(model.to(device), inputs, **fixed | settings)


def _weight_files(folder: Path) -> list[Path]:
    """Return the files of a model's weights, as `from_pretrained` chooses; an adapter's after those of its base."""
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    return [*_weight_files(_find_base(folder)), *files] if (folder / _ADAPTER).is_file() else files


def read_profile(folder: Path) -> dict[str, Any]:
    """Read a model folder's profile; empty when it has none."""
    path = folder / PROFILE
    if not path.is_file():
        return {}
    try:
        profile = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{printable_text(path)}: not a readable TOML file ({str(error).splitlines()[0]})") from error
    for key in ("square_side", "max_tokens"):
        if key in profile and (type(profile[key]) is not int or profile[key] < 1):
            raise InputError(
                f"{printable_text(path)}: got {key}={profile[key]!r}, expected a whole number from 1 up; correct it"
            )
    return profile


def open_model(folder: Path, *, square_side: int | None = None, **options: Any) -> tuple[Any, QwenInputs]:
    """Open a Qwen-VL or pointer model on the CPU, with ``options`` of `from_pretrained`; adapters are merged."""
    found = _read_model_type(folder)
    if found not in _TYPES:
        raise _load_error(folder, f"a model of type {found!r}", "a Qwen-VL model")
    with _loading_errors(folder):
        model, inputs = _load(folder, options), QwenInputs.from_folder(folder, square_side=square_side)
    if inputs.image_token_id != model.config.image_token_id:
        raise _load_error(folder, "another model's tokenizer")
    if inputs.tokenizer.chat_template is None:
        raise _load_error(folder, "no chat template")
    return model, inputs


def _open_other(folder: Path, **options: Any) -> tuple[Any, ProcessorInputs]:
    """Open any other vision-language model that transformers has, with the processor of its folder."""
    found = _read_model_type(folder)
    if found not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise _load_error(folder, f"a model of type {found!r}")
    with _loading_errors(folder):
        model, inputs = _load(folder, options), ProcessorInputs.from_folder(folder)
    if inputs.processor.chat_template is None:
        raise _load_error(folder, "no chat template")
    return model, inputs


@contextmanager
def _loading_errors(folder: Path) -> Iterator[None]:
    """Turn any error of a broken config or file into one line."""
    try:
        with suppress_load_output(transformers.utils.logging):
            yield
    except (ImportError, InputError):
        raise
    except Exception as error:
        raise _load_error(folder, describe_error(error, 120)) from error


def _load(folder: Path, options: dict[str, Any]) -> Any:
    return _load_merged(folder, options) if (folder / _ADAPTER).is_file() else _load_model(folder, options)


def _load_model(folder: Path, options: dict[str, Any]) -> Any:
    loader: Any = transformers.AutoModelForImageTextToText
    model, info = loader.from_pretrained(
        folder,
        local_files_only=True,
        trust_remote_code=False,
        ignore_mismatched_sizes=True,  # they come back by name
        output_loading_info=True,
        **options,
    )
    wrong = describe_differing_keys(
        info["missing_keys"], info["unexpected_keys"], [key[0] for key in info["mismatched_keys"]]
    )
    if wrong is not None:
        raise _load_error(folder, wrong)
    return model


def _load_merged(folder: Path, options: dict[str, Any]) -> Any:
    """Return the base model with the adapter's weights merged into it."""
    MissingExtra.require("train", "peft")
    from peft import PeftModel

    model = _load(_find_base(folder), options)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Found missing adapter keys")
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # what peft asks
        return PeftModel.from_pretrained(model, folder).merge_and_unload()


def download_folder(source: str, **options: Any) -> Path:
    """Return the folder of a hub's ``owner/model`` or ``owner/model/folder``; options of `snapshot_download`."""
    from huggingface_hub import snapshot_download

    owner, _, rest = source.partition("/")
    model, _, inner = rest.partition("/")
    wanted = [f"{inner}/{each}" if inner else each for each in _DOWNLOADED]
    return Path(snapshot_download(f"{owner}/{model}", allow_patterns=wanted, **options)) / inner


def _find_base(folder: Path) -> Path:
    """Return the folder of an adapter's base model."""
    try:
        base = str(json.loads((folder / _ADAPTER).read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _load_error(folder, f"no readable {_ADAPTER}") from error
    try:
        return Path(base) if os.path.isdir(base) else download_folder(base, local_files_only=True)
    except (OSError, ValueError) as error:
        raise _load_error(folder, f"an adapter of {printable_text(base)!r}, which is not here") from error


def _read_model_type(folder: Path) -> str:
    """Return the model's type; of an adapter that of its base."""
    if (folder / _ADAPTER).is_file():
        return _read_model_type(_find_base(folder))
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _load_error(folder, "no readable config.json with a model_type") from error
    return str(found)[:40]


def _load_error(folder: Path, got: str, wanted: str = "a vision-language model") -> InputError:
    return InputError(
        f"{printable_text(folder)}: got {got}, expected a whole transformers folder of {wanted}; check it"
    )
