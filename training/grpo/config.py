"""The file that describes a GRPO training: which model, which episodes, which reward and estimator, TRL's settings."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ibisagent.evals.rewards import REWARD_PRESETS, RewardConfig, RewardWeights
from ibisagent.tools.errors import InputError
from ibisagent.training.config_files import ConfigFile, build_settings, read_config_file
from ibisagent.training.grpo.estimator import Credit, Estimator

__all__ = ["GRPOTraining", "RolloutSettings", "ValidationSettings", "read_grpo_training"]

_TYPES: dict[str, type] = {
    **dict.fromkeys(("base", "prompts", "estimator", "credit", "attn_implementation", "dtype"), str),
    **dict.fromkeys(("rollouts", "reward", "validation", "lora", "train"), dict),
    **dict.fromkeys(("max_pixels", "threads", "gpus"), int),
    **dict.fromkeys(("gate_max", "gate_mean"), float),
    **{"save_fp16": bool, "freeze": list},
}
_CHOICES = {
    "estimator": get_args(Estimator),
    "credit": get_args(Credit),
    "dtype": ("float32", "bfloat16"),
}


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """How episodes are made.

    ``segmenter``: by name. ``tasks``: of an update, in all processes together; ``group_size``: rollouts of a task;
    ``chunks``: parts in which a process trains its rows, so that fewer are in memory at once. ``max_steps``: actions of
    an episode. ``context``: see `ibisagent.agent.config.LoopConfig`. ``temperature``: of draws; they are plain, as the
    ratios need. ``absent``: share of tasks whose target is absent, below 0: as in the data. ``starts``: share of tasks
    that begin at recorded states, where a file of them is given; ``replay_starts``: those of another segmenter are
    repeated by this one, and taken as they come out. ``workers``: episodes at once; draws do not depend on it.
    ``server``: address of a vLLM server that draws the replies, in place of the training's own processes
    (docs/grpo-scale.md).
    """

    segmenter: str = "geocut"
    tasks: int = 8
    group_size: int = 8
    chunks: int = 8
    max_steps: int = 6
    context: Literal["stateless", "history"] = "stateless"
    temperature: float = 1.0
    absent: float = 0.2
    starts: float = 0.3
    replay_starts: bool = False
    workers: int = 16
    server: str | None = None

    def __post_init__(self) -> None:
        """Raise `ValueError` for settings that cannot run."""
        for name in ("tasks", "group_size", "chunks", "max_steps", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a whole number from 1 up")
        if self.group_size < 2:
            raise ValueError("group_size is 1, expected 2 or more, which are compared with each other")
        if self.tasks * self.group_size % self.chunks:
            raise ValueError(f"{self.tasks * self.group_size} rollouts cannot be split into {self.chunks} chunks")
        if self.server is not None and not str(self.server).startswith(("http://", "https://")):
            raise ValueError(f"server is {self.server!r}, expected an address such as http://127.0.0.1:8000")
        if self.context not in ("stateless", "history"):
            raise ValueError(f"context is {self.context!r}, expected stateless or history")
        if not self.temperature > 0 or self.absent >= 1:
            raise ValueError("expected a temperature above 0 and a share of absent targets below 1")
        if not 0 < self.starts <= 1:
            raise ValueError(f"starts is {self.starts}, expected a share above 0, at most 1")


@dataclass(frozen=True, slots=True)
class ValidationSettings:
    """How the policy is validated while it trains, by greedy episodes on pictures that it is not trained on.

    ``every``: updates, 0 for none; also before the first and after the last. ``cases``: at most so many, a third of
    them with absent targets. ``pictures``: held out of the data where no other set is given, at most a fifth.
    """

    every: int = 10
    cases: int = 96
    pictures: int = 24


@dataclass(frozen=True, slots=True)
class GRPOTraining:
    """A GRPO training as its TOML file describes it; paths are relative to the file's folder.

    ``base``: model folder or id that is trained on. ``prompts``: prompt file, by default the base's own or ours.
    ``rollouts``: see `RolloutSettings`. ``reward``: ``preset``, and what differs from it, ``weights`` as a table
    (`ibisagent.evals.rewards.RewardConfig`). ``validation``: see `ValidationSettings`. ``estimator``, ``credit``: see
    `ibisagent.training.grpo.estimator`.
    ``gate_max``, ``gate_mean``: the training stops where the trainer's log-probability of a sampled token differs by
    more from the sampled one, at most or in the mean of an update; 0 for no gate. ``lora``: settings of peft's
    `LoraConfig`, none: full training. ``freeze``: modules that are left as they are, by their names in the model.
    ``dtype``: of the weights while they are trained; ``save_fp16``: they are written as float16.
    ``gpus``: that the settings are meant for, without those of a server; 0 for a CPU. Only `ibisagent doctor` reads it.
    ``attn_implementation``, ``max_pixels``, ``threads``: as in SFT. ``train``: settings of TRL's `GRPOConfig`.
    """

    base: str
    prompts: str | None = None
    rollouts: RolloutSettings = RolloutSettings()
    reward: RewardConfig = REWARD_PRESETS["default"]
    validation: ValidationSettings = ValidationSettings()
    estimator: Estimator = "dr_grpo"
    credit: Credit = "path"
    gate_max: float = 1e-3
    gate_mean: float = 1e-3
    lora: dict[str, Any] | None = None
    freeze: list[str] = field(default_factory=list)
    dtype: str = "float32"
    save_fp16: bool = False
    attn_implementation: str | None = None
    max_pixels: int | None = None
    threads: int | None = None
    gpus: int = 0
    train: dict[str, Any] = field(default_factory=dict)
    folder: Path = Path()

    def to_json(self) -> dict[str, Any]:
        """Return the settings that a resumed run has to share, but for those of recorded starts."""
        plain = asdict(self) | {"folder": None, "threads": None, "gpus": None}
        free = dict.fromkeys(("workers", "starts", "replay_starts")) | {"server": bool(self.rollouts.server)}
        return plain | {"rollouts": plain["rollouts"] | free}


def read_grpo_training(source: str | os.PathLike[str], changes: Sequence[str] = ()) -> GRPOTraining:
    """Read a training file of GRPO, as `ibisagent.training.config_files.read_config_file` does."""
    file = read_config_file("grpo", source, _TYPES, changes)
    table = dict(file.table)
    if "base" not in table:
        raise file.refuse("got no 'base', expected a model; name its folder or id")
    for name, known in _CHOICES.items():
        if name in table and table[name] not in known:
            raise file.refuse(f"got {name}={table[name]!r}, expected one of {', '.join(known)}; choose one")
    table["rollouts"] = build_settings(RolloutSettings, table.get("rollouts", {}), "rollouts")
    table["validation"] = build_settings(ValidationSettings, table.get("validation", {}), "validation")
    table["reward"] = _read_reward(file, table.get("reward", {}))
    return GRPOTraining(**table, folder=file.folder)


def _read_reward(file: ConfigFile, given: Mapping[str, Any]) -> RewardConfig:
    table = dict(given)
    preset = table.pop("preset", "default")
    if preset not in REWARD_PRESETS:
        raise file.refuse(f"got reward.preset={preset!r}, expected one of {', '.join(REWARD_PRESETS)}; choose one")
    weights = table.pop("weights", {})
    if not isinstance(weights, dict):
        raise InputError(f"{file.name}: got reward.weights={weights!r}, expected a table of numbers; correct it")
    base = asdict(REWARD_PRESETS[preset])
    own = build_settings(RewardWeights, weights, "reward.weights", **base.pop("weights"))
    return build_settings(RewardConfig, table | {"weights": own}, "reward", **base)
