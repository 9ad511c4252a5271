"""Threads: take a run up after its process died, and put a person's action into it.

All of it is LangGraph's own checkpoints: a graph with the same checkpointer and run store does it in any process. The
async twins, with an ``a`` before the name, are for async checkpointers.
"""

from collections.abc import Mapping
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import StateSnapshot

from ibisagent.agent.actions import Action
from ibisagent.agent.checkpoints import Plan, head, thread_of
from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.human_action import said
from ibisagent.agent.inputs import admit, request_hash
from ibisagent.agent.state import FAILURES, State
from ibisagent.tools.errors import InputError

__all__ = ["aintervene", "atake_up", "intervene", "take_up"]

_FROM_OUTSIDE = ("cancelled", *FAILURES)


def take_up(graph: SegmentationGraph, start: Any, config: RunnableConfig) -> tuple[Any, RunnableConfig]:
    """Give what to invoke or stream the graph with, so that ``start`` is done once on the thread of ``config``.

    A thread that was never used begins; one whose process died goes on from its last checkpoint; one that a failure or
    the caller ended goes on after that; one that has done what ``start`` asks gives its result again; one that has done
    something else takes ``start`` as its next request. With ``start`` None, whatever the thread was asked goes on.
    `InputError`: the thread is in the midst of another request, or began with another segmenter.

        result = graph.invoke(*take_up(graph, start, config))
    """
    given, plan = _taken_up(graph, graph.get_state(head(config)), start, config)
    if plan is not None:
        graph.update_state(*plan)
    return given, head(config)


async def atake_up(graph: SegmentationGraph, start: Any, config: RunnableConfig) -> tuple[Any, RunnableConfig]:
    """Do what `take_up` does."""
    given, plan = _taken_up(graph, await graph.aget_state(head(config)), start, config)
    if plan is not None:
        await graph.aupdate_state(*plan)
    return given, head(config)


def _taken_up(
    graph: SegmentationGraph, now: StateSnapshot, start: Any, config: RunnableConfig
) -> tuple[Any, Plan | None]:
    state, thread = cast(State, now.values), thread_of(config)
    if "run" not in state or {"__start__", "load"} & set(now.next):
        if start is None and not now.next:
            raise InputError(f"thread {thread!r}: nothing was asked on it yet; give an image and a request")
        return start, None
    if start is not None and not _same(graph, start, state):
        if now.next:
            said = f"{state['request']!r} is not finished"
            raise InputError(f"thread {thread!r}: {said}; ask the same again, or name another thread")
        return start, None
    ended = state["stop"] if not now.next else None
    if now.next or ended in _FROM_OUTSIDE:
        graph.parts.require_same_segmenter(state)
    if ended in _FROM_OUTSIDE:
        return None, Plan(now.config, {"stop": None, "error": None}, "backtrack")
    return None, None


def _same(graph: SegmentationGraph, start: Any, state: State) -> bool:
    plain = admit(start, graph.parts)
    image = graph.parts.images.open(plain.get("image") or state["image"])
    return request_hash(plain, image, graph.parts.images) == state["run"]["asked"]


def intervene(
    graph: SegmentationGraph, config: RunnableConfig, action: Action | Mapping[str, Any] | str, **options: Any
) -> Any:
    """Put a person's action into a thread that stands still or has ended, and go on; gives what `invoke` gives.

    ``action``: a click, a box, an undo, a redo, or a stop, which accepts the mask in force; as itself, as text, or in
    its plain form. The policy goes on after it; with ``interrupt_before=["reason"]``, which like every option goes to
    `invoke`, it waits. A run that is being worked on at this moment has to be cancelled first. `InputError`: there is
    no such thread, or the action cannot be read or has nothing to work on.
    """
    return graph.invoke(None, graph.update_state(*_intervention(graph.get_state(config), config, action)), **options)


async def aintervene(
    graph: SegmentationGraph, config: RunnableConfig, action: Action | Mapping[str, Any] | str, **options: Any
) -> Any:
    """Do what `intervene` does."""
    plan = _intervention(await graph.aget_state(config), config, action)
    return await graph.ainvoke(None, await graph.aupdate_state(*plan), **options)


def _intervention(now: StateSnapshot, config: RunnableConfig, action: Action | Mapping[str, Any] | str) -> Plan:
    if "run" not in now.values:
        raise InputError(f"thread {thread_of(config)!r}: nothing was asked on it yet; give an image and a request")
    return Plan(now.config, said(cast(State, now.values), action), "review")
