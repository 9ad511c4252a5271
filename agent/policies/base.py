"""The policy contract: from what it is shown to one reply as text. Parsing sees the text alone."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ibisagent.agent.actions import Action
from ibisagent.agent.coordinates import CoordinateFrame
from ibisagent.agent.timeouts import run_in_daemon_thread
from ibisagent.tools.clicks import Prompt

__all__ = ["Completion", "Observation", "Policy", "SyncPolicy", "Turn"]


@dataclass(frozen=True, slots=True)
class Completion:
    """A reply.

    ``finish``: "length" where it was cut for its length, else what the model says; ``usage``: token counts by kind;
    ``seconds``: time it took.
    ``token_ids``, ``logprobs``: of what was drawn; ``label``: what a teacher replies at this observation, where that is
    not ``text``: these serve training. ``cost``: in the currency of the price that the policy was told.
    """

    text: str
    finish: str = "stop"
    usage: dict[str, int] = field(default_factory=dict)
    seconds: float | None = None
    model: str = ""
    token_ids: list[int] | None = None
    logprobs: list[float] | None = None
    label: str | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """An earlier turn of the same run, in the history context: what was shown, and what was replied.

    ``picture``: None where it is left out for its number (`LoopConfig.pictures`).
    """

    picture: NDArray[np.uint8] | None
    reply: str


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What the policy sees before it acts.

    ``picture``: (h, w, 3) uint8, the overlay, shrunk to the configured side; ``frame``: how coordinates are written.
    ``mask``: (H, W) bool, the mask in force on the displayed picture; ``image_sha``: that picture's content hash.
    ``step``: replies made so far in this thread; a policy that draws at random draws from (seed, step).
    ``prompts``: in force, oldest first; ``undone``: undone at this very mask, newest last, to be avoided;
    ``refining``: an initial mask is in force; ``feedback``: what was wrong with the last reply; ``turns``: all earlier.
    """

    picture: NDArray[np.uint8]
    frame: CoordinateFrame
    mask: NDArray[np.bool_]
    image_sha: str
    request: str
    kind: Literal["segment", "question"]
    step: int
    prompts: tuple[Prompt, ...]
    undone: tuple[Action, ...]
    refining: bool
    score: float | None
    actions: tuple[str, ...]
    feedback: str | None = None
    turns: tuple[Turn, ...] = ()


class Policy(Protocol):
    """Anything that acts; it has ten minutes for a reply, or as many ``seconds`` as an attribute of that name says.

    Other attributes that it may have: ``coordinates``, the profile that it writes in, "unit" without; ``resizing``, the
    sizes at which it sees its pictures (`ibisagent.agent.model_resize.Resizing`), for one that writes pixels; ``actions``,
    the kinds of action that it is offered, where these are not all.
    """

    @property
    def name(self) -> str:
        """The name that goes into the trajectory."""

    def act(self, observation: Observation) -> Completion:
        """Reply to an observation; an exception ends the run with ``policy_error``."""

    async def aact(self, observation: Observation) -> Completion:
        """Reply without blocking the event loop."""


class SyncPolicy:
    """Base of policies that only compute: the async twin runs ``act`` on a daemon thread.

    ``seconds``: time for a reply, None without end: such a call is the cheaper by being made on the run's own thread.
    """

    name: str = "policy"
    seconds: float | None = None

    def act(self, observation: Observation) -> Completion:
        """Reply to an observation."""
        raise NotImplementedError

    async def aact(self, observation: Observation) -> Completion:
        """Run `act` on a thread that does not hold the process when it hangs."""
        return await run_in_daemon_thread(self.act, observation)


def usage_total(usage: dict[str, Any]) -> int:
    """Count the tokens of a reply, prompt and output together."""
    return int(usage.get("total_tokens") or sum(usage.get(k) or 0 for k in ("input_tokens", "output_tokens")))
