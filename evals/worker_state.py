"""What a process of an evaluation keeps from case to case: what it was told, its segmenters and its policies."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ibisagent.agent import Policy, get_policy
from ibisagent.agent.policies import PER_CASE
from ibisagent.agent.prompting import PromptSet
from ibisagent.tools.cache import OnceCache
from ibisagent.tools.datasets import Case
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.jobs.run_settings import case_seed
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.tools.segmenters.memo import Memo, HashedImage

__all__ = ["UnsharedMemo", "WorkerState", "EvalSettings", "LoadedSegmenter", "build_policy"]

_EMBEDDINGS = 4
_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class EvalSettings:
    """What every process of an evaluation is told.

    ``root``: the folder that the keys of pictures are relative to; ``start``: see `evals.beginning`;
    ``preset``: one of `ibisagent.agent.config.PRESETS`.
    """

    out: Path
    root: Path
    policies: Mapping[str, Policy | str]
    max_steps: int
    seed: int
    prompts: PromptSet | None
    local_only: bool
    start: str = "nothing"
    preset: str = "default"


class LoadedSegmenter:
    """A segmenter in this process, and the last pictures as it encoded them."""

    def __init__(self, name: str) -> None:
        """Make the segmenter of this name."""
        self.segmenter = get_segmenter(name)
        self._encoded: OnceCache[_Encoded] = OnceCache(_EMBEDDINGS)

    def encode(self, picture: HashedImage) -> "_Encoded":
        """Encode a picture unless it is held."""
        return self._encoded.get(picture.sha, lambda: self._encode(picture))

    def _encode(self, picture: HashedImage) -> "_Encoded":
        begun = time.perf_counter()
        embedding = self.segmenter.embed(picture.pixels)
        return _Encoded(embedding, time.perf_counter() - begun)

    def encoding_seconds(self, picture: HashedImage) -> float:
        """Encode a picture unless it is held, and give the seconds that it took; a failure shows again in the run."""
        with contextlib.suppress(Exception):
            return self.encode(picture).seconds
        return 0.0


class _Encoded(NamedTuple):
    embedding: Any
    seconds: float


class UnsharedMemo(Memo):
    """The answers of one run: what another run has computed must not make this one look fast."""

    def __init__(self, loaded: LoadedSegmenter) -> None:
        """Answer with a tool's segmenter and its encoded pictures."""
        super().__init__(loaded.segmenter, max_bytes=_BYTES)
        self._tool = loaded

    def embed(self, image: HashedImage) -> Any:
        """Take the tool's."""
        return self._tool.encode(image).embedding


class WorkerState:
    """What a process keeps from one case to the next."""

    def __init__(self, plan: EvalSettings) -> None:
        """Begin with nothing."""
        self.settings = plan
        self._tools: dict[str, LoadedSegmenter] = {}
        self._policies: dict[str, Policy] = {}

    def segmenter(self, name: str) -> LoadedSegmenter:
        """Give a segmenter, made at its first use."""
        if name not in self._tools:
            self._tools[name] = LoadedSegmenter(name)
        return self._tools[name]

    def policy(self, name: str, case: Case, truth: Mask) -> Policy:
        """Give a policy, made at its first use, or for this case alone."""
        given = self.settings.policies[name]
        if given in PER_CASE:
            return get_policy(given, truth=truth, seed=case_seed(self.settings.seed, case.id))
        if name not in self._policies:
            self._policies[name] = build_policy(self.settings, name)
        return self._policies[name]


def build_policy(settings: EvalSettings, name: str) -> Policy:
    """Make one of a plan's policies that serves every case."""
    return get_policy(settings.policies[name], seed=settings.seed, prompts=settings.prompts, local_only=settings.local_only)
