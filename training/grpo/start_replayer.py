"""Rollouts that begin at recorded states: each state is repeated once by the graph, and continued by every rollout."""

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from ibisagent.agent.config import LoopConfig
from ibisagent.agent.episode import run_episode
from ibisagent.agent.graph import build_graph
from ibisagent.agent.policies import Policy
from ibisagent.agent.recorded_starts import branch_from, replay_start
from ibisagent.agent.state import State
from ibisagent.agent.stores import ImageStore, RunStore
from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.cache import OnceCache
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.segmenters.memo import Memo
from ibisagent.training.starts import Start

__all__ = ["StartReplayer"]

_KEPT = 256  # states, each some kilobytes


class StartReplayer:
    """Runs episodes from starts over the policy, the memo and the stores of a training's graph.

    Its threads are in memory, one for each state and one for each episode, and go with it.
    """

    def __init__(
        self, policy: Policy, memo: Memo, loop: LoopConfig, images: ImageStore, store: RunStore, *, exact: bool = True
    ) -> None:
        """Take what the episodes without a start run on; ``exact``: as of `replay_start`."""
        self._exact = exact
        self._graph = build_graph(
            policy, memo, loop, proposer="none", checkpointer=InMemorySaver(), images=images, store=store
        )
        self._states: OnceCache[State] = OnceCache(_KEPT)

    def run(self, task: int, start: Start, image: MedicalImage, truth: Mask, seed: int) -> Trajectory:
        """Run an episode from the start of a task, with its draws by ``seed``; `InputError` as of `replay_start`."""
        state = self._states.get(task, lambda: self._replay(task, start, image))
        thread = _thread(f"{task} {seed}")
        branch_from(self._graph, state, thread, seed)
        return run_episode(self._graph, None, config=thread, truth=truth)

    def _replay(self, task: int, start: Start, image: MedicalImage) -> State:
        return replay_start(self._graph, start.record, image, _thread(f"{task}"), exact=self._exact)


def _thread(name: str) -> RunnableConfig:
    return RunnableConfig(configurable={"thread_id": name})
