"""Episodes of a model folder, outside of a training of its own."""

from pathlib import Path

from ibisagent.training.grpo.config import GRPOTraining
from ibisagent.training.grpo.episodes import EpisodeRunner
from ibisagent.training.grpo.tasks import TaskSet
from ibisagent.training.grpo.trainer_factory import TrainedPolicy
from ibisagent.training.training_run import find_start

__all__ = ["open_runner"]


def open_runner(folder: Path, config: GRPOTraining, tasks: TaskSet, temperature: float) -> EpisodeRunner:
    """Open a model as GRPO trains it, and return what runs its episodes."""
    trained = TrainedPolicy.open(find_start(str(folder), config.base, config.folder, config.prompts), config)
    trained.model.eval()
    return trained.build_runner(config, tasks, temperature)
