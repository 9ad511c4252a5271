"""GRPO trainings of small models on a few phantoms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ibisagent.agent.policies.local import NANO, PROFILE
from ibisagent.agent.prompting import load_prompts
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.segmenters import get_segmenter, predict_one_by_one
from ibisagent.training.grpo.config import GRPOTraining, read_grpo_training
from ibisagent.training.grpo.tasks import TaskSet, balance_cases
from ibisagent.training.grpo.trainer import GraphGRPOTrainer
from ibisagent.training.grpo.trainer_factory import TrainedPolicy, build_grpo_config, build_grpo_trainer
from ibisagent.training.model_folder import find_prompt_file, freeze_modules, open_trainable
from ibisagent.training.phantoms.folder import PhantomDatasetSpec, write_phantoms

__all__ = ["SMALL", "FailingGeocut", "build_small_trainer", "write_tasks"]

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
    data: Path, out: Path, changes: Sequence[str] = (), *, model_folder: Path = NANO, max_tokens: int = 40
) -> tuple[GraphGRPOTrainer, GRPOTraining]:
    """Build the trainer of `SMALL` updates with ``changes``."""
    config = read_grpo_training("nano-grpo", [*SMALL, *changes])
    model, inputs = open_trainable(model_folder, dtype=config.dtype)
    freeze_modules(model, config.freeze)
    settings: Any = build_grpo_config(config, out, max_tokens)
    tasks = TaskSet(balance_cases(read_dataset(data), config.rollouts.absent, settings.seed))
    prompts = load_prompts(find_prompt_file(model_folder / PROFILE))
    return build_grpo_trainer(
        config, TrainedPolicy(model, inputs, prompts, "unit", max_tokens), tasks, settings
    ), config


class FailingGeocut:
    """geocut that fails, on every second picture, or with ``every`` at each so-manieth prediction of any."""

    def __init__(self, every: str = "0") -> None:
        self._inner, self._every, self._calls = get_segmenter("geocut"), int(every), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def embed(self, pixels: Any) -> Any:
        if not self._every and int(pixels.sum(dtype=int)) % 2:
            raise RuntimeError("the picture is odd")
        return self._inner.embed(pixels)

    def predict(self, embedding: Any, prompts: Any, prior: Any) -> Any:
        self._calls += 1
        if self._every and self._calls % self._every == 0:
            raise RuntimeError("out of memory")
        return self._inner.predict(embedding, prompts, prior)

    def predict_many(self, queries: Any) -> Any:
        return predict_one_by_one(self, queries)

    def prior_from_mask(self, embedding: Any, mask: Any) -> Any:
        return self._inner.prior_from_mask(embedding, mask)
