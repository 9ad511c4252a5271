"""The graph: every node, every edge, and the door that turns a caller's input into plain state."""

from functools import partial
from inspect import signature
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import CONFIG_KEY_RUNTIME
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Checkpointer
from langgraph.utils.runnable import RunnableCallable  # type: ignore[attr-defined]

from ibisagent.agent import nodes
from ibisagent.agent.components import Parts
from ibisagent.agent.config import LoopConfig
from ibisagent.agent.input_graph import Doored
from ibisagent.agent.inputs import admit
from ibisagent.agent.policies import Policy, get_policy
from ibisagent.agent.state import Input, Output, RunContext, State
from ibisagent.agent.stores import ImageStore, RunStore
from ibisagent.tools.segmenters import Segmenter
from ibisagent.tools.segmenters.memo import Memo, memo_of

__all__ = ["SegmentationGraph", "build_graph"]


def build_graph(
    policy: Policy | str,
    segmenter: Segmenter | Memo | str,
    config: LoopConfig | None = None,
    *,
    checkpointer: Checkpointer = None,
    images: ImageStore | None = None,
    store: RunStore | None = None,
) -> "SegmentationGraph":
    """Compile the loop; see `ibisagent.agent.state.Input` and `Output` for what goes in and comes out.

    Graphs with the same segmenter share what it computed; with the same ``images`` and ``store`` those as well.
    """
    acting = get_policy(policy)
    parts = Parts(
        policy=acting,
        memo=memo_of(segmenter),
        config=(config or LoopConfig()).suited_to(acting),
        images=images or ImageStore(),
        store=store or RunStore(),
    )
    graph = StateGraph(State, context_schema=RunContext, input_schema=Input, output_schema=Output)

    graph.add_node("load", partial(nodes.load, parts=parts))
    graph.add_node("overlay", partial(nodes.overlay, parts=parts))
    graph.add_node(
        "reason", RunnableCallable(partial(nodes.reason, parts=parts), partial(nodes.areason, parts=parts), trace=False)
    )
    graph.add_node("parse", partial(nodes.parse, parts=parts))
    graph.add_node("segment", partial(nodes.segment, parts=parts))
    graph.add_node("backtrack", partial(nodes.backtrack, parts=parts))
    graph.add_node("review", nodes.review)
    graph.add_node("terminate", partial(nodes.terminate, parts=parts))

    graph.add_edge(START, "load")
    graph.add_conditional_edges("load", at_once(after_load))
    graph.add_conditional_edges("overlay", at_once(after_overlay))
    graph.add_conditional_edges("reason", at_once(after_reason))
    graph.add_conditional_edges("parse", at_once(after_parse))
    graph.add_conditional_edges("segment", at_once(after_segment))
    graph.add_edge("backtrack", "overlay")
    graph.add_conditional_edges("review", at_once(after_review))
    graph.add_edge("terminate", END)

    compiled = graph.compile(checkpointer=checkpointer, name="ibisagent")
    limit = {"recursion_limit": parts.config.recursion_limit}  # what its longest run needs
    return SegmentationGraph.of(compiled, door=partial(admit, parts=parts), parts=parts, config=limit)


def at_once(route: Any) -> Any:
    """Route without a pause in an async run as well: one cancelled between node and edge would resume with neither.

    LangGraph gives no runtime where `update_state` routes on from a node, as whoever forks a run in Studio does.
    """
    takes_runtime = "runtime" in signature(route).parameters

    def routed(state: State, config: RunnableConfig) -> Any:
        runtime = config.get("configurable", {}).get(CONFIG_KEY_RUNTIME) or Runtime()
        return route(state, runtime) if takes_runtime else route(state)

    async def arouted(state: State, config: RunnableConfig) -> Any:
        return routed(state, config)

    for made in (routed, arouted):
        made.__annotations__["return"] = route.__annotations__["return"]  # the names of the nodes it may go to
    return RunnableCallable(routed, arouted, name=route.__name__, trace=False)


def after_load(state: State) -> Literal["segment", "overlay"]:
    """A person's prompts come before the policy's own."""
    return "segment" if state["queue"] else "overlay"


def after_overlay(state: State, runtime: Runtime[RunContext]) -> Literal["reason", "review", "terminate"]:
    """Go on, unless a limit is reached, the segmenter failed or the caller cancelled."""
    if nodes.cancelled(runtime):
        return "terminate"
    return _end(state, runtime) if state["stop"] else "reason"


def after_reason(state: State, runtime: Runtime[RunContext]) -> Literal["parse", "review", "terminate"]:
    """A policy that failed has left no reply to parse."""
    return _end(state, runtime) if state["stop"] else "parse"


def after_parse(
    state: State, runtime: Runtime[RunContext]
) -> Literal["segment", "backtrack", "reason", "review", "terminate"]:
    """A prompt, an undo, the end, or an unparseable reply: once more, with the error as the next message."""
    if state["stop"] or nodes.cancelled(runtime):
        return _end(state, runtime)
    return _apply(state) if state["queue"] else "reason"


def after_segment(state: State) -> Literal["overlay", "backtrack"]:
    """A guard may have queued the undoing of the prompt."""
    return "backtrack" if state["queue"] else "overlay"


def after_review(state: State) -> Literal["segment", "backtrack", "terminate"]:
    """A person's click, undo or redo leads back into the loop, an accepted result to the end."""
    return _apply(state) if state["queue"] else "terminate"


def _apply(state: State) -> Literal["segment", "backtrack"]:
    action = state["queue"][0]["action"]
    return "backtrack" if action and action["type"] in ("backtrack", "redo") else "segment"


def _end(state: State, runtime: Runtime[RunContext]) -> Literal["review", "terminate"]:
    return "review" if state["run"]["review"] and not nodes.cancelled(runtime) else "terminate"


class SegmentationGraph(Doored[State, RunContext, Input, Output]):
    """A compiled loop that takes pictures and arrays at its door and keeps them out of the state; ``parts`` made it."""

    parts: Parts

    def __init__(self, *, parts: Parts, **attributes: Any) -> None:
        """Take what `Doored` takes, and ``parts``."""
        super().__init__(**attributes)
        self.parts = parts
