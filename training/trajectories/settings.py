"""What the making of trajectories is told, what a process of it is given, and the rows that come back."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from ibisagent.agent import LoopConfig, Policy
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.training.experts.expert import Lesson
from ibisagent.training.experts.noisy_expert import Mistakes

__all__ = ["COLUMNS", "Filters", "Job", "OnRow", "Plan", "Row", "Starts", "row_of"]

Row = dict[str, Any]
OnRow = Callable[[Row, int, int], None]
"""A new row, how many are finished, and of how many."""

COLUMNS = ("id", "status", "reason", "record")
"""``status``: "kept" with the trajectory as ``record``, or "dropped" or "broken" with a reason."""


@dataclass(frozen=True, slots=True)
class Starts:
    """How often a run begins from a rough mask of its target, and from a mask of something else."""

    rough: float = 0.0
    wrong: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no probability with `InputError`."""
        if min(self.rough, self.wrong) < 0 or self.rough + self.wrong > 1:
            got = f"got starts rough={self.rough}, wrong={self.wrong}"
            raise InputError(f"{got}, expected probabilities that sum to 1 at most; lower them")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which runs are kept: ``dice`` that the final mask of a present target reaches, ``length`` in replies at most.

    ``dice`` None: however a run ended, unless a tool failed. ``gain``: IoU that every right click must bring, of those
    that are not mistakes; None: any.
    """

    dice: float | None = 0.5
    length: int | None = None
    gain: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the trajectories depend on but the cases.

    ``teacher``: a chat model that words the thoughts; ``policy``: who drives the loop, None: the teacher or a learner.
    """

    out: Path
    segmenter: str = "geocut"
    lesson: Lesson = field(default_factory=Lesson)
    mistakes: Mistakes = field(default_factory=Mistakes)
    starts: Starts = field(default_factory=Starts)
    filters: Filters = field(default_factory=Filters)
    reword: bool = True
    max_steps: int = 6
    seed: int = 0
    teacher: str | None = None
    policy: Policy | str | None = None

    @property
    def config(self) -> LoopConfig:
        """Give the settings of the loop."""
        return LoopConfig(max_steps=self.max_steps)

    def told(self) -> dict[str, Any]:
        """Give it JSON-plain, one value a name."""
        policy = self.policy if self.policy is None or isinstance(self.policy, str) else self.policy.name
        plain = {name: value for name, value in asdict(replace(self, policy=policy)).items() if name != "out"}
        nested = ("lesson", "mistakes", "starts", "filters")
        flat = {f"{name}.{key}": value for name in nested for key, value in plain.pop(name).items()}
        return plain | flat


class Job(NamedTuple):
    """A case, and all cases of its picture, itself among them."""

    case: Case
    picture: tuple[Case, ...]


def row_of(case: Case, status: str, reason: str | None = None, record: dict[str, Any] | None = None) -> Row:
    """Write a row."""
    said = " ".join(reason.split())[:300] if reason else None
    return {"id": case.id, "status": status, "reason": said, "record": record}
