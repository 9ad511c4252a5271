"""The file of an experiment: data, trainings that begin from each other, and the tables that compare them."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from ibisagent.agent.policies.local import NANO as NANO_FOLDER
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import hash_files, printable_text
from ibisagent.tools.jobs.run_settings import find_common_folder, hash_cases, hash_json
from ibisagent.tools.suggestions import describe_unknown_name
from ibisagent.training.arms.folders import FolderSettings
from ibisagent.training.config_files import build_settings
from ibisagent.training.experts.expert import ExpertConfig, parse_style
from ibisagent.training.phantoms.spec import PhantomDatasetSpec

__all__ = [
    "Experiment",
    "MeasureKind",
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
MeasureKind = Literal["clicks", "both", "proposal"]
_SHIPPED = Path(str(files("ibisagent.training") / "configs" / "arms"))
_PARTS = ("phantoms", "folders", "trajectories", "sets", "stages", "tables")


@dataclass(frozen=True, slots=True)
class TrajectorySettings:
    """How trajectories on ``data``, the name of phantoms or of a folder, are made (`ibisagent.training.trajectories`).

    ``policy``: a stage, or "nano", that drives the loop and whose replies the expert labels; empty: the expert itself,
    with ``mistakes`` a noisy one. ``propose``: a stage, or "nano", whose drawing begins the runs; "none": nothing does;
    empty: what the policy draws. ``stop_iou``, ``style``: of the expert. ``limit``: at most so many cases, spread over
    the data set; 0: all.
    """

    data: str
    segmenter: str = "geocut"
    max_steps: int = 6
    mistakes: float = 0.0
    perturbed: float = 0.0
    foreign: float = 0.0
    policy: str = ""
    propose: str = ""
    reword: bool = True
    stop_iou: float = 0.85
    style: str = "short"
    limit: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise `ValueError` for mistakes of a policy, which errs by itself; `InputError` for an unfit expert."""
        if self.policy and self.mistakes:
            raise ValueError("got mistakes and a policy, expected one of them: a policy errs by itself")
        _ = self.expert

    @property
    def expert(self) -> ExpertConfig:
        """The settings of the expert."""
        return ExpertConfig(stop_iou=self.stop_iou, style=parse_style(self.style))

    @property
    def models(self) -> list[str]:
        """The names of the models that it needs, each once."""
        return [name for name in dict.fromkeys((self.policy, self.propose)) if name not in ("", "none")]


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

    ``sets``: on which sets of cases, by default "choose". ``measure``: ``clicks``, the bare model without a proposal;
    ``both``, the loop as the product runs it, begun from the model's own proposal; ``proposal``, that alone.
    ``samples``: clicks are also measured by so many draws of each case at temperature 1.
    """

    stages: tuple[str, ...]
    sets: tuple[str, ...] = ()
    measure: tuple[MeasureKind, ...] = ("clicks",)
    samples: int = 1

    def __post_init__(self) -> None:
        """Raise `ValueError` for a measurement that there is not."""
        for each in self.measure:
            if each not in get_args(MeasureKind):
                raise ValueError(f"measure is {each!r}, expected some of {', '.join(get_args(MeasureKind))}")


@dataclass(frozen=True, slots=True)
class Experiment:
    """All parts by name. ``segmenter``, ``max_steps``: of the measurements; ``paths``: where the ``folders`` lie."""

    phantoms: dict[str, PhantomDatasetSpec]
    trajectories: dict[str, TrajectorySettings]
    sets: dict[str, tuple[str, ...]]
    stages: dict[str, Stage]
    tables: dict[str, StageTable]
    folders: dict[str, FolderSettings] = field(default_factory=dict)
    segmenter: str = "geocut"
    max_steps: int = 6
    validation: str = "validate"
    paths: dict[str, Path] = field(default_factory=dict, compare=False, repr=False)
    keys: dict[tuple[str, int], str] = field(default_factory=dict, compare=False, repr=False)
    cases: dict[str, list[Case]] = field(default_factory=dict, compare=False, repr=False)
    contents: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def read_folder(self, name: str) -> list[Case]:
        """Return the cases of a folder, read once; `InputError` where it was not said where the folder lies."""
        if name not in self.cases:
            if name not in self.paths:
                raise InputError(f"[folders.{name}]: got no path, expected --folder {name}=PATH; add it")
            self.cases[name] = self.folders[name].read(name, self.paths[name])
        return self.cases[name]

    def hash_folder(self, name: str) -> str:
        """Return the hash of what is taken of a folder, wherever it lies."""
        if name not in self.contents:
            cases = self.read_folder(name)
            self.contents[name] = hash_cases(cases, find_common_folder(cases))
        return self.contents[name]

    def trajectories_key(self, name: str, seed: int) -> str:
        """Return the folder name of trajectories for a stage of a seed."""
        return f"{name}-{hash_json(self._describe_trajectories(name, seed))[:8]}"

    def stage_key(self, name: str, seed: int) -> str:
        """Return the folder name of a stage's training, which changes with whatever the training depends on."""
        if name == NANO:
            return f"{NANO}-{_hash_model(NANO_FOLDER)[:8]}"
        if (name, seed) not in self.keys:
            stage = self.stages[name]
            own_seed = seed if stage.seeded else 0
            depends_on = {
                "stage": asdict(stage),
                "base": self.stage_key(stage.base, own_seed),
                "seed": own_seed,
                "data": [
                    self._describe_trajectories(each, own_seed) if stage.kind == "sft" else self._describe_set(each)
                    for each in stage.data
                ],
                "validation": self._describe_set(self.validation) if stage.kind == "grpo" else None,
            }
            self.keys[name, seed] = f"{name}-s{own_seed}-{hash_json(depends_on)[:8]}"
        return self.keys[name, seed]

    def _describe_trajectories(self, name: str, seed: int) -> Any:
        settings = self.trajectories[name]
        return [
            asdict(settings),
            self._describe_data(settings.data),
            [self.stage_key(each, seed) for each in settings.models],
        ]

    def _describe_set(self, name: str) -> Any:
        return [self._describe_data(each) for each in self.sets[name]]

    def _describe_data(self, name: str) -> Any:
        return self.phantoms[name].to_json() if name in self.phantoms else self.hash_folder(name)


@cache
def _hash_model(folder: Path) -> str:
    """Hash the files of a model without its card: another version of the one that ships makes other trainings."""
    return hash_files(sorted(path for path in folder.iterdir() if path.is_file() and path.suffix != ".md"))


def shipped_experiment(name: str = "proof") -> Path:
    """Return the file of an experiment that ships; EXPERIMENTS.md reports "proof"."""
    return _SHIPPED / f"{name}.toml"


def read_experiment(source: str | os.PathLike[str], paths: Mapping[str, Path] | None = None) -> Experiment:
    """Read the file of an experiment, or one that ships by its name; ``paths``: where its folders lie, by their names.

    `InputError` names what is wrong with it.
    """
    shipped = sorted(path.stem for path in _SHIPPED.glob("*.toml"))
    path = shipped_experiment(str(source)) if str(source) in shipped else Path(source)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        remedy = f"check the path and its syntax, or name one that ships: {', '.join(shipped)}"
        raise InputError(f"{printable_text(path)}: not a readable TOML file ({reason}); {remedy}") from error
    parts: dict[str, dict[str, Any]] = {name: table.pop(name, {}) for name in _PARTS}
    kinds: dict[str, type[Any]] = {
        "phantoms": PhantomDatasetSpec,
        "folders": FolderSettings,
        "trajectories": TrajectorySettings,
        "stages": Stage,
        "tables": StageTable,
    }
    parts["stages"] = _merge_likes(parts["stages"])
    built: dict[str, Any] = {
        part: {name: _build(kind, settings, f"{part}.{name}") for name, settings in parts[part].items()}
        for part, kind in kinds.items()
    }
    sets = {name: tuple(some) for name, some in parts["sets"].items()}
    experiment = build_settings(Experiment, table, path.name, sets=sets, paths=dict(paths or {}), **built)
    _require_known_names(experiment)
    for name in experiment.paths:
        if name not in experiment.folders:
            known = sorted(experiment.folders) or ["none: the experiment has no folders"]
            raise InputError(f"--folder {describe_unknown_name(name, known)}; correct it")
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
    for name in experiment.folders:
        if name in experiment.phantoms:
            raise InputError(f"[folders.{name}]: got the name of phantoms, expected another; rename one of them")
    data = {*experiment.phantoms, *experiment.folders}
    for name, trajectories in experiment.trajectories.items():
        _require(f"trajectories.{name}.data", trajectories.data, data)
        for each in trajectories.models:
            _require(f"trajectories.{name}", each, [NANO, *experiment.stages])
    for name, some in experiment.sets.items():
        for each in some:
            _require(f"sets.{name}", each, data)
    before = [NANO]
    for name, stage in experiment.stages.items():
        _require(f"stages.{name}.base", stage.base, before)
        known = experiment.trajectories if stage.kind == "sft" else experiment.sets
        for each in stage.data:
            _require(f"stages.{name}.data", each, known)
            for model in experiment.trajectories[each].models if stage.kind == "sft" else ():
                _require(f"stages.{name}.data, {each}: a stage before", model, before)
        before.append(name)
    for name, table in experiment.tables.items():
        for each in table.stages:
            _require(f"tables.{name}.stages", each.removesuffix("@last"), before)
        for each in table.sets:
            _require(f"tables.{name}.sets", each, experiment.sets)
    if any(stage.kind == "grpo" for stage in experiment.stages.values()):
        _require("validation", experiment.validation, experiment.sets)


def _require(where: str, name: str, known: Any) -> None:
    if name not in known:
        raise InputError(f"[{where}]: {describe_unknown_name(name, sorted(known))}; correct it")
