"""Weights: finding and loading them, and the differences between a file and the model that is to take it."""

import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from ibisagent.tools.errors import InputError, MissingExtra, describe_error, install_hint
from ibisagent.tools.files import printable_text

__all__ = [
    "describe_difference",
    "describe_differing_keys",
    "fetch_file",
    "fetch_folder",
    "import_optional",
    "load_checkpoint",
]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_MAX_SHOWN = 3
_SAM2_PACKAGES = ("sam2", "omegaconf", "hydra", "iopath")
_MODELS_PACKAGES = ("transformers", "huggingface_hub", "safetensors")
_SAM2_INSTALL_HINT = (
    f"sam2 is not installed; run in a clone of ibisagent: {install_hint('models')} hydra-core iopath && "
    "SAM2_BUILD_CUDA=0 pip install --no-deps --no-build-isolation sam2==1.1.0 (the extra sam2 would bring torchvision)"
)


def import_optional(name: str) -> Any:
    """Import an optional module; `MissingExtra` when its package is absent, any other ImportError as it is."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in _SAM2_PACKAGES:
            raise MissingExtra(_SAM2_INSTALL_HINT) from error
        if package in _MODELS_PACKAGES:
            raise MissingExtra.of(package, "models") from error
        raise


def load_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict: ``{"model": state_dict}`` as SAM 2 and MedSAM2 publish it, a bare one, or safetensors."""
    try:
        held = _read_checkpoint(path)
    except MissingExtra:
        raise
    except Exception as error:  # unpickling and unzipping what is neither raises almost anything
        raise InputError(
            f"{printable_text(path)}: got no weights ({describe_error(error, 120)}), expected a checkpoint; check it"
        ) from error
    state = held.get("model", held) if isinstance(held, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f'{printable_text(path)}: got no state dict, expected {{"model": state_dict}}; check the file')
    return state


def _read_checkpoint(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return import_optional("safetensors.torch").load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def describe_difference(got: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> str | None:
    """Describe which keys of a model a state dict lacks, adds, or holds in another shape; None when it fits."""
    missing = [name for name in wanted if name not in got]
    unexpected = [name for name in got if name not in wanted]
    reshaped = [name for name in wanted if name in got and got[name].shape != wanted[name].shape]
    return describe_differing_keys(missing, unexpected, reshaped)


def describe_differing_keys(missing: Iterable[str], unexpected: Iterable[str], reshaped: Iterable[str]) -> str | None:
    """Summarize the names of differing keys; None when there are none."""
    parts = [
        _list_keys(missing, "missing"),
        _list_keys(unexpected, "unexpected"),
        _list_keys(reshaped, "of another shape"),
    ]
    return ", ".join(part for part in parts if part) or None


def _list_keys(names: Iterable[str], how: str) -> str:
    names = sorted(names)
    shown = ", ".join([*names[:_MAX_SHOWN], *(["..."] if len(names) > _MAX_SHOWN else [])])
    return f"{len(names)} {'key' if len(names) == 1 else 'keys'} {how} ({shown})" if names else ""


def fetch_folder(source: str) -> Path:
    """Return the folder of a transformers model: a local one, or a hub id's, fetched unless offline or cached."""
    folder = Path(source)
    if (folder / "config.json").is_file():
        return folder
    if folder.exists() or not _HUB_ID.fullmatch(source):
        raise InputError(
            f"{printable_text(source)}: got no config.json there, expected a transformers model's folder or hub id"
        )
    wanted = ["config.json", "model*.safetensors*"]
    found = _call_hub("snapshot_download", source, allow_patterns=wanted)
    if not list(found.glob("model*.safetensors")):  # older repositories
        return _call_hub("snapshot_download", source, allow_patterns=[*wanted, "pytorch_model*.bin*"])
    return found


def fetch_file(name: str, file: str) -> Path:
    """Return one file of a hub id, fetched unless offline or cached."""
    return _call_hub("hf_hub_download", name, filename=file)


def _call_hub(how: str, name: str, **options: Any) -> Path:
    try:
        return Path(getattr(import_optional("huggingface_hub"), how)(name, **options))
    except (OSError, ValueError) as error:
        remedy = "download it and give its path"
        raise InputError(
            f"{printable_text(name)}: got no hub id that can be had ({describe_error(error, 120)}); {remedy}"
        ) from error
