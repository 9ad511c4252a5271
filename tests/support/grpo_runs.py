"""GRPO trainings of small models on a few phantoms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ibisagent.agent.policies.local import NANO, PROFILE
from ibisagent.agent.prompting import load_prompts
from ibisagent.tools.datasets import read_dataset
from ibisagent.training.grpo.config import GRPOTraining, read_grpo_training
from ibisagent.training.grpo.tasks import TaskSet, balance_cases
from ibisagent.training.grpo.trainer import GraphGRPOTrainer
from ibisagent.training.grpo.trainer_factory import TrainedPolicy, build_grpo_config, build_grpo_trainer
from ibisagent.training.model_folder import find_prompt_file, freeze_modules, open_trainable
from ibisagent.training.phantoms.folder import PhantomDatasetSpec, write_phantoms

__all__ = ["SMALL", "build_small_trainer", "write_tasks"]

SMALL = (
    "rollouts.tasks=2",
    "rollouts.group_size=3",
    "rollouts.chunks=2",
    "rollouts.max_steps=3",
    "train.max_steps=2",
    "validation.every=0",
)
"""Settings of an update of six short episodes."""


def write_tasks(folder: Path, count: int = 6, seed: int = 5) -> Path:
    """Write phantoms as a data set; return its folder."""
    write_phantoms(PhantomDatasetSpec(count=count, seed=seed, size=96), folder, workers=1)
    return folder


def build_small_trainer(
    data: Path, out: Path, changes: Sequence[str] = (), *, model_folder: Path = NANO
) -> tuple[GraphGRPOTrainer, GRPOTraining]:
    """Build the trainer of `SMALL` updates with ``changes``."""
    config = read_grpo_training("nano-grpo", [*SMALL, *changes])
    model, inputs = open_trainable(model_folder, dtype=config.dtype)
    freeze_modules(model, config.freeze)
    settings: Any = build_grpo_config(config, out, max_tokens=40)
    tasks = TaskSet(balance_cases(read_dataset(data), config.rollouts.absent, settings.seed))
    prompts = load_prompts(find_prompt_file(model_folder / PROFILE))
    return build_grpo_trainer(config, TrainedPolicy(model, inputs, prompts, "unit", 40), tasks, settings), config
