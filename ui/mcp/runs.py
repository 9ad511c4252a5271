"""A session's runs beside the event loop: a progress report for each step, and an immediate end when cancelled."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

import anyio

from ibisagent.agent import Action
from ibisagent.agent.actions import format_action, from_plain
from ibisagent.agent.state import RunContext, State
from ibisagent.agent.threads import aintervene
from ibisagent.ui.mcp.sessions import THREAD, Session

__all__ = ["ReportStep", "apply_action", "current_state", "run_session"]

Answer = TypeVar("Answer")
ReportStep = Callable[[int, str], Awaitable[None]]
"""Called with the number of a step and a text on its action."""


async def run_session(session: Session, given: Any, report: ReportStep) -> None:
    """Run a session's graph with the input ``given``, or continue from its state with None."""
    await _cancellable(lambda cancel: _stream(session, given, report, cancel))


async def apply_action(session: Session, action: Action, report: ReportStep) -> None:
    """Apply a person's action to a session; the policy does not act."""
    await _cancellable(lambda cancel: _intervene(session, action, cancel))
    await report(len(current_state(session)["steps"]), format_action(action))


def current_state(session: Session) -> State:
    """Return the current state of a session."""
    return cast(State, session.graph.get_state(THREAD).values)


async def _stream(session: Session, given: Any, report: ReportStep, cancel: threading.Event) -> None:
    context = RunContext(cancel=cancel)
    async for event in session.graph.astream(given, THREAD, stream_mode="custom", context=context, durability="exit"):
        if event["event"] == "step":
            await report(
                event["index"], format_action(from_plain(event["action"])) if event["action"] else "an unreadable reply"
            )


async def _intervene(session: Session, action: Action, cancel: threading.Event) -> None:
    context = RunContext(cancel=cancel)
    await aintervene(session.graph, THREAD, action, interrupt_before=["reason"], context=context, durability="exit")


async def _cancellable(work: Callable[[threading.Event], Coroutine[Any, Any, Answer]]) -> Answer:
    """Run ``work`` to its end; when the caller is cancelled, set its cancel event and wait until it has ended."""
    cancel = threading.Event()
    task = asyncio.create_task(work(cancel))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        cancel.set()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would log it
        raise
