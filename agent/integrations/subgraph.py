"""The loop as a node of a parent graph: with a state of its own behind a function, or sharing the parent's."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from langgraph.runtime import Runtime, get_runtime
from langgraph.utils.runnable import RunnableCallable  # type: ignore[attr-defined]

from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.inputs import asked_of, require_inputs
from ibisagent.agent.integrations.nested_run import arun, context_of, plain, run
from ibisagent.agent.integrations.summary import told_by
from ibisagent.agent.state import Output

__all__ = ["segmentation_node", "shared_state"]

Given = Callable[[Any], Mapping[str, Any]]
Kept = Callable[[Output], Mapping[str, Any]]


def segmentation_node(graph: SegmentationGraph, *, given: Given | None = None, kept: Kept | None = None) -> Any:
    """Make ``graph`` a node whose state is its own; what to give to `add_node`.

    ``given``: makes an `Input` of the parent's state, by default of its keys of the same names. ``kept``: makes the
    parent's update of an `Output`, by default ``{"segmentation": ...}`` with the plain values of
    `ibisagent.agent.integrations.nested_run.plain`. Build ``graph`` without a checkpointer: the parent's then keeps the run,
    which goes on at its own step after a death. The parent's recursion limit does not count in it.
    """
    keep = kept or (lambda ended: {"segmentation": plain(told_by(graph, ended), ended)})

    def node(state: Any, runtime: Runtime[Any]) -> Any:
        return keep(run(graph, _start(state, given), runtime.context, runtime.stream_writer))

    async def anode(state: Any, runtime: Runtime[Any]) -> Any:
        return keep(await arun(graph, _start(state, given), runtime.context, runtime.stream_writer))

    return RunnableCallable(node, anode, name="segmentation", trace=False)


def _start(state: Any, given: Given | None) -> dict[str, Any]:
    if given is None:
        return asked_of(state)
    start = dict(given(state))
    require_inputs(start)
    return start


def shared_state(graph: SegmentationGraph) -> SegmentationGraph:
    """Give ``graph`` for `add_node` under a parent with keys of the same names, which both then read and write.

    Unlike the bare graph it counts its own super-steps, however few the parent's recursion limit allows, and takes of
    the parent's context, whatever that is, the event that cancels.
    """
    return _Nested.of(graph)


class _Nested(SegmentationGraph):
    def stream(self, input: Any, config: Any = None, **kwargs: Any) -> Iterator[Any]:
        yield from super().stream(input, self._own(config), **_with_context(kwargs))

    async def astream(self, input: Any, config: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
        async for chunk in super().astream(input, self._own(config), **_with_context(kwargs)):
            yield chunk

    def _own(self, config: Any) -> Any:
        return {**(config or {}), "recursion_limit": self.parts.config.recursion_limit}


def _with_context(kwargs: dict[str, Any]) -> dict[str, Any]:
    given = kwargs.get("context")
    return kwargs | {"context": context_of(given if given is not None else get_runtime().context)}
