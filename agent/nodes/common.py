"""Helpers of several nodes: the event that cancels a run, and the update by which an external failure ends it."""

import time
from collections.abc import Mapping
from typing import Any

from langgraph.runtime import Runtime

from ibisagent.agent.state import RunContext, State
from ibisagent.agent.stop_reasons import StopReason
from ibisagent.tools.errors import StoreError, describe_error

__all__ = ["Update", "cancel_event", "cancel_event_of_context", "failure_update", "is_cancelled", "replace_unstorable"]

Update = dict[str, Any]


def cancel_event(runtime: Runtime[RunContext]) -> Any:
    """Return the event that cancels the run, None if the caller passed none."""
    return cancel_event_of_context(runtime.context)


def cancel_event_of_context(context: Any) -> Any:
    """Return the event that cancels a run from a runtime context, which may be a parent's and of any type."""
    return context.get("cancel") if isinstance(context, Mapping) else getattr(context, "cancel", None)


def is_cancelled(runtime: Runtime[RunContext]) -> bool:
    """Whether the caller has set the event that cancels the run."""
    event = cancel_event(runtime)
    return event is not None and bool(event.is_set())


def failure_update(state: State, stop: StopReason, error: Exception | None, begun: float) -> Update:
    """Return the update that ends the run with ``stop``, or ``store_error`` if that failed, and a line on ``error``."""
    spent = state["run"]["seconds"] + time.perf_counter() - begun
    message = describe_error(error) if error is not None else None
    stop = "store_error" if isinstance(error, StoreError) else stop
    return {"stop": stop, "error": message, "reply": None, "queue": [], "run": state["run"] | {"seconds": spent}}


def replace_unstorable(text: str) -> str:
    """Replace what a checkpointer cannot store: lone surrogates, and for Postgres null characters."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
