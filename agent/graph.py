"""The graph: every node, every edge, and the normalization of a caller's input into plain state."""

from functools import partial
from inspect import signature
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Checkpointer

from ibisagent.agent import nodes
from ibisagent.agent.config import LoopConfig
from ibisagent.agent.graph_components import Components
from ibisagent.agent.inputs import normalize_input
from ibisagent.agent.langgraph_private import RunnableCallable, runtime_of
from ibisagent.agent.normalizing_graph import InputNormalizingGraph
from ibisagent.agent.policies import Policy, get_policy
from ibisagent.agent.proposers import Proposer, get_proposer
from ibisagent.agent.state import Input, Output, RunContext, State
from ibisagent.agent.stores import ImageStore, RunStore
from ibisagent.agent.view import View
from ibisagent.tools.segmenters import Segmenter
from ibisagent.tools.segmenters.memo import Memo, get_memo

__all__ = ["SegmentationGraph", "build_graph"]


def build_graph(
    policy: Policy | str,
    segmenter: Segmenter | Memo | str,
    config: LoopConfig | None = None,
    *,
    proposer: Proposer | str | None = None,
    checkpointer: Checkpointer = None,
    images: ImageStore | None = None,
    store: RunStore | None = None,
) -> "SegmentationGraph":
    """Compile the loop; see `ibisagent.agent.state.Input` and `Output` for its input and output.

    ``proposer``: makes the initial mask of a request that has neither mask nor prompts; None is the policy's own, which
    nano has, and "none" is none. Graphs with the same segmenter share its memo; pass the same ``images`` and ``store``
    to share those as well.
    """
    acting = get_policy(policy)
    memo = get_memo(segmenter)
    settings = (config or LoopConfig()).for_policy(acting).for_segmenter(memo.prompt_kinds)
    components = Components(
        policy=acting,
        memo=memo,
        config=settings,
        images=images or ImageStore(),
        store=store or RunStore(),
        view=View(settings),
        proposer=get_proposer(proposer, acting),
    )
    graph = StateGraph(State, context_schema=RunContext, input_schema=Input, output_schema=Output)

    graph.add_node("load", partial(nodes.load, components=components))
    graph.add_node("overlay", partial(nodes.overlay, components=components))
    graph.add_node(
        "reason",
        RunnableCallable(
            partial(nodes.reason, components=components), partial(nodes.areason, components=components), trace=False
        ),
    )
    graph.add_node("parse", partial(nodes.parse, components=components))
    graph.add_node("segment", partial(nodes.segment, components=components))
    graph.add_node("backtrack", partial(nodes.backtrack, components=components))
    graph.add_node("review", partial(nodes.review, components=components))
    graph.add_node("terminate", partial(nodes.terminate, components=components))

    graph.add_edge(START, "load")
    graph.add_conditional_edges("load", route_synchronously(after_load))
    graph.add_conditional_edges("overlay", route_synchronously(after_overlay))
    graph.add_conditional_edges("reason", route_synchronously(after_reason))
    graph.add_conditional_edges("parse", route_synchronously(after_parse))
    graph.add_conditional_edges("segment", route_synchronously(after_segment))
    graph.add_edge("backtrack", "overlay")
    graph.add_conditional_edges("review", route_synchronously(after_review))
    graph.add_edge("terminate", END)

    compiled = graph.compile(checkpointer=checkpointer, name="ibisagent")
    limit = {"recursion_limit": components.config.recursion_limit}  # what its longest run needs
    normalize = partial(normalize_input, components=components)
    return SegmentationGraph(components=components, normalize_input=normalize, **vars(compiled) | {"config": limit})


def route_synchronously(route: Any) -> Any:
    """Make a route run synchronously in an async run as well: cancelled between node and edge, a run could not resume.

    LangGraph passes no runtime where `update_state` routes on from a node, as forking a run in Studio does.
    """
    takes_runtime = "runtime" in signature(route).parameters

    def routed(state: State, config: RunnableConfig) -> Any:
        return route(state, runtime_of(config) or Runtime()) if takes_runtime else route(state)

    async def arouted(state: State, config: RunnableConfig) -> Any:
        return routed(state, config)

    for function in (routed, arouted):
        function.__annotations__["return"] = route.__annotations__["return"]  # the names of the nodes it may go to
    return RunnableCallable(routed, arouted, name=route.__name__, trace=False)


def after_load(state: State) -> Literal["segment", "overlay"]:
    """Segment with the request's prompts first; without any, draw the overlay for the policy."""
    return "segment" if state["queue"] else "overlay"


def after_overlay(state: State, runtime: Runtime[RunContext]) -> Literal["reason", "review", "terminate"]:
    """Continue, unless a limit is reached, the segmenter failed or the caller cancelled."""
    if nodes.is_cancelled(runtime):
        return "terminate"
    return _end_node(state, runtime) if state["stop"] else "reason"


def after_reason(state: State, runtime: Runtime[RunContext]) -> Literal["parse", "review", "terminate"]:
    """Parse the reply; a policy that failed has left none."""
    return _end_node(state, runtime) if state["stop"] else "parse"


def after_parse(
    state: State, runtime: Runtime[RunContext]
) -> Literal["segment", "backtrack", "reason", "review", "terminate"]:
    """Apply a prompt or an undo, or end; after an unparseable reply, ask again with the error as the next message."""
    if state["stop"] or nodes.is_cancelled(runtime):
        return _end_node(state, runtime)
    return _node_of_pending_action(state) if state["queue"] else "reason"


def after_segment(state: State) -> Literal["overlay", "backtrack"]:
    """Undo the prompt where a guard has queued that."""
    return "backtrack" if state["queue"] else "overlay"


def after_review(state: State) -> Literal["segment", "backtrack", "terminate"]:
    """Return to the loop after a person's click, undo or redo; end with an accepted result."""
    return _node_of_pending_action(state) if state["queue"] else "terminate"


def _node_of_pending_action(state: State) -> Literal["segment", "backtrack"]:
    action = state["queue"][0]["action"]
    return "backtrack" if action and action["type"] in ("backtrack", "redo") else "segment"


def _end_node(state: State, runtime: Runtime[RunContext]) -> Literal["review", "terminate"]:
    return "review" if state["run"]["review"] and not nodes.is_cancelled(runtime) else "terminate"


class SegmentationGraph(InputNormalizingGraph[State, RunContext, Input, Output]):
    """A compiled loop that accepts pictures and arrays and keeps them out of the state; ``components`` as built."""

    components: Components

    def __init__(self, *, components: Components, **attributes: Any) -> None:
        """Take the arguments of `InputNormalizingGraph`, and ``components``."""
        super().__init__(**attributes)
        self.components = components
