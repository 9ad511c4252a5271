"""A compiled graph with a door: what comes in is made plain before any of it is state."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Self, TypeVar

from langgraph._internal._constants import CONFIG_KEY_TASK_ID
from langgraph.graph.state import CompiledStateGraph

__all__ = ["Doored"]

StateT = TypeVar("StateT")
ContextT = TypeVar("ContextT")
InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")


def _nested(args: Any, kwargs: Any) -> bool:
    """Whether the graph is a node, by what follows its input: LangGraph then gives it the parent's whole state."""
    config = kwargs.get("config", args[0] if args else None) or {}
    return CONFIG_KEY_TASK_ID in config.get("configurable", {})


class Doored(CompiledStateGraph[StateT, ContextT, InputT, OutputT]):  # type: ignore[type-var]
    """A compiled graph whose every input goes through ``door``, so that a checkpointer meets no picture or array.

    The door is told, ``nested=True``, where the input is the state of a parent that has the graph as a node.
    """

    door: Callable[..., Any]

    def __init__(self, *, door: Callable[..., Any], **attributes: Any) -> None:
        """Take what `CompiledStateGraph` takes, and ``door``; `with_config` copies the graph through here."""
        super().__init__(**attributes)
        self.door = door

    @classmethod
    def of(cls, compiled: CompiledStateGraph[Any, Any, Any, Any], **attributes: Any) -> Self:
        """Give ``compiled`` a ``door``, and whatever other attributes its class has."""
        graph = cls.__new__(cls)
        graph.__dict__ = compiled.__dict__ | attributes
        return graph

    def stream(self, input: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Stream a run; `invoke` and `batch` come through here as well."""
        yield from super().stream(self.door(input, nested=_nested(args, kwargs)), *args, **kwargs)

    async def astream(self, input: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Stream a run without blocking the event loop; `ainvoke` and `abatch` come through here as well."""
        plain = await asyncio.to_thread(self.door, input, nested=_nested(args, kwargs))
        async for chunk in super().astream(plain, *args, **kwargs):
            yield chunk
