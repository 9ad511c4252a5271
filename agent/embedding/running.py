"""One run inside a parent: its events handed up, its end as plain JSON."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ibisagent.agent.embedding.telling import told_by
from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.state import Output, RunContext

__all__ = ["Write", "arun", "context_of", "plain", "run"]

Write = Callable[[dict[str, Any]], None]


def run(graph: SegmentationGraph, start: Any, context: Any, write: Write) -> Output:
    """Run ``graph`` inside a parent's node or tool, hand its events to ``write``, and give what it ends with.

    ``context``: the parent's own. An interrupt inside passes on to the parent, whose checkpointer keeps the run.
    """
    ended: Any = {}
    for mode, chunk in graph.stream(start, stream_mode=["custom", "values"], context=context_of(context)):
        ended = _heard(mode, chunk, write, ended)
    return ended  # type: ignore[no-any-return]


async def arun(graph: SegmentationGraph, start: Any, context: Any, write: Write) -> Output:
    """Do what `run` does."""
    ended: Any = {}
    async for mode, chunk in graph.astream(start, stream_mode=["custom", "values"], context=context_of(context)):
        ended = _heard(mode, chunk, write, ended)
    return ended  # type: ignore[no-any-return]


def _heard(mode: str, chunk: Any, write: Write, ended: Any) -> Any:
    if mode != "custom":
        return chunk
    write(chunk)
    return ended


def context_of(context: Any) -> RunContext:
    """Take the event that cancels out of a parent's context, whatever that is; nothing else of it concerns a run."""
    given = context.get("cancel") if isinstance(context, Mapping) else getattr(context, "cancel", None)
    return RunContext(cancel=given)


def plain(graph: SegmentationGraph, ended: Output) -> dict[str, Any]:
    """Give what a parent keeps of a run: the fields of `Told` but its text, the request, and the image's name."""
    told = {name: value for name, value in asdict(told_by(graph, ended)).items() if name != "text"}
    image = {name: ended["image"][name] for name in ("uri", "slice", "window")}
    return {"request": ended["request"], "image": image, **told}
