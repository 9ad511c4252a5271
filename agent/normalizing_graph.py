"""A compiled graph that normalizes its inputs: everything passed in is made JSON-plain before it becomes state."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

from langgraph.graph.state import CompiledStateGraph

__all__ = ["InputNormalizingGraph"]

StateT = TypeVar("StateT")
ContextT = TypeVar("ContextT")
InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")


def _is_nested(args: Any, kwargs: Any) -> bool:
    """Whether the graph runs as a node, by the arguments after its input: LangGraph then passes the parent's state.

    It then passes the namespace of the parent's task as well; a caller's own configuration has none, or an empty one.
    """
    config = kwargs.get("config", args[0] if args else None) or {}
    return bool(config.get("configurable", {}).get("checkpoint_ns"))


class InputNormalizingGraph(CompiledStateGraph[StateT, ContextT, InputT, OutputT]):  # type: ignore[type-var]
    """A compiled graph that passes every input through ``normalize_input``, so that no checkpointer sees an array.

    It is called with ``nested=True`` where the input is the state of a parent graph that has this one as a node.
    """

    normalize_input: Callable[..., Any]

    def __init__(self, *, normalize_input: Callable[..., Any], **attributes: Any) -> None:
        """Take ``**vars(compiled)`` of a compiled graph, and ``normalize_input``; `with_config` copies the graph so."""
        super().__init__(**attributes)
        self.normalize_input = normalize_input

    def stream(self, input: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Stream a run; `invoke` and `batch` call this as well."""
        yield from super().stream(self.normalize_input(input, nested=_is_nested(args, kwargs)), *args, **kwargs)

    async def astream(self, input: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Stream a run without blocking the event loop; `ainvoke` and `abatch` call this as well."""
        plain = await asyncio.to_thread(self.normalize_input, input, nested=_is_nested(args, kwargs))
        async for chunk in super().astream(plain, *args, **kwargs):
            yield chunk
