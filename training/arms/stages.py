"""Makes the models of an experiment's stages; what is there already is not made again."""

import logging
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from ibisagent.agent.policies.local import NANO as NANO_FOLDER
from ibisagent.tools.errors import InputError
from ibisagent.training.arms.cpu_clock import CPUClock
from ibisagent.training.arms.data import find_roots, find_set, find_trajectories
from ibisagent.training.arms.experiment import NANO, Experiment, Stage
from ibisagent.training.arms.imitation import imitate_best
from ibisagent.training.arms.rollouts import policy_name
from ibisagent.training.grpo.config import read_grpo_training
from ibisagent.training.grpo.run import train_grpo
from ibisagent.training.model_folder import open_trainable
from ibisagent.training.run_folder import last_checkpoint
from ibisagent.training.sft.config import read_training_config
from ibisagent.training.sft.run import train_sft

__all__ = ["LAST", "make_stage", "reset_modules", "stage_folder"]

LAST = "@last"
_logger = logging.getLogger(__name__)


def stage_folder(experiment: Experiment, name: str, seed: int, out: Path) -> Path:
    """Return the folder in which a stage is trained."""
    return out / "stages" / experiment.stage_key(name, seed)


def make_stage(
    experiment: Experiment,
    name: str,
    seed: int,
    out: Path,
    callbacks: Sequence[TrainerCallback] = (),
    *,
    workers: int = 1,
) -> Path:
    """Return the model folder of a stage, with ``@last`` that of its last weights; trained if it is not there.

    The stages that it begins from, and those by whose models its data are made, are made before. ``workers``:
    processes that make data.
    """
    name, last = name.removesuffix(LAST), name.endswith(LAST)
    if name == NANO:
        return NANO_FOLDER
    stage, folder = experiment.stages[name], stage_folder(experiment, name, seed, out)
    seed = seed if stage.seeded else 0
    model = folder / "model"
    if not (folder / "done").is_file():
        find_model = partial(make_stage, experiment, seed=seed, out=out, callbacks=callbacks, workers=workers)
        base = find_model(stage.base)
        data = _make_data(experiment, stage, seed, out, find_model, workers)
        _logger.info("%s", folder.name)
        made = _train(experiment, stage, seed, base, data, folder, out, callbacks)
        if made != model:
            shutil.copytree(made, model, dirs_exist_ok=True)
        (folder / "done").touch()
    return _find_last(folder) if last else model


def _make_data(
    experiment: Experiment, stage: Stage, seed: int, out: Path, find_model: Callable[[str], Path], workers: int
) -> list[Path]:
    """Return the folders of a stage's data: trajectories of SFT, cases of the others."""
    if stage.kind != "sft":
        return [folder for each in stage.data for folder in find_set(experiment, each, out, workers)]
    folders = []
    for each in stage.data:
        models = {name: policy_name(find_model(name)) for name in experiment.trajectories[each].models}
        key = experiment.trajectories_key(each, seed)
        folders.append(find_trajectories(experiment, each, out, key, models, workers))
    return folders


def _train(
    experiment: Experiment,
    stage: Stage,
    seed: int,
    base: Path,
    data: list[Path],
    folder: Path,
    out: Path,
    callbacks: Sequence[TrainerCallback],
) -> Path:
    if stage.kind == "reset":
        return reset_modules(base, stage.reset, seed, folder / "model")
    clocked = [*callbacks, CPUClock(folder / "cpu.json")]
    if stage.kind == "sft":
        plan = read_training_config(stage.config, [*stage.set, f"train.seed={seed}"])
        return train_sft(plan, data, folder, base=str(base), roots=find_roots(out), callbacks=clocked)
    if stage.kind == "imitation":
        return imitate_best(
            read_training_config(stage.config, [*stage.set, f"train.seed={seed}"]),
            read_grpo_training("nano-grpo", stage.rollouts),
            data,
            folder,
            base=base,
            rounds=stage.rounds,
            tasks=stage.tasks,
            seed=seed,
            roots=find_roots(out),
        )
    unseen = find_set(experiment, experiment.validation, out)
    changed = read_grpo_training(stage.config, [*stage.set, f"train.seed={seed}"])
    return train_grpo(changed, data, folder, base=str(base), validation=unseen, callbacks=clocked)


def reset_modules(base: Path, names: Sequence[str], seed: int, out: Path) -> Path:
    """Write a model whose modules of these names, with all in them, have weights drawn by ``seed``."""
    model, _ = open_trainable(base)
    torch.manual_seed(seed)
    for name in names:
        found: list[Any] = [module for own, module in model.named_modules() if f"{own}.".startswith(f"{name}.")]
        if not found:
            raise InputError(f"reset: got {name!r}, expected the name of a module of {base.name}; correct it")
        for module in found:
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
            model._init_weights(module)
    shutil.copytree(base, out, dirs_exist_ok=True)
    model.half().save_pretrained(out)
    return out


def _find_last(folder: Path) -> Path:
    """Return a model folder with the weights of a GRPO training's last checkpoint."""
    last, checkpoint = folder / "last", last_checkpoint(folder / "checkpoints")
    if checkpoint is None:
        raise InputError(f"{folder.name}: got no checkpoint, expected one of its last update; leave {LAST} out")
    if not last.is_dir():
        temporary = folder / ".last"
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(folder / "model", temporary)
        shutil.copyfile(checkpoint / "model.safetensors", temporary / "model.safetensors")
        temporary.rename(last)
    return last
