"""The loop as a node of a parent graph: with a state of its own behind a function, or with shared state keys."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from langgraph.runtime import Runtime, get_runtime

from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.inputs import require_known_keys, select_inputs
from ibisagent.agent.integrations.nested_run import arun_nested, run_context, run_nested, to_plain_segmentation
from ibisagent.agent.integrations.summary import summarize
from ibisagent.agent.langgraph_private import RunnableCallable
from ibisagent.agent.state import Output

__all__ = ["segmentation_node", "shared_state_graph"]

MakeInput = Callable[[Any], Mapping[str, Any]]
MakeUpdate = Callable[[Output], Mapping[str, Any]]


def segmentation_node(
    graph: SegmentationGraph, *, make_input: MakeInput | None = None, make_update: MakeUpdate | None = None
) -> Any:
    """Return ``graph`` as a node with a state of its own, for `add_node`.

    ``make_input``: builds an `Input` from the parent's state, by default from its keys of the same names.
    ``make_update``: builds the parent's update from an `Output`, by default ``{"segmentation": ...}`` with the values
    of `nested_run.to_plain_segmentation`. Build ``graph`` without a checkpointer: the parent's then keeps the run,
    which resumes at its own step after its process was killed. The parent's recursion limit does not apply to it.
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


def shared_state_graph(graph: SegmentationGraph) -> SegmentationGraph:
    """Return ``graph`` for `add_node` under a parent with keys of the same names, which both then read and write.

    Unlike the bare graph it has its own recursion limit, and takes the cancel event from the parent's context, whatever
    type that has.
    """
    return _NestedGraph(**vars(graph))


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
