"""One run inside a parent: its events handed up, its end as plain JSON."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from langgraph._internal._constants import CONFIG_KEY_SCRATCHPAD
from langgraph.config import get_config
from langgraph.types import StreamMode

from ibisagent.agent.embedding.telling import told_by
from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.state import Output, RunContext
from ibisagent.tools.errors import InputError

__all__ = ["Write", "arun", "context_of", "plain", "run"]

Write = Callable[[dict[str, Any]], None]

_MODES: list[StreamMode] = ["custom", "values"]
_FIRST, _ANEW = 1000, 10_000  # past the numbers of whatever else runs in the same task


def run(graph: SegmentationGraph, start: Any, context: Any, write: Write, number: int | None = None) -> Output:
    """Run ``graph`` inside a parent's node or tool, hand its events to ``write``, and give what it ends with.

    ``context``: the parent's own. An interrupt inside passes on to the parent, whose checkpointer keeps the run.
    ``number``: that of the run among those of the same task, where these may begin in any order.
    """
    ended: Any = {}
    for config in _configs(number):
        for mode, chunk in graph.stream(start, config, stream_mode=_MODES, context=context_of(context)):
            ended = _heard(mode, chunk, write, ended)
        if _has_ended(ended):
            break
    return ended  # type: ignore[no-any-return]


async def arun(graph: SegmentationGraph, start: Any, context: Any, write: Write, number: int | None = None) -> Output:
    """Do what `run` does."""
    ended: Any = {}
    for config in _configs(number):
        async for mode, chunk in graph.astream(start, config, stream_mode=_MODES, context=context_of(context)):
            ended = _heard(mode, chunk, write, ended)
        if _has_ended(ended):
            break
    return ended  # type: ignore[no-any-return]


def _configs(number: int | None) -> Iterator[Any]:
    """Give the configuration of a run, and of two more tries, whose checkpoints lie apart from the first one's.

    LangGraph numbers the graphs that a task runs in the order in which they begin. A `ToolNode` runs parallel calls in
    one task, so that a resumed call would find the checkpoints of whichever began in its place: hence ``number``. And
    where an async run is cancelled between a node and its edge, LangGraph keeps the half of what that node did, and
    the resumed run finds nothing to do; it has no stop reason then, and is begun anew.
    """
    yield _numbered(number) if number is not None else None
    for again in (1, 2):
        if (config := _numbered((number or 0) + again * _ANEW)) is not None:
            yield config


def _numbered(number: int) -> Any:
    """Refine the configuration of the task around, if there is one."""
    try:
        scratchpad = get_config()["configurable"][CONFIG_KEY_SCRATCHPAD]
    except (KeyError, RuntimeError):
        return None
    return {"configurable": {CONFIG_KEY_SCRATCHPAD: replace(scratchpad, subgraph_counter=lambda: _FIRST + number)}}


def _heard(mode: str, chunk: Any, write: Write, ended: Any) -> Any:
    if mode != "custom":
        return chunk
    write(chunk)
    return ended


def _has_ended(values: Mapping[str, Any]) -> bool:
    """Tell whether a run has its stop reason; one that asks a person where nobody can answer is an `InputError`."""
    if "__interrupt__" in values:  # inside a graph this would have been raised
        got = "got a run that waits for a person, outside of a graph"
        raise InputError(f"{got}, expected it inside a graph with a checkpointer; call it there")
    return bool(values.get("stop"))


def context_of(context: Any) -> RunContext:
    """Take the event that cancels out of a parent's context, whatever that is; nothing else of it concerns a run."""
    given = context.get("cancel") if isinstance(context, Mapping) else getattr(context, "cancel", None)
    return RunContext(cancel=given)


def plain(graph: SegmentationGraph, ended: Output) -> dict[str, Any]:
    """Give what a parent keeps of a run: the fields of `Told` but its text, the request, and the image's name."""
    told = {name: value for name, value in asdict(told_by(graph, ended)).items() if name != "text"}
    image = {name: ended["image"][name] for name in ("uri", "slice", "window")}
    return {"request": ended["request"], "image": image, **told}
