"""Threads: resume a run after its process was killed, and insert a person's action into it.

Both use LangGraph's own checkpoints only: a graph with the same checkpointer and run store does it in any process. The
async versions, with an ``a`` before the name, are for async checkpointers.
"""

from collections.abc import Mapping
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import StateSnapshot

from ibisagent.agent.actions import Action
from ibisagent.agent.checkpoints import CheckpointUpdate, thread_config, thread_id
from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.human_action import apply_human_action
from ibisagent.agent.inputs import normalize_input, request_hash
from ibisagent.agent.prediction import require_same_segmenter
from ibisagent.agent.state import NO_RESULT, State
from ibisagent.agent.stop_reasons import FAILURES
from ibisagent.tools.errors import InputError

__all__ = ["aintervene", "aresume_or_start", "intervene", "resume_or_start"]

_EXTERNAL_STOPS = ("cancelled", *FAILURES)


def resume_or_start(graph: SegmentationGraph, start: Any, config: RunnableConfig) -> tuple[Any, RunnableConfig]:
    """Return the arguments to invoke or stream the graph with, so that ``start`` runs once on the thread of ``config``.

    An unused thread starts; one whose process was killed resumes from its last checkpoint; one that ended by a failure
    or was cancelled resumes after that; one that has finished ``start`` returns its result again; one that has finished
    another request takes ``start`` as its next one. With ``start`` None the thread's own request is resumed.
    `InputError`: another request is unfinished on the thread, or it began with another segmenter.

        result = graph.invoke(*resume_or_start(graph, start, config))
    """
    given, plan = _plan_resumption(graph, graph.get_state(thread_config(config)), start, config)
    if plan is not None:
        graph.update_state(*plan)
    return given, thread_config(config)


async def aresume_or_start(graph: SegmentationGraph, start: Any, config: RunnableConfig) -> tuple[Any, RunnableConfig]:
    """Do what `resume_or_start` does, for async checkpointers."""
    given, plan = _plan_resumption(graph, await graph.aget_state(thread_config(config)), start, config)
    if plan is not None:
        await graph.aupdate_state(*plan)
    return given, thread_config(config)


def _plan_resumption(
    graph: SegmentationGraph, now: StateSnapshot, start: Any, config: RunnableConfig
) -> tuple[Any, CheckpointUpdate | None]:
    state, thread = cast(State, now.values), thread_id(config)
    if "run" not in state or {"__start__", "load"} & set(now.next):
        if start is None and not now.next:
            raise InputError(f"thread {thread!r}: it has no request yet; give an image and a request")
        return start, None
    if start is not None and not _is_same_request(graph, start, state):
        if now.next:
            problem = f"{state['request']!r} is not finished"
            raise InputError(f"thread {thread!r}: {problem}; ask the same again, or name another thread")
        return start, None
    ended = state["stop"] if not now.next else None
    if now.next or ended in _EXTERNAL_STOPS:
        require_same_segmenter(state, graph.components)
    if ended in _EXTERNAL_STOPS:
        return None, CheckpointUpdate(now.config, NO_RESULT, "backtrack")
    return None, None


def _is_same_request(graph: SegmentationGraph, start: Any, state: State) -> bool:
    plain = normalize_input(start, graph.components)
    image = graph.components.images.open(plain.get("image") or state["image"])
    return request_hash(plain, image, graph.components.images) == state["run"]["request_hash"]


def intervene(
    graph: SegmentationGraph, config: RunnableConfig, action: Action | Mapping[str, Any] | str, **options: Any
) -> Any:
    """Apply a person's action to a thread that is interrupted or has ended, and continue; returns what `invoke` does.

    ``action``: a click, a box, an example, an undo, a redo, or a stop, which accepts the current mask; as an object, as
    text, or in its plain form. The policy continues after it; with ``interrupt_before=["reason"]``, which like every
    option is passed to `invoke`, it waits. A run in progress has to be cancelled first. `InputError`: there is no such
    thread, or the action cannot be read, is not applicable, or is a prompt that the segmenter does not take.
    """
    return graph.invoke(
        None, graph.update_state(*_plan_intervention(graph, graph.get_state(config), config, action)), **options
    )


async def aintervene(
    graph: SegmentationGraph, config: RunnableConfig, action: Action | Mapping[str, Any] | str, **options: Any
) -> Any:
    """Do what `intervene` does, for async checkpointers."""
    plan = _plan_intervention(graph, await graph.aget_state(config), config, action)
    return await graph.ainvoke(None, await graph.aupdate_state(*plan), **options)


def _plan_intervention(
    graph: SegmentationGraph, now: StateSnapshot, config: RunnableConfig, action: Action | Mapping[str, Any] | str
) -> CheckpointUpdate:
    if "run" not in now.values:
        raise InputError(f"thread {thread_id(config)!r}: it has no request yet; give an image and a request")
    update = apply_human_action(cast(State, now.values), action, graph.components.memo.refusal)
    return CheckpointUpdate(now.config, update, "review")
