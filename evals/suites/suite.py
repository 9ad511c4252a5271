"""A suite as a value: its name, its conditions, and what is compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ibisagent.evals.worker import safe_name
from ibisagent.tools.datasets import Case
from ibisagent.tools.perturbations.click_jitter import ClickJitter
from ibisagent.tools.perturbations.picture_shifts import PictureShift
from ibisagent.tools.perturbations.request_changes import RequestChange

__all__ = ["CLEAN", "Condition", "Suite", "SuiteInput"]


@dataclass(frozen=True, slots=True)
class Condition:
    """A change of every case, drawn from the seed and the case; what is left out stays as in the clean run.

    ``kind``: what is changed; ``severity``: how much, 1 the least, None for a kind without degrees. ``request``: change
    of the case's request and target, None for a case that it cannot be made for. ``shift``: of the picture with its
    true mask; ``jitter``: of the policy's clicks; ``start``: what runs begin from
    (`ibisagent.evals.initial_conditions.STARTS`); ``segmenter`` and ``seed``: in place of the first.
    """

    kind: str
    severity: int | None = None
    request: RequestChange | None = None
    shift: PictureShift | None = None
    jitter: ClickJitter | None = None
    start: str = "none"
    segmenter: str | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """Return kind and severity, as a folder's name."""
        return safe_name(self.kind if self.severity is None else f"{self.kind}-{self.severity}")


CLEAN = Condition("clean")
"""The data as they are: a plain evaluation."""


class SuiteInput(NamedTuple):
    """What the conditions of a suite may depend on."""

    cases: Sequence[Case]
    segmenters: Sequence[str]
    seeds: Sequence[int]


@dataclass(frozen=True, slots=True)
class Suite:
    """What a policy is put through, and what is compared.

    ``conditions``: of the input. ``metrics``: names in `ibisagent.evals.suites.metrics.METRICS`; the first one ranks.
    ``takes``: of what the suite takes several, of which the first is the clean run's. ``averaged``: the mean over the
    kinds has a meaning. ``accuracy``: with the clean runs on present targets, each condition makes a balanced accuracy.
    ``spread``: the conditions differ by chance alone, and it is asked by how much.
    """

    name: str
    description: str
    conditions: Callable[[SuiteInput], Sequence[Condition]]
    metrics: tuple[str, ...] = ("iou", "verdict", "first_hit")
    takes: Literal["segmenters", "seeds"] | None = None
    averaged: bool = False
    accuracy: bool = False
    spread: bool = False
