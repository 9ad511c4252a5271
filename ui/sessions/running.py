"""A session's runs beside the event loop: each step is reported as it happens, and a cancelled run ends at once."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar, cast

import anyio
from langchain_core.runnables import RunnableConfig

from ibisagent.agent import Action
from ibisagent.agent.branches import afork
from ibisagent.agent.state import RunContext, State, StepRecord
from ibisagent.agent.threads import aintervene, aresume_or_start
from ibisagent.ui.sessions.session_store import Session
from ibisagent.ui.sessions.session_values import SessionStart, SessionStep, describe_step

__all__ = [
    "OnStep",
    "apply_action",
    "current_state",
    "finish_when_cancelled",
    "fork_session",
    "proceed",
    "resume_session",
    "run_session",
]

Answer = TypeVar("Answer")
OnStep = Callable[[SessionStart | SessionStep], Awaitable[None]]
"""Called with a proposal and with each step as it happens; the run continues when it returns."""

_BEFORE_POLICY = ["reason"]


async def run_session(
    session: Session,
    given: Any,
    on_step: OnStep,
    cancel: threading.Event,
    *,
    policy_acts: bool = True,
    config: RunnableConfig | None = None,
) -> None:
    """Run a session's graph with the input ``given``, or continue from its state with None.

    ``policy_acts``: otherwise the run waits where the policy would act. ``config``: of the checkpoint to continue
    from, None: the session's.
    """
    events = session.graph.astream(
        given,
        config or session.place,
        stream_mode="custom",
        interrupt_before=None if policy_acts else _BEFORE_POLICY,
        context=RunContext(cancel=cancel),
        durability=session.durability,
    )
    async for event in events:
        if event["event"] == "proposal":
            await on_step(SessionStart(event["proposal"], event["mask"]))
        elif event["event"] == "step":
            await _report(session, [event], on_step)
    session.head = None


async def resume_session(
    session: Session, on_step: OnStep, cancel: threading.Event, *, policy_acts: bool = True
) -> None:
    """Finish the run of a session whose process was killed."""
    given, config = await aresume_or_start(session.graph, None, session.thread)
    await run_session(session, given, on_step, cancel, policy_acts=policy_acts, config=config)


async def proceed(session: Session, on_step: OnStep, cancel: threading.Event) -> None:
    """Let the policy continue from where the session waits or has ended."""
    waits = bool((await session.graph.aget_state(session.place)).next)
    config = session.place if waits else await afork(session.graph, session.place)
    await run_session(session, None, on_step, cancel, config=config)


async def apply_action(session: Session, action: Action, on_step: OnStep, cancel: threading.Event) -> None:
    """Apply a person's action to a session; the policy does not act."""
    before = len((await current_state(session))["steps"])
    await aintervene(
        session.graph,
        session.place,
        action,
        interrupt_before=_BEFORE_POLICY,
        context=RunContext(cancel=cancel),
        durability=session.durability,
    )
    session.head = None
    await _report(session, (await current_state(session))["steps"][before:], on_step)


async def fork_session(
    session: Session,
    step: int,
    action: Action | None,
    on_step: OnStep,
    cancel: threading.Event,
    *,
    policy_acts: bool,
) -> None:
    """Continue on a new branch, which replaces a step by a person's action, or else by what the policy now does."""
    config = await afork(session.graph, session.place, step=step, action=action)
    await run_session(session, None, on_step, cancel, policy_acts=policy_acts, config=config)


async def current_state(session: Session) -> State:
    """Return the current state of a session, {} before its first request."""
    return cast(State, (await session.graph.aget_state(session.place)).values)


async def _report(session: Session, records: Sequence[StepRecord], on_step: OnStep) -> None:
    for record in records:
        session.steps += 1
        await on_step(describe_step(session.graph, record))


async def finish_when_cancelled(work: Coroutine[Any, Any, Answer], cancel: threading.Event) -> Answer:
    """Run ``work`` to its end; when the caller is cancelled, set the event that cancels it and wait for its end."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        cancel.set()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would log it
        raise
