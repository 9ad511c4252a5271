"""Values that go into a session and come out: a request; its state, and each of its steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ibisagent.agent import SegmentationGraph
from ibisagent.agent.actions import format_action, from_plain
from ibisagent.agent.integrations.summary import RunSummary, summarize
from ibisagent.agent.reply_parser import parse_completion
from ibisagent.agent.state import Outcome, ProposalRecord, State, StepRecord
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.masks.rle import area
from ibisagent.ui.sessions.files import MaskSource
from ibisagent.ui.sessions.session_store import Session

__all__ = ["RunRequest", "SessionInfo", "SessionStart", "SessionStep", "describe_session", "describe_step"]


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A request on a session's image: a text, prompts, or both.

    ``mask``: to refine; a path, COCO run lengths, an upload, or the handle of another session. Without one, a later
    request on the same picture refines the mask in force. ``slice``, ``window``: of the picture, unchanged with None.
    ``policy_acts``: False applies the prompts and waits for a person; the text may then be left out.
    ``prompts_actor``: "experiment" for prompts that the policy may undo.
    """

    text: str | None = None
    prompts: Sequence[Prompt] = ()
    mask: MaskSource | None = None
    kind: Literal["segment", "question"] = "segment"
    slice: str | None = None
    window: str | None = None
    policy_acts: bool = True
    prompts_actor: Literal["person", "experiment"] = "person"


@dataclass(frozen=True, slots=True)
class SessionStart:
    """What a proposer offered as a request's initial mask, before its first step; ``mask``: key of that mask.

    The mask is empty, or the mask in force, where nothing was proposed.
    """

    proposal: ProposalRecord
    mask: str


@dataclass(frozen=True, slots=True)
class SessionStep:
    """A step of a session, as it happens or afterwards.

    ``index``, ``target``, ``actor``, ``origin``, ``outcome``, ``error``, ``score``, ``seconds``, ``reverts``,
    ``restores``: as in `ibisagent.agent.state.StepRecord`. ``action``: in its plain form, None for an unreadable reply;
    ``text``: the action in words. ``thought``: the policy's reasoning, "" where it gave none. ``mask``: key of the mask
    after it, which `ibisagent.ui.sessions.service.SessionService.mask` takes; ``area``: of that mask, in pixels.
    """

    index: int
    target: str
    actor: str
    origin: str
    action: dict[str, Any] | None
    text: str
    thought: str
    outcome: Outcome
    error: str | None
    mask: str
    area: int
    score: float | None
    seconds: dict[str, float]
    reverts: int | None
    restores: int | None


def describe_step(graph: SegmentationGraph, record: StepRecord) -> SessionStep:
    """Describe a step of a state, or of the event that is emitted with it."""
    store = graph.components.store
    return SessionStep(
        index=record["index"],
        target=record["target"],
        actor=record["actor"],
        origin=record["origin"],
        action=record["action"],
        text=format_action(from_plain(record["action"])) if record["action"] else "an unreadable reply",
        thought=parse_completion(store.get(record["reply"])).thought if record["reply"] else "",
        outcome=record["outcome"],
        error=record["error"],
        mask=record["mask"],
        area=area(store.get_mask(record["mask"])),
        score=record["score"],
        seconds=dict(record["seconds"]),
        reverts=record["reverts"],
        restores=record["restores"],
    )


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """The state of a session.

    ``size``: (height, width) of the displayed picture of its last request, or before one, of the image that was opened;
    ``slice``, ``window``, ``notes``: of the same. ``running``: something runs, or waits for its turn. ``request``, and
    ``summary`` of the mask in force: None before the first request. ``steps``: their number.
    """

    handle: str
    size: tuple[int, int]
    slice: str | None
    window: str | None
    notes: tuple[str, ...]
    running: bool
    request: str | None
    steps: int
    summary: RunSummary | None


def describe_session(session: Session, state: State) -> SessionInfo:
    """Describe a session in a state, {} before its first request."""
    begun = "run" in state
    image = session.graph.components.images.open(state["image"]) if begun else session.image
    return SessionInfo(
        handle=session.handle,
        size=image.shape,
        slice=image.slice,
        window=image.window,
        notes=image.notes,
        running=bool(session.cancels),
        request=state["request"] if begun else None,
        steps=len(state["steps"]) if begun else 0,
        summary=summarize(session.graph, state) if begun else None,
    )
