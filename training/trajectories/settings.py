"""The settings of generating trajectories, the jobs of its processes, and the rows that they return."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from ibisagent.agent import LoopConfig, Policy
from ibisagent.evals.trajectories import Filters
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.jobs.job_runner import Row
from ibisagent.training.experts.expert import ExpertConfig
from ibisagent.training.experts.noisy_expert import MistakeRates

__all__ = ["COLUMNS", "Filters", "GenerationJob", "GenerationSettings", "InitialMaskRates", "build_row"]

COLUMNS = ("id", "status", "reason", "record")
"""``status``: "kept" with the trajectory as ``record``, or "dropped" or "broken" with a reason."""


@dataclass(frozen=True, slots=True)
class InitialMaskRates:
    """How often a run begins from a perturbed mask of its target, and from the mask of a foreign one."""

    perturbed: float = 0.0
    foreign: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no probability with `InputError`."""
        if min(self.perturbed, self.foreign) < 0 or self.perturbed + self.foreign > 1:
            got = f"got initial masks perturbed={self.perturbed}, foreign={self.foreign}"
            raise InputError(f"{got}, expected probabilities that sum to 1 at most; lower them")


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """Everything that the trajectories depend on, apart from the cases.

    ``rationale_model``: a chat model that writes the thoughts; ``policy``: drives the loop, None: the expert or a noisy
    one; ``propose``: the name of a proposer of initial masks, None for the policy's own, "none" for none.
    """

    out: Path
    segmenter: str = "geocut"
    expert: ExpertConfig = field(default_factory=ExpertConfig)
    mistakes: MistakeRates = field(default_factory=MistakeRates)
    initial_masks: InitialMaskRates = field(default_factory=InitialMaskRates)
    filters: Filters = field(default_factory=Filters)
    reword: bool = True
    max_steps: int = 6
    seed: int = 0
    rationale_model: str | None = None
    policy: Policy | str | None = None
    propose: str | None = None

    @property
    def loop_config(self) -> LoopConfig:
        """Return the settings of the loop."""
        return LoopConfig(max_steps=self.max_steps)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON, nested names joined by dots."""
        policy = self.policy if self.policy is None or isinstance(self.policy, str) else self.policy.name
        plain = {name: value for name, value in asdict(replace(self, policy=policy)).items() if name != "out"}
        nested = ("expert", "mistakes", "initial_masks", "filters")
        flat = {f"{name}.{key}": value for name in nested for key, value in plain.pop(name).items()}
        return plain | flat


class GenerationJob(NamedTuple):
    """A case, and all cases of its picture, itself included."""

    case: Case
    picture: tuple[Case, ...]


def build_row(case: Case, status: str, reason: str | None = None, record: dict[str, Any] | None = None) -> Row:
    """Build a row."""
    reason = " ".join(reason.split())[:300] if reason else None
    return {"id": case.id, "status": status, "reason": reason, "record": record}
