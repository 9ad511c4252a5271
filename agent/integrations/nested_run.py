"""One run inside a parent: its events handed up, its end as plain JSON."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from langgraph._internal._constants import CONFIG_KEY_SCRATCHPAD
from langgraph.config import get_config
from langgraph.types import StreamMode

from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.integrations.summary import RunSummary
from ibisagent.agent.nodes.common import cancel_event_of_context
from ibisagent.agent.state import Output, RunContext
from ibisagent.tools.errors import InputError

__all__ = ["EventWriter", "arun_nested", "run_context", "to_plain_segmentation", "run_nested"]

EventWriter = Callable[[dict[str, Any]], None]

_MODES: list[StreamMode] = ["custom", "values"]
_FIRST_NUMBER = 1000  # past the numbers of whatever else runs in the same task


def run_nested(graph: SegmentationGraph, start: Any, context: Any, write: EventWriter, number: int | None = None) -> Output:
    """Run ``graph`` inside a parent's node or tool, hand its events to ``write``, and give what it ends with.

    ``context``: the parent's own. An interrupt inside passes on to the parent, whose checkpointer keeps the run.
    ``number``: that of the run among those of the same task, where these may begin in any order.
    """
    ended: Any = {}
    for mode, chunk in graph.stream(start, _numbered_config(number), stream_mode=_MODES, context=run_context(context)):
        ended = _handle_chunk(mode, chunk, write, ended)
    return _check_ended(ended)


async def arun_nested(graph: SegmentationGraph, start: Any, context: Any, write: EventWriter, number: int | None = None) -> Output:
    """Do what `run` does."""
    ended: Any = {}
    async for mode, chunk in graph.astream(start, _numbered_config(number), stream_mode=_MODES, context=run_context(context)):
        ended = _handle_chunk(mode, chunk, write, ended)
    return _check_ended(ended)


def _numbered_config(number: int | None) -> Any:
    """Refine the configuration of the task around, if there is one, where a run has a number.

    LangGraph numbers the graphs that a task runs in the order in which they begin. A `ToolNode` runs parallel calls in
    one task, so that a resumed call would find the checkpoints of whichever began in its place.
    """
    if number is None:
        return None
    try:
        scratchpad = get_config()["configurable"][CONFIG_KEY_SCRATCHPAD]
    except (KeyError, RuntimeError):
        return None
    return {"configurable": {CONFIG_KEY_SCRATCHPAD: replace(scratchpad, subgraph_counter=lambda: _FIRST_NUMBER + number)}}


def _handle_chunk(mode: str, chunk: Any, write: EventWriter, ended: Any) -> Any:
    if mode != "custom":
        return chunk
    write(chunk)
    return ended


def _check_ended(values: Any) -> Output:
    """Give a run's end; one that asks a person where nobody can answer is an `InputError`."""
    if "__interrupt__" in values:  # inside a graph this would have been raised
        got = "got a run that waits for a person, outside of a graph"
        raise InputError(f"{got}, expected it inside a graph with a checkpointer; call it there")
    return values  # type: ignore[no-any-return]


def run_context(context: Any) -> RunContext:
    """Take the event that cancels out of a parent's context, whatever that is; nothing else of it concerns a run."""
    return RunContext(cancel=cancel_event_of_context(context))


def to_plain_segmentation(told: RunSummary, ended: Output) -> dict[str, Any]:
    """Give what a parent keeps of a run: the fields of `Told` but its text, the request, and the image's name."""
    values = {name: value for name, value in asdict(told).items() if name != "text"}
    image = {name: ended["image"][name] for name in ("uri", "slice", "window")}
    return {"request": ended["request"], "image": image, **values}
