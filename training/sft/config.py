"""The file that describes a training: which model, on which trajectories, with which loss and TRL settings."""

import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import label
from ibisagent.training.sft.samples import Mistakes

__all__ = ["Plan", "read_plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A training as its TOML file tells it; paths are relative to the file's folder.

    ``base``: model folder or id that is trained on. ``fresh``: sizes of a new model instead
    (`ibisagent.training.fresh.Fresh`), with the ``profile`` file that says how it is addressed. ``mistakes``: see
    `ibisagent.training.sft.samples.Mistakes`. ``prompts``: prompt file, by default the base's own or ours.
    ``pack``: samples of one picture that share a row, 0: each has its own, and TRL's own loss. ``loss``: of packed rows
    (`ibisagent.training.sft.trainer.Loss`). ``lora``: settings of peft's `LoraConfig`, none: full training.
    ``freeze_vision``: leave the vision tower as it is. ``attention``: transformers' name of its attention code.
    ``max_pixels``: pixels that a picture is shrunk to. ``threads``: of torch. ``train``: settings of TRL's `SFTConfig`.
    """

    base: str | None = None
    fresh: dict[str, Any] | None = None
    profile: str | None = None
    prompts: str | None = None
    mistakes: Mistakes = "correct"
    pack: int = 0
    loss: dict[str, Any] = field(default_factory=dict)
    lora: dict[str, Any] | None = None
    freeze_vision: bool = False
    attention: str | None = None
    max_pixels: int | None = None
    threads: int | None = None
    train: dict[str, Any] = field(default_factory=dict)
    folder: Path = Path()

    def path(self, name: str) -> Path:
        """Give a path that the file names."""
        return self.folder / name


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a training file; `InputError` says what is wrong with it."""
    file = Path(path)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise InputError(f"{label(file)}: not a readable TOML file ({said}); check the path and its syntax") from error
    known = {each.name for each in fields(Plan)} - {"folder"}
    unknown = sorted(data.keys() - known)
    if unknown:
        raise InputError(f"{label(file)}: got {unknown[0]!r}, expected keys of {', '.join(sorted(known))}; correct it")
    plan = Plan(**data, folder=file.parent)
    if (plan.base is None) == (plan.fresh is None):
        raise InputError(f"{label(file)}: expected either 'base' (a model) or 'fresh' (sizes of a new one); give one")
    if plan.fresh is not None and plan.profile is None:
        raise InputError(f"{label(file)}: got 'fresh' without 'profile', expected a profile file; name it")
    if plan.mistakes not in ("mask", "correct"):
        raise InputError(f"{label(file)}: got mistakes={plan.mistakes!r}, expected 'mask' or 'correct'; choose one")
    if plan.pack and plan.lora is not None:
        raise InputError(f"{label(file)}: got 'pack' with 'lora', expected one of them; leave the other out")
    return plan
