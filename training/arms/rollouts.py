"""Episodes of a model folder, outside of a training of its own."""

from pathlib import Path

from ibisagent.agent.coordinates import model_profile
from ibisagent.agent.policies.local import NANO, PROFILE, read_profile
from ibisagent.agent.policies.local.policy import MAX_TOKENS
from ibisagent.agent.prompting import load_prompts
from ibisagent.training.grpo.config import GRPOTraining
from ibisagent.training.grpo.episodes import EpisodeRunner
from ibisagent.training.grpo.tasks import TaskSet
from ibisagent.training.grpo.trainer_factory import TrainedPolicy
from ibisagent.training.model_folder import find_prompt_file, open_trainable

__all__ = ["find_model", "open_runner"]


def find_model(named: str | Path) -> Path:
    """Return the folder of a model, that of the policy that ships for "nano"."""
    return NANO if str(named) == "nano" else Path(named)


def open_runner(folder: Path, config: GRPOTraining, tasks: TaskSet, temperature: float) -> EpisodeRunner:
    """Open a model as GRPO trains it, without a proposal of its own, and return what runs its episodes."""
    model, inputs = open_trainable(folder, dtype=config.dtype)
    profile = read_profile(folder)
    prompts = load_prompts(find_prompt_file(folder / PROFILE))
    coordinates = "unit" if profile else model_profile(f"{folder.name} {model.config.model_type}")
    max_tokens = int(profile.get("max_tokens", MAX_TOKENS))
    return TrainedPolicy(model.eval(), inputs, prompts, coordinates, max_tokens).build_runner(
        config, tasks, temperature
    )
