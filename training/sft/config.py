"""The file that describes a training: which model, on which trajectories, with which loss and TRL settings."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text
from ibisagent.training.sft.samples import MistakeHandling

__all__ = ["Loss", "TrainingConfig", "build_settings", "list_shipped_configs", "read_training_config"]

_Settings = TypeVar("_Settings")
_SHIPPED = Path(str(files("ibisagent.training") / "configs"))
_TYPES: dict[str, type] = {
    **dict.fromkeys(("base", "profile", "prompts", "mistakes", "attn_implementation", "dtype"), str),
    **dict.fromkeys(("from_scratch", "loss", "lora", "train"), dict),
    **dict.fromkeys(("pack", "max_pixels", "threads"), int),
    **dict.fromkeys(("freeze_vision", "save_fp16"), bool),
}


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss over packed rows.

    ``coordinates``: weight of a coordinate token. ``coordinate_sigma``: deviation, in tokens, of the Gaussian target
    over neighbouring coordinates; 0 for the one token. ``refusals``: weight of the tokens of a reply that refuses;
    below 1 a wrong refusal costs more than a wrong try. ``mask``: weight of a pointer model's maps of target and mask.
    ``attention``, ``position``: weights of the auxiliary losses (`ibisagent.training.sft.auxiliary_losses`) of a
    Qwen-VL that is trained from scratch, both 0: none.
    """

    coordinates: float = 2.0
    coordinate_sigma: float = 1.0
    refusals: float = 1.0
    attention: float = 0.0
    position: float = 0.0
    mask: float = 1.0


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """A training as its TOML file describes it; paths are relative to the file's folder.

    ``base``: model folder or id that is trained on. ``from_scratch``: ``kind`` and sizes of an untrained model
    instead (`ibisagent.training.from_scratch`), with its ``profile`` file of prompts and picture sizes. ``mistakes``:
    see `ibisagent.training.sft.samples.MistakeHandling`. ``prompts``: prompt file, by default the base's own or ours.
    ``pack``: samples of one picture that share a row, 0: each has its own, and TRL's own loss. ``loss``: of packed rows
    (`Loss`). ``lora``: settings of peft's `LoraConfig`, none: full training. ``freeze_vision``: leave the vision
    encoder as it is. ``dtype``: of the weights while they are trained; ``save_fp16``: they are written as float16.
    ``attn_implementation``: as in transformers. ``max_pixels``: pixels that a picture is shrunk to. ``threads``: of
    torch. ``train``: settings of TRL's `SFTConfig`.
    """

    base: str | None = None
    from_scratch: dict[str, Any] | None = None
    profile: str | None = None
    prompts: str | None = None
    mistakes: MistakeHandling = "correct"
    pack: int = 0
    loss: dict[str, Any] = field(default_factory=dict)
    lora: dict[str, Any] | None = None
    freeze_vision: bool = False
    dtype: str = "float32"
    save_fp16: bool = False
    attn_implementation: str | None = None
    max_pixels: int | None = None
    threads: int | None = None
    train: dict[str, Any] = field(default_factory=dict)
    folder: Path = Path()

    def resolve_path(self, name: str) -> Path:
        """Return a path that the file names."""
        return self.folder / name


def list_shipped_configs() -> list[str]:
    """List the training files that ship."""
    return sorted(path.stem for path in _SHIPPED.glob("*.toml") if not path.stem.endswith("-profile"))


def read_training_config(source: str | os.PathLike[str], changes: Sequence[str] = ()) -> TrainingConfig:
    """Read a training file, or one that ships by its name; `InputError` names what is wrong with it.

    ``changes``: settings in place of the file's, each ``key=value`` or ``table.key=value`` with a value as in TOML.
    """
    file = _SHIPPED / f"{source}.toml" if str(source) in list_shipped_configs() else Path(source)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        remedy = f"check the path and its syntax, or name one that ships: {', '.join(list_shipped_configs())}"
        raise InputError(f"{printable_text(file)}: not a readable TOML file ({reason}); {remedy}") from error
    for change in changes:
        _apply_change(data, change)
    _require_sound(data, printable_text(file))
    return TrainingConfig(**data, folder=file.parent)


def _apply_change(data: dict[str, Any], change: str) -> None:
    name, _, text = change.partition("=")
    *tables, key = name.strip().split(".")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
        for table in tables:
            data = data.setdefault(table, {})
        data[key] = value
    except (ValueError, AttributeError, TypeError) as error:
        expected = "expected key=value or table.key=value with a value as in TOML, words in quotes"
        raise InputError(f"--set {printable_text(change)}: {expected}, such as train.max_steps=100") from error


def _require_sound(data: dict[str, Any], name: str) -> None:
    unknown = sorted(data.keys() - _TYPES.keys())
    if unknown:
        raise InputError(f"{name}: got {unknown[0]!r}, expected keys of {', '.join(sorted(_TYPES))}; correct it")
    for key, value in data.items():
        if type(value) is not _TYPES[key]:
            raise InputError(f"{name}: got {key}={value!r}, expected {_TYPES[key].__name__}; correct it")
    if ("base" in data) == ("from_scratch" in data):
        raise InputError(f"{name}: expected either 'base' (a model) or 'from_scratch' (sizes of a new one); give one")
    if "from_scratch" in data and "profile" not in data:
        raise InputError(f"{name}: got 'from_scratch' without 'profile', expected a profile file; name it")
    if data.get("mistakes", "mask") not in ("mask", "correct"):
        raise InputError(f"{name}: got mistakes={data['mistakes']!r}, expected 'mask' or 'correct'; choose one")
    if data.get("dtype", "float32") not in ("float32", "bfloat16"):
        raise InputError(f"{name}: got dtype={data['dtype']!r}, expected 'float32' or 'bfloat16'; choose one")
    if data.get("pack") and "lora" in data:
        raise InputError(f"{name}: got 'pack' with 'lora', expected one of them; leave the other out")
    build_settings(Loss, data.get("loss", {}), "loss")


def build_settings(kind: type[_Settings], table: Mapping[str, Any], name: str, **defaults: Any) -> _Settings:
    """Build a dataclass of settings from a table of the file, which overrides ``defaults``.

    `InputError` for keys and values that do not fit.
    """
    known = {each.name: each.default for each in fields(kind) if each.init}  # type: ignore[arg-type]
    for key, value in table.items():
        if key not in known:
            few = f", expected keys of {', '.join(known)}" if len(known) < 20 else f", no setting of {kind.__name__}"
            raise InputError(f"[{name}]: got {key!r}{few}; correct it")
        default = known[key]
        if default is not MISSING and isinstance(default, int | float) and not isinstance(value, int | float):
            raise InputError(f"[{name}]: got {key}={value!r}, expected a number or true or false; correct it")
    try:
        return kind(**defaults | dict(table))
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"[{name}]: got settings that {kind.__name__} refuses ({reason}); correct them") from error
