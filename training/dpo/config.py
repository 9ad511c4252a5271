"""The file that describes a preference training: which model, what is frozen, TRL's settings."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ibisagent.training.config_files import read_config_file

__all__ = ["DPOTraining", "read_dpo_training"]

_TYPES: dict[str, type] = {
    **dict.fromkeys(("base", "prompts", "attn_implementation", "dtype"), str),
    **dict.fromkeys(("lora", "train"), dict),
    **dict.fromkeys(("max_pixels", "threads"), int),
    **{"save_fp16": bool, "freeze": list},
}
_DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True, slots=True)
class DPOTraining:
    """A preference training as its TOML file describes it; paths are relative to the file's folder.

    ``base``: model folder or id that is trained on, and the reference that it is compared with. ``prompts``: prompt
    file, by default the base's own or ours. ``lora``: settings of peft's `LoraConfig`, none: full training, with a
    copy of the base beside it. ``freeze``: modules that are left as they are, by their names in the model. ``dtype``:
    of the weights while they are trained; ``save_fp16``: they are written as float16. ``attn_implementation``,
    ``max_pixels``, ``threads``: as in SFT. ``train``: settings of TRL's `DPOConfig`, such as ``beta`` and
    ``loss_type``.
    """

    base: str
    prompts: str | None = None
    lora: dict[str, Any] | None = None
    freeze: list[str] = field(default_factory=list)
    dtype: str = "float32"
    save_fp16: bool = False
    attn_implementation: str | None = None
    max_pixels: int | None = None
    threads: int | None = None
    train: dict[str, Any] = field(default_factory=dict)
    folder: Path = Path()

    def to_json(self) -> dict[str, Any]:
        """Return the settings that a resumed run has to share."""
        return asdict(self) | {"folder": None, "threads": None}


def read_dpo_training(source: str | os.PathLike[str], changes: Sequence[str] = ()) -> DPOTraining:
    """Read a training file of DPO, as `ibisagent.training.config_files.read_config_file` does."""
    file = read_config_file("dpo", source, _TYPES, changes)
    if "base" not in file.table:
        raise file.refuse("got no 'base', expected a model; name its folder or id")
    dtype = file.table.get("dtype", "float32")
    if dtype not in _DTYPES:
        raise file.refuse(f"got dtype={dtype!r}, expected {' or '.join(_DTYPES)}; choose one")
    if file.table.get("freeze") and "lora" in file.table:
        raise file.refuse("got 'freeze' with 'lora', which trains its adapters alone; leave one out")
    return DPOTraining(**file.table, folder=file.folder)
