"""Which recorded replies may enter the loss: those that the very weights drew whose gradient is computed."""

from typing import Any, NamedTuple

from ibisagent.agent.trajectory import Step, Trajectory

__all__ = ["ReplySource", "first_learned_step", "why_not_learned"]


class ReplySource(NamedTuple):
    """What draws replies: the hash of the policy's ``weights``, None where they are not known, and its ``sampling``."""

    weights: str | None
    sampling: dict[str, Any] | None

    @property
    def _draws(self) -> dict[str, Any]:
        """The settings that a draw's probability depends on."""
        return {name: value for name, value in (self.sampling or {}).items() if name != "seed"}

    def is_same(self, other: "ReplySource") -> bool:
        """Whether both are known, and a token has the same probability with either."""
        return None not in (self.weights, self.sampling) and (self.weights, self._draws) == (
            other.weights,
            other._draws,
        )


def why_not_learned(step: Step, drawn_by: ReplySource, present: ReplySource) -> str | None:
    """Return why a recorded reply may not enter the loss, None if it may.

    Its tokens and their log-probabilities have to be recorded, as must be the hash of the weights and the sampling
    settings that drew them, which are the ``present`` ones.
    """
    ids, logprobs = (step.completion.get(name) for name in ("token_ids", "logprobs"))
    if step.origin != "reply":
        return "it is no reply"
    if not ids or not logprobs or len(ids) != len(logprobs):
        return "its tokens and their log-probabilities are not recorded"
    return None if drawn_by.is_same(present) else "other weights or settings drew it"


def first_learned_step(record: Trajectory, present: ReplySource) -> int:
    """Return from which step of a start's record on every reply may enter the loss; by default, none of them may.

    The weights change with every update and have no hash then. Even with equal ones little would be gained: all
    rollouts of a task share those replies, and their advantages sum to 0.
    """
    drawn_by, first = ReplySource(record.weights, record.sampling), len(record.steps)
    while first and why_not_learned(record.steps[first - 1], drawn_by, present) is None:
        first -= 1
    return first
