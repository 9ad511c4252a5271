"""The file that describes a training: which model, on which trajectories, with which loss and TRL settings."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ibisagent.training.config_files import ConfigFile, build_settings, read_config_file
from ibisagent.training.samples import MistakeHandling

__all__ = ["Graft", "Loss", "TrainingConfig", "read_training_config"]

_TYPES: dict[str, type] = {
    **dict.fromkeys(("base", "profile", "prompts", "mistakes", "attn_implementation", "dtype"), str),
    **dict.fromkeys(("from_scratch", "graft", "loss", "lora", "train"), dict),
    **dict.fromkeys(("pack", "max_pixels", "threads"), int),
    **dict.fromkeys(("freeze_vision", "save_fp16"), bool),
}


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss over packed rows.

    ``coordinates``: weight of a coordinate token. ``coordinate_sigma``: deviation, in tokens, of the Gaussian target
    over neighbouring coordinates; 0 for the one token. ``refusals``: weight of the tokens of a reply that refuses;
    below 1 a wrong refusal costs more than a wrong try. ``mask``: weight of a pointer model's maps of target and mask,
    of a fine drawing as of the coarse one.
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
class Graft:
    """What is added, untrained, to a base that lacks it: ``fine_channels`` of a pointer model's fine drawing.

    The training's seed draws the weights.
    """

    fine_channels: int = 16

    def __post_init__(self) -> None:
        """Refuse a branch without channels with `ValueError`."""
        if type(self.fine_channels) is not int or self.fine_channels < 1:
            raise ValueError(f"fine_channels={self.fine_channels!r}, expected a whole number from 1 up")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """A training as its TOML file describes it; paths are relative to the file's folder.

    ``base``: model folder or id that is trained on. ``graft``: what is added to it (`Graft`), none: nothing.
    ``from_scratch``: ``kind`` and sizes of an untrained model instead (`ibisagent.training.from_scratch`), with its
    ``profile`` file of prompts and picture sizes. ``mistakes``: see `ibisagent.training.samples.MistakeHandling`.
    ``prompts``: prompt file, by default the base's own or ours. ``pack``: samples of one picture that share a row, 0:
    each has its own, and TRL's own loss. ``loss``: of packed rows (`Loss`). ``lora``: settings of peft's `LoraConfig`,
    none: full training. ``freeze_vision``: leave the vision encoder as it is. ``dtype``: of the weights while they are
    trained; ``save_fp16``: they are written as float16.
    ``attn_implementation``: as in transformers. ``max_pixels``: pixels that a picture is shrunk to. ``threads``: of
    torch. ``train``: settings of TRL's `SFTConfig`.
    """

    base: str | None = None
    from_scratch: dict[str, Any] | None = None
    graft: dict[str, Any] | None = None
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


def read_training_config(source: str | os.PathLike[str], changes: Sequence[str] = ()) -> TrainingConfig:
    """Read a training file of SFT, as `ibisagent.training.config_files.read_config_file` does."""
    file = read_config_file("sft", source, _TYPES, changes)
    _require_sound(file)
    return TrainingConfig(**file.table, folder=file.folder)


def _require_sound(file: ConfigFile) -> None:
    data = file.table
    if ("base" in data) == ("from_scratch" in data):
        raise file.refuse("expected either 'base' (a model) or 'from_scratch' (sizes of a new one); give one")
    if "from_scratch" in data and "profile" not in data:
        raise file.refuse("got 'from_scratch' without 'profile', expected a profile file; name it")
    if data.get("mistakes", "mask") not in ("mask", "correct"):
        raise file.refuse(f"got mistakes={data['mistakes']!r}, expected 'mask' or 'correct'; choose one")
    if data.get("dtype", "float32") not in ("float32", "bfloat16"):
        raise file.refuse(f"got dtype={data['dtype']!r}, expected 'float32' or 'bfloat16'; choose one")
    if data.get("pack") and "lora" in data:
        raise file.refuse("got 'pack' with 'lora', expected one of them; leave the other out")
    if "graft" in data and not (data.get("pack") and "base" in data):
        raise file.refuse("got 'graft', expected it beside 'base' and a 'pack' from 1 up; correct it")
    build_settings(Loss, data.get("loss", {}), "loss")
    build_settings(Graft, data.get("graft", {}), "graft")
