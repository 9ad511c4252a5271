"""What an evaluation process keeps from case to case: the settings, loaded segmenters and policies."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ibisagent.agent import Policy, PolicyOptions, get_policy
from ibisagent.agent.config import LoopConfig, preset
from ibisagent.agent.policies import find_policy
from ibisagent.agent.prompting import PromptSet
from ibisagent.agent.proposers import Proposer, open_proposer
from ibisagent.evals.evaluators import Evaluator, open_evaluator
from ibisagent.evals.jittered_policy import JitteredPolicy
from ibisagent.tools.cache import OnceCache
from ibisagent.tools.datasets import Case
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.jobs.run_settings import case_seed
from ibisagent.tools.perturbations.click_jitter import ClickJitter
from ibisagent.tools.perturbations.picture_shifts import PictureShift
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.tools.segmenters.memo import HashedImage, Memo

__all__ = ["MODES", "EvalSettings", "LoadedSegmenter", "UnsharedMemo", "WorkerState", "build_policy"]

MODES = ("point", "similar")
"""What policies that click by rule click with; with "similar" every policy may give examples."""

_EMBEDDINGS = 4
_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class EvalSettings:
    """Settings of an evaluation, shared by its processes.

    ``root``: the folder to which the keys of pictures are relative; ``start``: one of
    `ibisagent.evals.initial_conditions.STARTS`; ``propose``: the name of a proposer, None for each policy's own;
    ``preset``: one of `ibisagent.agent.config.PRESETS`; ``mode``: one of `MODES`; ``shift``: of every picture,
    ``jitter``: of every prompt of a policy, None for none; ``evaluators``: names of those that judge every run.
    """

    out: Path
    root: Path
    policies: Mapping[str, Policy | str]
    max_steps: int
    seed: int
    prompts: PromptSet | None
    local_only: bool
    start: str = "none"
    propose: str | None = None
    preset: str = "default"
    mode: str = "point"
    evaluators: tuple[str, ...] = ()
    shift: PictureShift | None = None
    jitter: ClickJitter | None = None

    @property
    def loop_config(self) -> LoopConfig:
        """The settings of every run."""
        config = preset(self.preset, max_steps=self.max_steps)
        return replace(config, actions=(*config.actions, "similar")) if self.mode == "similar" else config

    @property
    def policy_options(self) -> PolicyOptions:
        """What every policy is opened with."""
        similar = self.mode == "similar"
        return PolicyOptions(seed=self.seed, prompts=self.prompts, local_only=self.local_only, similar=similar)


class LoadedSegmenter:
    """A segmenter in this process, with a cache of its last image embeddings."""

    def __init__(self, name: str) -> None:
        """Load the segmenter of this name."""
        self.segmenter = get_segmenter(name)
        self._encoded: OnceCache[_Encoded] = OnceCache(_EMBEDDINGS)

    def encode(self, picture: HashedImage) -> "_Encoded":
        """Return a picture's embedding, cached."""
        return self._encoded.get(picture.sha, lambda: self._encode(picture))

    def _encode(self, picture: HashedImage) -> "_Encoded":
        begun = time.perf_counter()
        embedding = self.segmenter.embed(picture.pixels)
        return _Encoded(embedding, time.perf_counter() - begun)

    def encoding_seconds(self, picture: HashedImage) -> float:
        """Return the seconds that encoding a picture took; 0 after a failure, which occurs again in the run."""
        with contextlib.suppress(Exception):
            return self.encode(picture).seconds
        return 0.0


class _Encoded(NamedTuple):
    embedding: Any
    seconds: float


class UnsharedMemo(Memo):
    """A memo for one run only: predictions of other runs must not make this one look fast."""

    def __init__(self, loaded: LoadedSegmenter) -> None:
        """Use a loaded segmenter and its cached embeddings."""
        super().__init__(loaded.segmenter, max_bytes=_BYTES)
        self._loaded = loaded

    def embed(self, image: HashedImage) -> Any:
        """Return the cached embedding of the loaded segmenter."""
        return self._loaded.encode(image).embedding


class WorkerState:
    """Settings, segmenters and policies that a process keeps from one case to the next."""

    def __init__(self, settings: EvalSettings) -> None:
        """Start without segmenters and policies."""
        self.settings = settings
        self._segmenters: dict[str, LoadedSegmenter] = {}
        self._policies: dict[str, Policy] = {}
        self._proposer: Proposer | str | None = None
        self._evaluators: list[Evaluator] | None = None

    def segmenter(self, name: str) -> LoadedSegmenter:
        """Return a segmenter, loaded at its first use."""
        if name not in self._segmenters:
            self._segmenters[name] = LoadedSegmenter(name)
        return self._segmenters[name]

    def policy(self, name: str, case: Case, truth: Mask) -> Policy:
        """Return a policy, built at its first use, or for this case alone; its prompts jittered by the settings."""
        policy = self._build(name, case, truth)
        jitter = self.settings.jitter
        return policy if jitter is None else JitteredPolicy(policy, jitter, self.settings.seed)

    def _build(self, name: str, case: Case, truth: Mask) -> Policy:
        given = self.settings.policies[name]
        if find_policy(given).per_case:
            seed = case_seed(self.settings.seed, case.id)
            return get_policy(given, replace(self.settings.policy_options, truth=truth, seed=seed))
        if name not in self._policies:
            self._policies[name] = build_policy(self.settings, name)
        return self._policies[name]

    @property
    def evaluators(self) -> list[Evaluator]:
        """The evaluators of the settings, opened at their first use."""
        if self._evaluators is None:
            names, local_only = self.settings.evaluators, self.settings.local_only
            self._evaluators = [open_evaluator(name, local_only=local_only) for name in names]
        return self._evaluators

    def proposer(self, policy: Policy) -> Proposer | str:
        """Return the proposer of the settings, opened at its first use, or the policy's own; "none" without one."""
        if self.settings.propose is None:
            return open_proposer(None, policy, self.settings.policy_options)
        if self._proposer is None:
            self._proposer = open_proposer(self.settings.propose, policy, self.settings.policy_options)
        return self._proposer


def build_policy(settings: EvalSettings, name: str) -> Policy:
    """Build one of the policies that serve every case."""
    return get_policy(settings.policies[name], settings.policy_options)
