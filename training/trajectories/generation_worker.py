"""The work of one process: runs cases one after the other, those of one picture in a row."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ibisagent.agent import ImageStore, Policy, PolicyOptions, RunStore, build_graph, get_policy
from ibisagent.agent.episode import run_episode
from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.policies import find_policy
from ibisagent.agent.policies.base import Completion, Observation, SyncPolicy
from ibisagent.agent.proposers import Proposer, open_proposer
from ibisagent.agent.state import Input
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.trajectories import find_fault
from ibisagent.tools.cache import OnceCache
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import describe_error
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.jobs.job_runner import Row
from ibisagent.tools.jobs.run_settings import case_seed
from ibisagent.tools.perturbations.initial_masks import make_initial_mask
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.tools.segmenters.memo import Memo
from ibisagent.training.experts.expert import Expert, ExpertPolicy, RelabeledPolicy
from ibisagent.training.experts.noisy_expert import MistakeRates, NoisyExpert
from ibisagent.training.requests import write_initial_request, write_refinement_request
from ibisagent.training.trajectories.settings import GenerationJob, GenerationSettings, build_row

__all__ = ["GenerationWorker", "run_cases"]

_EMBEDDINGS = 4
_BYTES = 64 * 2**20


class GenerationWorker:
    """The state of a process between cases: the segmenter with its last results, and the models in use.

    It is pickled as its settings alone.
    """

    def __init__(self, settings: GenerationSettings) -> None:
        """Take the settings; segmenter and models are loaded at their first use."""
        self.settings = settings
        self._cache: OnceCache[Any] = OnceCache(4)
        self._pictures: OnceCache[MedicalImage] = OnceCache(1)

    def __reduce__(self) -> tuple[type["GenerationWorker"], tuple[GenerationSettings]]:
        """Pickle the settings."""
        return GenerationWorker, (self.settings,)

    @property
    def memo(self) -> Memo:
        """Return the memoised segmenter, loaded at its first use."""
        memo: Memo = self._cache.get("memo", self._build_memo)
        return memo

    def _build_memo(self) -> Memo:
        return Memo(get_segmenter(self.settings.segmenter), embeddings=_EMBEDDINGS, max_bytes=_BYTES)

    def open_image(self, case: Case) -> MedicalImage:
        """Open a case's picture, unless it is still open."""
        return self._pictures.get(case.image_key, case.open)

    @property
    def proposer(self) -> Proposer | str:
        """Return the proposer of the settings, loaded at its first use, or the policy's own; "none" without one."""
        made: Proposer | str = self._cache.get("proposer", self._open_proposer)
        return made

    def _open_proposer(self) -> Proposer | str:
        policy, options = self.settings.policy, PolicyOptions(seed=self.settings.seed)
        own = None if policy is None or find_policy(policy).per_case else self._load_shared_policy(policy)
        return open_proposer(self.settings.propose, own, options)

    def build_policy(self, case: Case, truth: Mask, seed: int) -> Policy:
        """Return the policy of a run: an expert, a noisy one if mistakes are configured, or a relabeled policy."""
        expert: ExpertPolicy = Expert(truth, case.target, self.settings.expert, seed)
        if self.settings.rationale_model is not None:
            expert = self._with_llm_rationales(expert, self.settings.rationale_model)
        if self.settings.policy is not None:
            return RelabeledPolicy(self._load_policy(self.settings.policy, truth, seed), expert)
        return expert if self.settings.mistakes == MistakeRates() else NoisyExpert(expert, self.settings.mistakes, seed)

    def _load_policy(self, policy: Policy | str, truth: Mask, seed: int) -> Policy:
        if find_policy(policy).per_case:
            return get_policy(policy, PolicyOptions(seed=seed, truth=truth))
        return self._load_shared_policy(policy)

    def _load_shared_policy(self, policy: Policy | str) -> Policy:
        made: Policy = self._cache.get("policy", lambda: get_policy(policy, PolicyOptions(seed=self.settings.seed)))
        return made

    def _with_llm_rationales(self, expert: ExpertPolicy, name: str) -> ExpertPolicy:
        from ibisagent.agent.policies.chat import build_chat_model
        from ibisagent.training.experts.llm_rationales import LLMRationaleExpert

        return LLMRationaleExpert(expert, self._cache.get("chat", lambda: build_chat_model(name)), name)


def run_cases(worker: GenerationWorker, jobs: Sequence[GenerationJob]) -> list[Row]:
    """Run cases of one picture; a failed one is a row with its reason."""
    switch = _SwitchablePolicy()
    graph = build_graph(
        switch,
        worker.memo,
        worker.settings.loop_config,
        proposer=worker.proposer,
        images=ImageStore(max_bytes=0),
        store=RunStore(),
    )
    return [_row(worker, job, graph, switch) for job in jobs]


class _SwitchablePolicy(SyncPolicy):
    """Delegates to the policy of each run in turn: to compile a graph costs as much as a step."""

    _current: Policy

    def switch_to(self, policy: Policy) -> None:
        self.name, self._current = policy.name, policy

    def act(self, observation: Observation) -> Completion:
        return self._current.act(observation)


def _row(worker: GenerationWorker, job: GenerationJob, graph: SegmentationGraph, switch: _SwitchablePolicy) -> Row:
    try:
        record = _run_case(worker, job, graph, switch)
    except Exception as error:
        return build_row(job.case, "broken", describe_error(error))
    fault = find_fault(record, worker.settings.filters)
    return build_row(job.case, "dropped", fault) if fault else build_row(job.case, "kept", record=record.to_json())


def _run_case(
    worker: GenerationWorker, job: GenerationJob, graph: SegmentationGraph, switch: _SwitchablePolicy
) -> Trajectory:
    settings, case = worker.settings, job.case
    image = worker.open_image(case)
    truth = case.read_truth(image)
    seed = case_seed(settings.seed, case.id)
    rng = np.random.default_rng(seed)
    initial_mask = _draw_initial_mask(settings, job, image, truth, rng)
    switch.switch_to(worker.build_policy(case, truth, seed))
    given = Input(image=image, request=_request(settings, case, initial_mask is not None, rng))
    if initial_mask is not None:
        given["initial_mask"] = initial_mask
    return run_episode(graph, given, truth=truth, folder=settings.out)


def _request(settings: GenerationSettings, case: Case, refined: bool, rng: np.random.Generator) -> str:
    """Reword the request, unless the data set has its own words for it."""
    if not settings.reword or case.request != f"Segment the {case.target}.":
        return case.request
    return (write_refinement_request if refined else write_initial_request)(case.target, rng)


def _draw_initial_mask(
    settings: GenerationSettings, job: GenerationJob, image: MedicalImage, truth: Mask, rng: np.random.Generator
) -> Mask | None:
    draw = rng.random()
    kind = (
        "perturbed_mask"
        if draw < settings.initial_masks.perturbed
        else "foreign_mask"
        if draw < settings.initial_masks.perturbed + settings.initial_masks.foreign
        else "none"
    )
    others = (
        [case.read_truth(image) for case in job.picture if case.id != job.case.id] if kind == "foreign_mask" else []
    )
    return make_initial_mask(kind, truth, others, rng)
