"""What an evaluator is given, a run with what is known of it, and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ibisagent.agent.state import DEFAULT_TARGET
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.rewards import RunTerms, compute_terms
from ibisagent.evals.rewards.settings import RewardConfig
from ibisagent.evals.trajectories import TrajectoryMetrics, TruthFit, trajectory_metrics
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.rle import encode

__all__ = ["EvaluatorResult", "JudgedRun", "RunEvaluator", "with_truth"]

_TERMS = RewardConfig()


@dataclass(frozen=True, slots=True)
class EvaluatorResult:
    """The ``score`` of a run in [0, 1], 1 the best, None where the question does not arise; ``reason``: one line."""

    score: float | None
    reason: str

    def __post_init__(self) -> None:
        """Raise `InputError` for a score out of [0, 1]; put the reason on one line."""
        if self.score is not None and not 0 <= self.score <= 1:  # NaN as well
            raise InputError(f"evaluator: got the score {self.score!r}, expected one in [0, 1] or None; correct it")
        object.__setattr__(self, "reason", " ".join(self.reason.split()))


@dataclass(frozen=True)
class JudgedRun:
    """A run and what is known of it; what several evaluators need is computed once.

    ``reference``: the run that it is compared with; ``target``: the name of the target that was asked for.
    """

    record: Trajectory
    reference: Trajectory | None = None
    target: str | None = None
    comparisons: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What `ibisagent.evals.evaluators.structure` found already, by what was compared."""

    @cached_property
    def metrics(self) -> TrajectoryMetrics:
        """The run's metrics."""
        return trajectory_metrics(self.record)

    @property
    def fit(self) -> TruthFit | None:
        """The run against its true mask, None without one."""
        return self.metrics.fit

    @cached_property
    def terms(self) -> RunTerms:
        """The terms of the default reward; `InputError` without a true mask."""
        return compute_terms(self.record, _TERMS, target=self.target_name)[0]

    @property
    def target_name(self) -> str | None:
        """The name of the target that was asked for: the given one, or the record's own; None where it has none."""
        if self.target:
            return self.target
        return self.record.active if self.record.active != DEFAULT_TARGET else None

    def require_reference(self) -> Trajectory:
        """Return the reference run; `InputError` without one."""
        if self.reference is None:
            raise InputError("evaluator: got no reference run, expected one; give it")
        return self.reference


RunEvaluator = Callable[..., EvaluatorResult]
"""A function of a `JudgedRun`, and of options by name."""


def with_truth(record: Trajectory, truth: Mask) -> Trajectory:
    """Return the record with a true mask, (H, W) bool, of its active target."""
    targets = (replace(each, truth=encode(truth)) if each.name == record.active else each for each in record.targets)
    return replace(record, targets=tuple(targets))
