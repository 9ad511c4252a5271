"""What a session reveals of itself, in plain values: its state, and each of its steps."""

from dataclasses import dataclass
from typing import Any

from ibisagent.agent import SegmentationGraph
from ibisagent.agent.actions import format_action, from_plain
from ibisagent.agent.integrations.summary import RunSummary
from ibisagent.agent.reply_parser import parse_completion
from ibisagent.agent.state import StepRecord
from ibisagent.tools.masks.rle import area

__all__ = ["SessionInfo", "SessionStep", "describe_step"]


@dataclass(frozen=True, slots=True)
class SessionStep:
    """A step of a session, as it happens or afterwards.

    ``index``, ``actor``, ``error``, ``score``, ``seconds``, ``reverts``, ``restores``: as in
    `ibisagent.agent.state.StepRecord`. ``action``: in its plain form, None for a reply that could not be read; ``text``:
    the action in words. ``thought``: the policy's reasoning, "" where it gave none. ``mask``: key of the mask after it,
    which `ibisagent.ui.sessions.service.SessionService.mask` takes; ``area``: of that mask, in pixels.
    """

    index: int
    actor: str
    action: dict[str, Any] | None
    text: str
    thought: str
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
        actor=record["actor"],
        action=record["action"],
        text=format_action(from_plain(record["action"])) if record["action"] else "an unreadable reply",
        thought=parse_completion(store.get(record["reply"])).thought if record["reply"] else "",
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
