"""The loop as an environment of reinforcement learning: `reset` shows a case, `step` takes the policy's reply to it.

The shape is Gymnasium's, ``reset() -> (observation, info)`` and ``step(reply) -> (observation, reward, terminated,
truncated, info)``, without depending on it, and without spaces: pictures have the sizes of their files, and actions are
texts. It drives the graph itself, which stops before each turn of the policy, so that whatever a trainer does here
happens as it does in service: there is no second loop.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from ibisagent.agent.config import LoopConfig
from ibisagent.agent.graph import SegmentationGraph, build_graph
from ibisagent.agent.observation import build_observation
from ibisagent.agent.policies import Completion, Observation, SyncPolicy
from ibisagent.agent.prompting import Message, PromptSet, load_prompts
from ibisagent.agent.state import Input, current_mask
from ibisagent.agent.stop_reasons import FAILURES
from ibisagent.agent.stores import ImageStore, RunStore
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.evals.rewards import REWARD_PRESETS, RewardConfig, score_trajectory
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import decode
from ibisagent.tools.segmenters import Segmenter
from ibisagent.tools.segmenters.memo import Memo, get_memo

__all__ = ["SegmentationEnvironment"]

_TRUNCATIONS = ("max_steps", "budget", "cancelled", *FAILURES)
_LIMIT = "max_steps"  # the stop of a run that could go on, for its turns' rewards so far

Step = tuple[Observation, float, bool, bool, dict[str, Any]]


class SegmentationEnvironment:
    """Cases of a data set, one episode each; an action is the text of a reply.

    A reply is what a policy writes, such as ``"<think>Left.</think>\\n<action>Positive Point (0.4, 0.5)</action>"``
    (`ibisagent.agent.actions.write_reply`), or a `Completion`, whose token ids and log-probabilities the record then
    holds. An `Observation` is what a policy is shown: picture with overlay, request, prompts in force, earlier turns;
    `conversation` words it for a language model.

    The reward of a step is what its turn contributed (`ibisagent.evals.rewards.TurnReward`): the gain in IoU, the cost
    of the step; that of the last one includes all that belongs to the run as a whole, so that an episode's rewards sum
    to its reward. With the fold "mean" a click's share is that of the clicks so far, settled in the last step.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        segmenter: Segmenter | Memo | str = "geocut",
        config: LoopConfig | None = None,
        *,
        reward: RewardConfig = REWARD_PRESETS["default"],
        prompts: PromptSet | None = None,
        coordinates: str = "unit",
    ) -> None:
        """Take the cases (`ibisagent.tools.datasets.read_dataset`); ``prompts``, ``coordinates``: of the policy.

        `InputError` without a case, and for a loop that waits for a person's review.
        """
        if not cases:
            raise InputError("environment: got no cases, expected one or more; name a data set that has some")
        if config is not None and config.review:
            raise InputError("environment: got review=True, expected no review; a person's word is no step of a policy")
        self._cases, self._reward = list(cases), reward
        self._prompts, self._coordinates = prompts or load_prompts(), coordinates
        self._memo, self._config = get_memo(segmenter), config
        self._order = np.random.default_rng(0)
        self._episode: _Episode | None = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode; return its first observation, and as info the case, its number, and the IoU of its mask.

        ``seed``: of the order in which cases are drawn from here on; ``options``: ``{"case": NUMBER}`` for one of them.
        `InputError` for a case that cannot be used.
        """
        if seed is not None:
            self._order = np.random.default_rng(seed)
        drawn = int(self._order.integers(len(self._cases)))
        number = int((options or {}).get("case", drawn))
        case = self._cases[number]
        image = case.open()
        policy = _FedPolicy(self._prompts.kinds, self._coordinates)
        graph = build_graph(
            policy,
            self._memo,
            self._config,
            proposer="none",
            checkpointer=InMemorySaver(),
            images=ImageStore(),
            store=RunStore(),
        )
        episode = self._episode = _Episode(case, case.read_truth(image), graph, policy)
        episode.advance(Input(image=image, request=case.request))
        return episode.observation, {"case": case.id, "number": number, "iou": episode.iou}

    def step(self, reply: str | Completion) -> Step:
        """Apply a reply; return the next observation, the reward, terminated, truncated, info.

        ``terminated``: the policy ended the run, or the loop on what it did; ``truncated``: a limit or a failure did.
        info: ``iou`` of the mask now, and at the end ``stop``, ``record`` (a `Trajectory` with the truth) and ``score``
        (`ibisagent.evals.rewards.Reward`). An episode that a failure ended has no reward, which is not one of 0: it is
        NaN, and ``dropped`` in info says why. After the end the observation is the one that was replied to.
        `RuntimeError` where no episode is running.
        """
        episode = self._running()
        if episode.ended:
            raise RuntimeError("the episode is over; call reset")
        episode.policy.reply = reply if isinstance(reply, Completion) else Completion(f"{reply}\n")
        episode.advance(None)
        record = episode.record
        info: dict[str, Any] = {"iou": episode.iou}
        if record.stop is None:
            reward = self._turn_reward(record, episode)
            episode.given += reward
            return episode.observation, reward, False, False, info
        scored = score_trajectory(record, self._reward, target=episode.case.target)
        info |= {"stop": record.stop, "record": record, "score": scored}
        if scored is None:
            info["dropped"] = f"{record.stop}: {record.error or 'no reason'}"
        truncated = record.stop in _TRUNCATIONS
        reward = math.nan if scored is None else scored.total - episode.given
        return episode.observation, reward, not truncated, truncated, info

    @property
    def conversation(self) -> list[Message]:
        """The messages of the observation with their pictures, as a language model is shown them."""
        return self._prompts.conversation(self._running().observation)

    @property
    def record(self) -> Trajectory:
        """The record of the episode so far."""
        return self._running().record

    def _running(self) -> "_Episode":
        if self._episode is None:
            raise RuntimeError("there is no episode yet; call reset")
        return self._episode

    def _turn_reward(self, record: Trajectory, episode: "_Episode") -> float:
        """Return what the last turn of a run that goes on contributed."""
        scored = score_trajectory(replace(record, stop=_LIMIT), self._reward, target=episode.case.target)
        assert scored is not None
        return scored.turns[-1].reward + self._reward.weights.steps  # which a run's last turn does not cost


class _FedPolicy(SyncPolicy):
    """The policy of the graph: it replies what was passed to `SegmentationEnvironment.step`."""

    name = "environment"

    def __init__(self, actions: tuple[str, ...], coordinates: str) -> None:
        self.actions, self.coordinates = actions, coordinates
        self.reply = Completion("")

    def act(self, _: Observation) -> Completion:
        return self.reply


class _Episode:
    """A run of the graph on a thread of its own, which stops before each turn."""

    _THREAD = RunnableConfig(configurable={"thread_id": "episode"})

    def __init__(self, case: Case, truth: Mask, graph: SegmentationGraph, policy: _FedPolicy) -> None:
        self.case, self._truth, self._graph, self.policy = case, truth, graph, policy
        self.given = 0.0  # rewards of its steps so far
        self._state: Any = None
        self.observation: Any = None

    def advance(self, given: Input | None) -> None:
        """Run up to where the policy has to reply, or to the end, which leaves the observation as it was."""
        self._graph.invoke(given, self._THREAD, interrupt_before=["reason"])
        self._state = self._graph.get_state(self._THREAD).values
        if not self.ended:
            self.observation = build_observation(self._state, self._graph.components)

    @property
    def ended(self) -> bool:
        return self._state["stop"] is not None

    @property
    def iou(self) -> float:
        return iou(decode(current_mask(self._state)), self._truth)

    @property
    def record(self) -> Trajectory:
        return build_trajectory(self._graph, self._state, truth=self._truth)
