"""The runs that a thread holds as records: of the loop's own thread, or of a parent graph that has it as a node."""

from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph

from ibisagent.agent.branches import requests
from ibisagent.agent.checkpoints import checkpoint_id, thread_id
from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.state import State
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.tools.errors import InputError

__all__ = ["read_thread"]

_OWN = {"run", "steps", "target_states", "image"}
"""What a checkpoint of the loop holds once a request has begun, and no other graph's does."""


def read_thread(
    graph: CompiledStateGraph[Any, Any, Any, Any], config: RunnableConfig, loop: SegmentationGraph | None = None
) -> list[Trajectory]:
    """Return the record of each request on the thread of ``config``, oldest first.

    ``graph``: the loop, or a parent graph, however deep the loop's node lies in it; ``loop``: of a parent, the loop as
    built for it, whose stores hold the masks and replies. A run that has not ended has no stop. Nothing is run. Of a
    parent all checkpoints of the thread are looked through, its branches included, with a synchronous checkpointer.
    """
    if isinstance(graph, SegmentationGraph):
        return [build_trajectory(graph, state) for state in requests(graph, config)]
    saver = graph.checkpointer
    if loop is None or not isinstance(saver, BaseCheckpointSaver):
        got = "no loop" if loop is None else "a parent without a checkpointer"
        raise InputError(f"thread {thread_id(config)!r}: got {got}, expected the parent's own; give read_thread that")
    return [build_trajectory(loop, state) for state in _nested_states(saver, thread_id(config))]


def _nested_states(saver: BaseCheckpointSaver[Any], thread: str) -> list[State]:
    """Return the newest state of each request of each run of the loop inside a thread, oldest first."""
    newest: dict[tuple[str, str, int], tuple[str, State]] = {}
    for each in saver.list(RunnableConfig(configurable={"thread_id": thread})):
        values = each.checkpoint["channel_values"]
        namespace = each.config["configurable"].get("checkpoint_ns")
        if not namespace or not values.keys() >= _OWN:
            continue
        key = str(namespace), values["run"]["image"], values["run"]["request_index"]
        found = checkpoint_id(each.config), cast(State, values)
        newest[key] = max(newest.get(key, found), found, key=lambda item: item[0])
    return [state for _, state in sorted(newest.values(), key=lambda item: item[0])]
