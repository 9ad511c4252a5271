"""The policy contract: from an observation to one reply as text. Only the text is parsed."""

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

    ``finish_reason``: "length" if it was cut for its length, else the model's own; ``usage``: token counts by kind;
    ``seconds``: time it took.
    ``token_ids``, ``logprobs``: of the sampled tokens; ``label``: an expert's reply to this observation, if that is not
    ``text``: these are for training. ``cost``: in the currency of the policy's price.
    """

    text: str
    finish_reason: str = "stop"
    usage: dict[str, int] = field(default_factory=dict)
    seconds: float | None = None
    model: str = ""
    token_ids: list[int] | None = None
    logprobs: list[float] | None = None
    label: str | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """An earlier turn of the same run, in the history context: the picture shown, and the reply.

    ``picture``: None if it is beyond the number of pictures to show (`LoopConfig.pictures`).
    """

    picture: NDArray[np.uint8] | None
    reply: str


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What the policy sees before it acts.

    ``picture``: (h, w, 3) uint8, the overlay, shrunk to the configured side; ``frame``: how coordinates are written.
    ``mask``: (H, W) bool, the current mask of the displayed picture; ``image_sha``: that picture's content hash.
    ``step``: replies made so far in this thread; ``seed``: of the run (`ibisagent.agent.state.Input`). A policy that
    draws does so from its own seed, ``seed`` and ``step``, so that neither a resume nor other runs change its draws.
    ``prompts``: active ones, oldest first; ``undone``: actions undone at this very mask, newest last, to be avoided;
    ``has_initial_mask``: an initial mask is active; ``initial_mask_by``: the name of the proposer that made it, if one
    did; ``feedback``: the last reply's error; ``turns``: all earlier ones.
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
    has_initial_mask: bool
    score: float | None
    actions: tuple[str, ...]
    feedback: str | None = None
    turns: tuple[Turn, ...] = ()
    seed: int = 0
    initial_mask_by: str | None = None


class Policy(Protocol):
    """Anything that acts; it has ten minutes for a reply, or the seconds of its attribute ``reply_timeout``.

    Other optional attributes: ``coordinates``, the profile that it writes in, by default "unit"; ``smart_resize``, the
    sizes at which it sees its pictures (`ibisagent.agent.model_resize.SmartResize`), for one that writes pixels;
    ``actions``, the kinds of action that it is offered, if these are not all; ``is_person``, true where a person acts,
    whose actions the loop then records and protects as a person's; ``is_local``, true where no picture leaves this
    machine, which ``--local-only`` demands of a third party's class.

    And for the record: ``sampling``, its settings of draws and lengths, JSON-plain, such as temperature, top_p, seed
    and max_tokens, None where it knows none; ``weights_hash``, the first 16 hex digits of the SHA-256 of its weights'
    files, None where it has none; it may be computed at first use.
    """

    @property
    def name(self) -> str:
        """The policy's name in trajectories."""

    def act(self, observation: Observation) -> Completion:
        """Reply to an observation; an exception ends the run with ``policy_error``."""

    async def aact(self, observation: Observation) -> Completion:
        """Reply without blocking the event loop."""


class SyncPolicy:
    """Base of policies that only compute: ``aact`` runs ``act`` on a daemon thread.

    ``reply_timeout``: seconds for a reply; None for no limit, which is cheaper: the call runs on the run's own thread.
    """

    name: str = "policy"
    reply_timeout: float | None = None

    def act(self, observation: Observation) -> Completion:
        """Reply to an observation."""
        raise NotImplementedError

    async def aact(self, observation: Observation) -> Completion:
        """Run `act` on a daemon thread, so that one that hangs does not keep the process alive."""
        return await run_in_daemon_thread(self.act, observation)


def total_tokens(usage: dict[str, Any]) -> int:
    """Count the tokens of a reply, prompt and output together."""
    return int(usage.get("total_tokens") or sum(usage.get(k) or 0 for k in ("input_tokens", "output_tokens")))
