"""What a process does: one case after the other through the graph, those of one picture in a row."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ibisagent.agent import ImageStore, Policy, RunStore, build_graph, get_policy
from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.policies import PER_CASE
from ibisagent.agent.policies.base import Completion, Observation, SyncPolicy
from ibisagent.agent.state import Input
from ibisagent.agent.trajectory import Trajectory, trajectory
from ibisagent.tools.cache import OnceCache
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import IbisError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.jobs.run_settings import case_seed
from ibisagent.tools.perturbations.initial_masks import start
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.tools.segmenters.memo import Memo
from ibisagent.training.experts.expert import Teacher, Teaches, Watched
from ibisagent.training.experts.noisy_expert import Learner, Mistakes
from ibisagent.training.requests import initial, refining
from ibisagent.training.trajectories.filtering import fault_of
from ibisagent.training.trajectories.settings import Job, Plan, Row, row_of

__all__ = ["Maker", "work"]

_EMBEDDINGS = 4
_BYTES = 64 * 2**20


class Maker:
    """What a process keeps from case to case: the segmenter with its last answers, and whatever model there is.

    It travels to its process as the plan alone.
    """

    def __init__(self, plan: Plan) -> None:
        """Begin with nothing."""
        self.plan = plan
        self._kept: OnceCache[Any] = OnceCache(3)
        self._pictures: OnceCache[MedicalImage] = OnceCache(1)

    def __reduce__(self) -> tuple[type["Maker"], tuple[Plan]]:
        """Pickle the plan."""
        return Maker, (self.plan,)

    @property
    def memo(self) -> Memo:
        """Give the memoised segmenter, made at its first use."""
        memo: Memo = self._kept.get("memo", self._memo)
        return memo

    def _memo(self) -> Memo:
        return Memo(get_segmenter(self.plan.segmenter), embeddings=_EMBEDDINGS, max_bytes=_BYTES)

    def image(self, case: Case) -> MedicalImage:
        """Open a case's picture, unless it is still open."""
        return self._pictures.get((case.image, case.slice, case.window), case.open)

    def policy(self, case: Case, truth: Mask, seed: int) -> Policy:
        """Give the policy of a run: a teacher, a learner where mistakes are wanted, or one that a teacher watches."""
        teacher: Teaches = Teacher(truth, case.target, self.plan.lesson, seed)
        if self.plan.teacher is not None:
            teacher = self._tutor(teacher, self.plan.teacher)
        if self.plan.policy is not None:
            return Watched(self._own(self.plan.policy, truth, seed), teacher)
        return teacher if self.plan.mistakes == Mistakes() else Learner(teacher, self.plan.mistakes, seed)

    def _own(self, policy: Policy | str, truth: Mask, seed: int) -> Policy:
        if policy in PER_CASE:
            return get_policy(policy, truth=truth, seed=seed)
        made: Policy = self._kept.get("policy", lambda: get_policy(policy, seed=self.plan.seed))
        return made

    def _tutor(self, teacher: Teaches, name: str) -> Teaches:
        from ibisagent.agent.policies.chat import chat_model
        from ibisagent.training.experts.llm_rationales import Tutor

        return Tutor(teacher, self._kept.get("chat", lambda: chat_model(name)), name)


def work(maker: Maker, jobs: Sequence[Job]) -> list[Row]:
    """Run cases of one picture; whatever is wrong with one is a row."""
    actor = _Actor()
    graph = build_graph(actor, maker.memo, maker.plan.config, images=ImageStore(max_bytes=0), store=RunStore())
    return [_row(maker, job, graph, actor) for job in jobs]


class _Actor(SyncPolicy):
    """Plays the policy of each run in turn: to compile a graph costs as much as a step."""

    _played: Policy

    def play(self, policy: Policy) -> None:
        self.name, self._played = policy.name, policy

    def act(self, observation: Observation) -> Completion:
        return self._played.act(observation)


def _row(maker: Maker, job: Job, graph: SegmentationGraph, actor: _Actor) -> Row:
    try:
        record = _made(maker, job, graph, actor)
    except Exception as error:
        said = str(error) if isinstance(error, IbisError) else f"{type(error).__name__}: {error}"
        return row_of(job.case, "broken", said)
    fault = fault_of(record, maker.plan.filters)
    return row_of(job.case, "dropped", fault) if fault else row_of(job.case, "kept", record=record.to_json())


def _made(maker: Maker, job: Job, graph: SegmentationGraph, actor: _Actor) -> Trajectory:
    plan, case = maker.plan, job.case
    image = maker.image(case)
    truth = case.truth(image)
    seed = case_seed(plan.seed, case.id)
    rng = np.random.default_rng(seed)
    initial_mask = _start(plan, job, image, truth, rng)
    actor.play(maker.policy(case, truth, seed))
    given = Input(image=image, request=_request(plan, case, initial_mask is not None, rng))
    if initial_mask is not None:
        given["initial_mask"] = initial_mask
    return trajectory(graph, graph.invoke(given), truth=truth, folder=plan.out)


def _request(plan: Plan, case: Case, refined: bool, rng: np.random.Generator) -> str:
    """Word the request anew, unless the data set has its own words for it."""
    if not plan.reword or case.request != f"Segment the {case.target}.":
        return case.request
    return (refining if refined else initial)(case.target, rng)


def _start(plan: Plan, job: Job, image: MedicalImage, truth: Mask, rng: np.random.Generator) -> Mask | None:
    draw = rng.random()
    kind = (
        "rough" if draw < plan.starts.rough else "wrong" if draw < plan.starts.rough + plan.starts.wrong else "nothing"
    )
    others = [case.truth(image) for case in job.picture if case.id != job.case.id] if kind == "wrong" else []
    return start(kind, truth, others, rng)
