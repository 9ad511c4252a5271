"""What the nodes share: the event that cancels, and how a failure from outside becomes data."""

import time
from collections.abc import Mapping
from typing import Any

from langgraph.runtime import Runtime

from ibisagent.agent.state import RunContext, State, StopReason
from ibisagent.tools.errors import StoreError

__all__ = ["Update", "cancelled", "event_in", "event_of", "failed", "writable"]

Update = dict[str, Any]


def event_of(runtime: Runtime[RunContext]) -> Any:
    """Give the event that ends the run, if the caller gave one."""
    return event_in(runtime.context)


def event_in(context: Any) -> Any:
    """Give the event that ends a run out of a context, which may be a parent's and of any kind."""
    return context.get("cancel") if isinstance(context, Mapping) else getattr(context, "cancel", None)


def cancelled(runtime: Runtime[RunContext]) -> bool:
    """Tell whether the caller has set the event that ends the run."""
    event = event_of(runtime)
    return event is not None and bool(event.is_set())


def failed(state: State, stop: StopReason, error: Exception | None, begun: float) -> Update:
    """End the run with ``stop``, or with ``store_error`` when that is what failed, and say in a line what happened."""
    spent = state["run"]["seconds"] + time.perf_counter() - begun
    said = writable(f"{type(error).__name__}: {error}".splitlines()[0][:500]) if error is not None else None
    stop = "store_error" if isinstance(error, StoreError) else stop
    return {"stop": stop, "error": said, "reply": None, "queue": [], "run": state["run"] | {"seconds": spent}}


def writable(text: str) -> str:
    """Replace what a checkpointer cannot write: lone surrogates, and for Postgres null characters."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
