"""Rollouts: episodes of the real graph by the policy under training, with their rewards and their rows."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ibisagent.agent.config import LoopConfig
from ibisagent.agent.episode import run_episode
from ibisagent.agent.graph import SegmentationGraph, build_graph
from ibisagent.agent.policies.local import LocalPolicy, QwenInputs
from ibisagent.agent.prompting import PromptSet
from ibisagent.agent.record_parts import later_steps
from ibisagent.agent.state import Input
from ibisagent.agent.stores import ImageStore, RunStore
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.rewards import Reward, RewardConfig, score_trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.segmenters import Segmenter, get_segmenter
from ibisagent.tools.segmenters.memo import Memo
from ibisagent.training.grpo.estimator import ScoredPath
from ibisagent.training.grpo.recorded_replies import ReplySource, first_learned_step
from ibisagent.training.grpo.served_policy import ServedPolicy
from ibisagent.training.grpo.start_replayer import StartReplayer
from ibisagent.training.grpo.tasks import OpenedCase, TaskSet
from ibisagent.training.rendering import StateRenderer

__all__ = ["EpisodeRunner", "Rollout", "TurnRow", "episode_seed"]

_EMBEDDINGS = 16  # pictures; episodes begin in order, so no more are in use at once


@dataclass(frozen=True, slots=True, eq=False)
class TurnRow:
    """A turn as the model saw and answered it.

    ``prompt_ids`` end where the model replies; ``patches``, ``grid``: of its pictures
    (`ibisagent.agent.policies.local.EncodedConversation`); ``completion_ids``: sampled, the end of the turn included;
    ``logprobs``: of them, as sampled; ``step``: the turn's position in the record.
    """

    prompt_ids: list[int]
    patches: NDArray[np.float32]
    grid: NDArray[np.int64]
    completion_ids: list[int]
    logprobs: list[float]
    step: int


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """An episode of a task; ``dropped``: why it is no rollout to learn from, then without a reward and rows.

    Of one that began at a recorded state, ``record`` is the whole run. ``reward`` and ``rows`` are of what followed
    that state: the policy is to make the best of it, and what came before is common to all rollouts of the task. The
    positions of the reward's turns count from there.
    """

    task: int
    record: Trajectory | None
    reward: Reward | None = None
    rows: tuple[TurnRow, ...] = ()
    dropped: str | None = None

    @property
    def path(self) -> ScoredPath | None:
        """What the estimator needs of it, None for a dropped one."""
        if self.reward is None:
            return None
        turns, tokens = (turn.reward for turn in self.reward.turns), (len(row.completion_ids) for row in self.rows)
        return ScoredPath(self.reward.total, tuple(turns), tuple(tokens))


def episode_seed(seed: int, update: int, task: int, rollout: int) -> int:
    """Return the seed of an episode, from 0 up: equal in every process and after a resume."""
    return int.from_bytes(hashlib.sha256(repr([seed, update, task, rollout]).encode()).digest()[:7], "big")


class EpisodeRunner:
    """Runs episodes of the policy under training, many at once, one graph for all of them.

    The segmenter's embeddings and predictions are shared by the episodes of a call, and then forgotten: a picture is
    encoded once for all rollouts of a task.
    """

    def __init__(
        self,
        policy: LocalPolicy | ServedPolicy,
        prompts: PromptSet,
        tasks: TaskSet,
        reward: RewardConfig,
        *,
        segmenter: Segmenter | str,
        loop: LoopConfig,
        workers: int,
        control_ids: Sequence[int] = (),
        replay_starts: bool = False,
        weights: str | None = None,
    ) -> None:
        """Take a policy that draws and returns log-probabilities, and the ``prompts`` that it was opened with.

        ``control_ids``: tokens that no reply may hold, such as a picture's placeholder. ``replay_starts``: recorded
        states of another segmenter may come out as they do with this one. ``weights``: the hash of the policy's, with
        which replies in a recorded state that it drew itself are learned as well; None, as while it is trained: none.
        """
        self.policy, self.tasks = policy, tasks
        self._prompts, self._reward, self._loop = prompts, reward, loop
        self._workers, self._control_ids = workers, frozenset(control_ids)
        self._segmenter = get_segmenter(segmenter) if isinstance(segmenter, str) else segmenter
        self._replays_any, self._source = replay_starts, ReplySource(weights, getattr(policy, "sampling", None))

    def run(self, tasks: Sequence[int], *, seed: int, update: int) -> list[Rollout]:
        """Run an episode for each number of a task, in order; the same task again is another rollout of it."""
        images = ImageStore()
        records = self.record(tasks, seed=seed, update=update, images=images)
        renderer = StateRenderer(self._prompts, images)
        return [self._score(task, record, renderer) for task, record in zip(tasks, records, strict=True)]

    def record(
        self, tasks: Sequence[int], *, seed: int, update: int, images: ImageStore | None = None
    ) -> list[Trajectory | str]:
        """Run episodes as `run` does and return their records; the error in place of one that could not begin."""
        images = images or ImageStore()
        memo = Memo(self._segmenter, embeddings=_EMBEDDINGS)
        store = RunStore()
        graph = build_graph(self.policy, memo, self._loop, images=images, store=store)
        replayer = StartReplayer(self.policy, memo, self._loop, images, store, exact=not self._replays_any)
        counts: dict[int, int] = {}
        jobs: list[tuple[int, int]] = []
        for task in tasks:
            counts[task] = counts.get(task, -1) + 1
            jobs.append((task, episode_seed(seed, update, task, counts[task])))
        with ThreadPoolExecutor(min(self._workers, len(jobs))) as pool:
            return list(pool.map(lambda job: self._run_episode(graph, replayer, *job), jobs))

    def _run_episode(self, graph: SegmentationGraph, replayer: StartReplayer, task: int, seed: int) -> Trajectory | str:
        try:
            opened = self.tasks.open(task)
            if opened.start is not None:
                return replayer.run(task, opened.start, opened.image, opened.truth, seed)
            given = Input(image=opened.image, request=opened.request, seed=seed)
            return run_episode(graph, given, truth=opened.truth)
        except InputError as error:
            return str(error)

    def _score(self, task: int, record: Trajectory | str, renderer: StateRenderer) -> Rollout:
        if isinstance(record, str):
            return Rollout(task, None, dropped=f"case: {record}")
        opened: OpenedCase = self.tasks.open(task)
        first = first_learned_step(opened.start.record, self._source) if opened.start is not None else 0
        reward = score_trajectory(later_steps(record, first), self._reward, target=opened.target)
        if reward is None:
            return Rollout(task, record, dropped=f"{record.stop}: {record.error or 'no reason'}")
        rows = self._rows(record, renderer, first)
        if isinstance(rows, str):
            return Rollout(task, record, dropped=rows)
        return Rollout(task, record, reward, rows)

    def _rows(self, record: Trajectory, renderer: StateRenderer, first: int) -> tuple[TurnRow, ...] | str:
        """Return the rows of a record's steps from ``first`` on, rendered as they were shown, or why there are none."""
        inputs: QwenInputs = self.policy.inputs  # type: ignore[assignment]  # opened as a trainable model
        rows = []
        positions = [index for index, step in enumerate(record.steps) if step.origin == "reply"]
        for position, state in zip(positions, renderer.render(record, record.image), strict=True):
            if position < first:
                continue
            ids, logprobs = (state.step.completion.get(name) for name in ("token_ids", "logprobs"))
            if not ids or not logprobs:
                return "tokens: a reply is not the model's own"
            if self._control_ids.intersection(ids):
                return "tokens: a reply holds a control token"
            encoded = inputs.encode(state.conversation)
            shown = state.step.completion.get("usage", {}).get("input_tokens")
            if shown != len(encoded.ids):
                raise RuntimeError(f"step {state.step.index}: {len(encoded.ids)} tokens rendered, {shown} were shown")
            rows.append(TurnRow(encoded.ids, encoded.patches, encoded.grid, list(ids), list(logprobs), position))
        return tuple(rows)
