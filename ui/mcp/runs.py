"""A session's runs, off the event loop's back: a word for each step, and an end at once when a call is cancelled."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

import anyio

from ibisagent.agent import Action
from ibisagent.agent.actions import from_plain, format_action
from ibisagent.agent.state import RunContext, State
from ibisagent.agent.threads import aintervene
from ibisagent.ui.mcp.sessions import THREAD, Session

__all__ = ["ReportStep", "apply_action", "run_session", "current_state"]

Answer = TypeVar("Answer")
ReportStep = Callable[[int, str], Awaitable[None]]
"""Takes the number of a step and what was done in it."""


async def run_session(session: Session, given: Any, tell: ReportStep) -> None:
    """Run a session's graph from ``given``, or from where it stands with None."""
    await _cancellable(lambda cancel: _stream(session, given, tell, cancel))


async def apply_action(session: Session, action: Action, tell: ReportStep) -> None:
    """Put a person's action into a session; the policy waits."""
    await _cancellable(lambda cancel: _intervene(session, action, cancel))
    await tell(len(current_state(session)["steps"]), format_action(action))


def current_state(session: Session) -> State:
    """Give the state that a session stands at."""
    return cast(State, session.graph.get_state(THREAD).values)


async def _stream(session: Session, given: Any, tell: ReportStep, cancel: threading.Event) -> None:
    context = RunContext(cancel=cancel)
    async for event in session.graph.astream(given, THREAD, stream_mode="custom", context=context, durability="exit"):
        if event["event"] == "step":
            await tell(event["index"], format_action(from_plain(event["action"])) if event["action"] else "an unreadable reply")


async def _intervene(session: Session, action: Action, cancel: threading.Event) -> None:
    context = RunContext(cancel=cancel)
    await aintervene(session.graph, THREAD, action, interrupt_before=["reason"], context=context, durability="exit")


async def _cancellable(work: Callable[[threading.Event], Coroutine[Any, Any, Answer]]) -> Answer:
    """Do ``work`` to its end; when the caller is cancelled, set the event that ends it typed, and wait until it has."""
    cancel = threading.Event()
    task = asyncio.create_task(work(cancel))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        cancel.set()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at, so that nobody complains of it
        raise
