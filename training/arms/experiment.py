"""The file of an experiment: data, trainings that begin from each other, and the tables that compare them."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text
from ibisagent.tools.jobs.run_settings import hash_json
from ibisagent.tools.suggestions import describe_unknown_name
from ibisagent.training.config_files import build_settings
from ibisagent.training.phantoms.spec import PhantomDatasetSpec

__all__ = [
    "Experiment",
    "Stage",
    "StageKind",
    "StageTable",
    "TrajectorySettings",
    "read_experiment",
    "shipped_experiment",
]

NANO = "nano"
"""The start that needs no training: the policy that ships."""

StageKind = Literal["reset", "sft", "grpo", "imitation"]
_PARTS = ("phantoms", "trajectories", "sets", "stages", "tables")


@dataclass(frozen=True, slots=True)
class TrajectorySettings:
    """How an expert's trajectories on ``phantoms``, by name, are made; see `ibisagent.training.trajectories`.

    ``limit``: at most so many cases, spread over the data set; 0: all.
    """

    phantoms: str
    segmenter: str = "geocut"
    max_steps: int = 6
    mistakes: float = 0.0
    perturbed: float = 0.0
    foreign: float = 0.0
    limit: int = 0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """A training, or new weights in place of a part of a model's.

    ``base``: the stage that it begins from, or "nano". ``kind``:

    * ``reset``: the modules ``reset`` get weights that are drawn anew;
    * ``sft``: by the training file ``config`` on the trajectories ``data``;
    * ``grpo``: by the training file ``config`` on the cases of the sets ``data``;
    * ``imitation``: ``rounds`` times, the best of each group of rollouts of ``tasks`` drawn cases is imitated by SFT
      with ``config``; ``rollouts``: changes of the file nano-grpo, whose rollouts and reward decide.

    ``set``: changes of the training file. In the file ``like`` names a stage before, whose settings count where a stage
    has none of its own, and whose ``set`` goes before. ``seeded``: trained anew for each seed; else once, with seed 0.
    """

    kind: StageKind
    base: str
    config: str = ""
    data: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    reset: tuple[str, ...] = ()
    rollouts: tuple[str, ...] = ()
    rounds: int = 1
    tasks: int = 1
    seeded: bool = True

    def __post_init__(self) -> None:
        """Raise `ValueError` for a kind that there is not."""
        if self.kind not in get_args(StageKind):
            raise ValueError(f"kind is {self.kind!r}, expected one of {', '.join(get_args(StageKind))}")


@dataclass(frozen=True, slots=True)
class StageTable:
    """Stages that are compared with the first of them; ``STAGE@last`` is its last weights, not the best by validation.

    ``samples``: also measured by so many draws of each case at temperature 1.
    """

    stages: tuple[str, ...]
    samples: int = 1


@dataclass(frozen=True, slots=True)
class Experiment:
    """All parts by name. ``segmenter``, ``max_steps``: of the measurements."""

    phantoms: dict[str, PhantomDatasetSpec]
    trajectories: dict[str, TrajectorySettings]
    sets: dict[str, tuple[str, ...]]
    stages: dict[str, Stage]
    tables: dict[str, StageTable]
    segmenter: str = "geocut"
    max_steps: int = 6
    validation: str = "validate"
    keys: dict[tuple[str, int], str] = field(default_factory=dict, compare=False, repr=False)

    def stage_key(self, name: str, seed: int) -> str:
        """Return the folder name of a stage's training, which changes with whatever the training depends on."""
        if name == NANO:
            return NANO
        if (name, seed) not in self.keys:
            stage = self.stages[name]
            own_seed = seed if stage.seeded else 0
            depends_on = {
                "stage": asdict(stage),
                "base": self.stage_key(stage.base, own_seed),
                "seed": own_seed,
                "data": [self._describe_data(stage, each) for each in stage.data],
                "validation": self._describe_set(self.validation) if stage.kind == "grpo" else None,
            }
            self.keys[name, seed] = f"{name}-s{own_seed}-{hash_json(depends_on)[:8]}"
        return self.keys[name, seed]

    def _describe_data(self, stage: Stage, name: str) -> Any:
        if stage.kind != "sft":
            return self._describe_set(name)
        settings = self.trajectories[name]
        return [asdict(settings), self.phantoms[settings.phantoms].to_json()]

    def _describe_set(self, name: str) -> Any:
        return [self.phantoms[each].to_json() for each in self.sets[name]]


def shipped_experiment() -> Path:
    """Return the file of the experiment that EXPERIMENTS.md reports."""
    return Path(str(files("ibisagent.training") / "configs" / "arms" / "proof.toml"))


def read_experiment(source: str | os.PathLike[str]) -> Experiment:
    """Read the file of an experiment; `InputError` names what is wrong with it."""
    path = Path(source)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{printable_text(path)}: not a readable TOML file ({reason}); check its syntax") from error
    parts: dict[str, dict[str, Any]] = {name: table.pop(name, {}) for name in _PARTS}
    kinds = {"phantoms": PhantomDatasetSpec, "trajectories": TrajectorySettings, "stages": Stage, "tables": StageTable}
    parts["stages"] = _merge_likes(parts["stages"])
    built: dict[str, Any] = {
        part: {name: _build(kind, settings, f"{part}.{name}") for name, settings in parts[part].items()}
        for part, kind in kinds.items()
    }
    sets = {name: tuple(some) for name, some in parts["sets"].items()}
    experiment = build_settings(Experiment, table, path.name, sets=sets, **built)
    _require_known_names(experiment)
    return experiment


def _merge_likes(stages: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return stages with the settings of those before that they are ``like``; their ``set`` comes after that one's."""
    merged: dict[str, dict[str, Any]] = {}
    for name, given in stages.items():
        own = dict(given)
        like = own.pop("like", None)
        if like is not None:
            _require(f"stages.{name}.like", like, merged)
            own["set"] = [*merged[like].get("set", ()), *own.get("set", ())]
        merged[name] = merged.get(like, {}) | own
    return merged


def _build(kind: type[Any], settings: Mapping[str, Any], name: str) -> Any:
    frozen: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()
    }
    if kind is not PhantomDatasetSpec:
        return build_settings(kind, frozen, name)
    try:
        return PhantomDatasetSpec(**frozen)  # its sizes are numbers or ranges
    except TypeError as error:
        raise InputError(f"[{name}]: got settings of phantoms that there are not ({error}); correct them") from error


def _require_known_names(experiment: Experiment) -> None:
    before = [NANO]
    for name, stage in experiment.stages.items():
        _require(f"stages.{name}.base", stage.base, before)
        known = experiment.trajectories if stage.kind == "sft" else experiment.sets
        for each in stage.data:
            _require(f"stages.{name}.data", each, known)
        before.append(name)
    for name, trajectories in experiment.trajectories.items():
        _require(f"trajectories.{name}.phantoms", trajectories.phantoms, experiment.phantoms)
    for name, some in experiment.sets.items():
        for each in some:
            _require(f"sets.{name}", each, experiment.phantoms)
    for name, table in experiment.tables.items():
        for each in table.stages:
            _require(f"tables.{name}.stages", each.removesuffix("@last"), before)
    if any(stage.kind == "grpo" for stage in experiment.stages.values()):
        _require("validation", experiment.validation, experiment.sets)


def _require(where: str, name: str, known: Any) -> None:
    if name not in known:
        raise InputError(f"[{where}]: {describe_unknown_name(name, sorted(known))}; correct it")
