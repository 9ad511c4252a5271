"""Episodes of a model folder, outside of a training of its own: of the bare model, and as the product opens it."""

from collections.abc import Callable
from pathlib import Path

from ibisagent.agent import ImageStore, LoopConfig, RunStore, build_graph, get_policy
from ibisagent.agent.episode import run_episode
from ibisagent.agent.policies.abstention import parse_request
from ibisagent.agent.policies.local import NANO, open_named
from ibisagent.agent.proposers import Proposal, get_proposer
from ibisagent.agent.state import Input
from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError, describe_error
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.tools.segmenters.memo import Memo
from ibisagent.training.grpo.config import GRPOTraining
from ibisagent.training.grpo.episodes import EpisodeRunner
from ibisagent.training.grpo.tasks import TaskSet
from ibisagent.training.grpo.trainer_factory import TrainedPolicy
from ibisagent.training.training_run import find_start

__all__ = ["open_loop", "open_proposals", "open_runner", "policy_name"]

_EMBEDDINGS = 4


def policy_name(folder: Path) -> str:
    """Return the name by which the product opens a model folder."""
    return "nano" if folder == NANO else f"hf:{folder}"


def open_runner(folder: Path, config: GRPOTraining, tasks: TaskSet, temperature: float) -> EpisodeRunner:
    """Open a model as GRPO trains it, and return what runs its episodes."""
    trained = TrainedPolicy.open(find_start(str(folder), config.base, config.folder, config.prompts), config)
    trained.model.eval()
    return trained.build_runner(config, tasks, temperature)


def open_loop(folder: Path, segmenter: str, max_steps: int) -> Callable[[Case], Trajectory | str]:
    """Open a model as the product does, with its own proposal; return what runs a case, or says why it could not."""
    policy = get_policy(policy_name(folder))
    memo = Memo(get_segmenter(segmenter), embeddings=_EMBEDDINGS)
    config = LoopConfig(max_steps=max_steps)
    graph = build_graph(policy, memo, config, images=ImageStore(max_bytes=0), store=RunStore())

    def run(case: Case) -> Trajectory | str:
        try:
            image = case.open()
            return run_episode(graph, Input(image=image, request=case.request), truth=case.read_truth(image))
        except InputError as error:
            return describe_error(error)

    return run


def open_proposals(folder: Path) -> Callable[[Case], tuple[Proposal, bool]]:
    """Open a model as the product does; return what proposes a mask for a case, and whether its name was not learned.

    `InputError` for a model that draws nothing.
    """
    name = policy_name(folder)
    proposer = get_proposer(name)
    assert proposer is not None
    targets = open_named(name).targets  # the model is shared while the proposer has it

    def propose(case: Case) -> tuple[Proposal, bool]:
        unknown = targets is not None and parse_request(case.request, targets).unknown is not None
        return proposer.propose(case.open(), case.request), unknown

    return propose
