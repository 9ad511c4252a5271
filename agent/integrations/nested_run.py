"""A run nested in a parent graph: its events passed on to the parent, its result as plain JSON."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from langgraph.types import StreamMode

from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.integrations.summary import RunSummary
from ibisagent.agent.langgraph_private import numbered_run_config
from ibisagent.agent.nodes.common import cancel_event_of_context
from ibisagent.agent.state import Output, RunContext
from ibisagent.tools.errors import InputError

__all__ = ["EventWriter", "arun_nested", "run_context", "run_nested", "to_plain_segmentation"]

EventWriter = Callable[[dict[str, Any]], None]

_MODES: list[StreamMode] = ["custom", "values"]


def run_nested(
    graph: SegmentationGraph, start: Any, context: Any, write: EventWriter, number: int | None = None
) -> Output:
    """Run ``graph`` inside a parent's node or tool, pass its events to ``write``, and return its output.

    ``context``: the parent's own. An interrupt inside propagates to the parent, whose checkpointer keeps the run.
    ``number``: of the run among those of the same task, if these may begin in any order.
    """
    ended: Any = {}
    for mode, chunk in graph.stream(
        start, numbered_run_config(number), stream_mode=_MODES, context=run_context(context)
    ):
        ended = _handle_chunk(mode, chunk, write, ended)
    return _check_ended(ended)


async def arun_nested(
    graph: SegmentationGraph, start: Any, context: Any, write: EventWriter, number: int | None = None
) -> Output:
    """Do what `run_nested` does, without blocking the event loop."""
    ended: Any = {}
    async for mode, chunk in graph.astream(
        start, numbered_run_config(number), stream_mode=_MODES, context=run_context(context)
    ):
        ended = _handle_chunk(mode, chunk, write, ended)
    return _check_ended(ended)


def _handle_chunk(mode: str, chunk: Any, write: EventWriter, ended: Any) -> Any:
    if mode != "custom":
        return chunk
    write(chunk)
    return ended


def _check_ended(values: Any) -> Output:
    """Return a run's output; `InputError` if it waits for a person outside of a graph."""
    if "__interrupt__" in values:  # inside a graph this would have been raised
        got = "got a run that waits for a person, outside of a graph"
        raise InputError(f"{got}, expected it inside a graph with a checkpointer; call it there")
    return values  # type: ignore[no-any-return]


def run_context(context: Any) -> RunContext:
    """Return a run's context with the cancel event of a parent's context, whatever type that has."""
    return RunContext(cancel=cancel_event_of_context(context))


def to_plain_segmentation(summary: RunSummary, ended: Output) -> dict[str, Any]:
    """Return what a parent keeps of a run: the fields of `RunSummary` but its text, the request, the image's name."""
    values = {name: value for name, value in asdict(summary).items() if name != "text"}
    image = {name: ended["image"][name] for name in ("uri", "slice", "window")}
    return {"request": ended["request"], "image": image, **values}
