"""The loop as a node of a parent graph: with a state of its own behind a function, or sharing the parent's."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from langgraph.runtime import Runtime, get_runtime
from langgraph.utils.runnable import RunnableCallable  # type: ignore[attr-defined]

from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.inputs import require_known_keys, select_inputs
from ibisagent.agent.integrations.nested_run import arun_nested, run_context, to_plain_segmentation, run_nested
from ibisagent.agent.integrations.summary import summarize
from ibisagent.agent.state import Output

__all__ = ["segmentation_node", "shared_state"]

MakeInput = Callable[[Any], Mapping[str, Any]]
MakeUpdate = Callable[[Output], Mapping[str, Any]]


def segmentation_node(graph: SegmentationGraph, *, make_input: MakeInput | None = None, make_update: MakeUpdate | None = None) -> Any:
    """Make ``graph`` a node whose state is its own; what to give to `add_node`.

    ``given``: makes an `Input` of the parent's state, by default of its keys of the same names. ``kept``: makes the
    parent's update of an `Output`, by default ``{"segmentation": ...}`` with the plain values of
    `ibisagent.agent.integrations.nested_run.plain`. Build ``graph`` without a checkpointer: the parent's then keeps the run,
    which goes on at its own step after a death. The parent's recursion limit does not count in it.
    """
    keep = make_update or (lambda ended: {"segmentation": to_plain_segmentation(summarize(graph, ended), ended)})

    def node(state: Any, runtime: Runtime[Any]) -> Any:
        return keep(run_nested(graph, _node_input(state, make_input), runtime.context, runtime.stream_writer))

    async def anode(state: Any, runtime: Runtime[Any]) -> Any:
        return keep(await arun_nested(graph, _node_input(state, make_input), runtime.context, runtime.stream_writer))

    return RunnableCallable(node, anode, name="segmentation", trace=False)


def _node_input(state: Any, given: MakeInput | None) -> dict[str, Any]:
    if given is None:
        return select_inputs(state)
    start = dict(given(state))
    require_known_keys(start)
    return start


def shared_state(graph: SegmentationGraph) -> SegmentationGraph:
    """Give ``graph`` for `add_node` under a parent with keys of the same names, which both then read and write.

    Unlike the bare graph it counts its own super-steps, however few the parent's recursion limit allows, and takes of
    the parent's context, whatever that is, the event that cancels.
    """
    return _NestedGraph.from_compiled(graph)


class _NestedGraph(SegmentationGraph):
    def stream(self, input: Any, config: Any = None, **kwargs: Any) -> Iterator[Any]:
        yield from super().stream(input, self._own_config(config), **_with_context(kwargs))

    async def astream(self, input: Any, config: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
        async for chunk in super().astream(input, self._own_config(config), **_with_context(kwargs)):
            yield chunk

    def _own_config(self, config: Any) -> Any:
        return {**(config or {}), "recursion_limit": self.components.config.recursion_limit}


def _with_context(kwargs: dict[str, Any]) -> dict[str, Any]:
    given = kwargs.get("context")
    return kwargs | {"context": run_context(given if given is not None else get_runtime().context)}
