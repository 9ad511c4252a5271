"""One episode: one request from its start to its record, for all that runs the loop over many of them."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from langchain_core.runnables import RunnableConfig
from numpy.typing import NDArray

from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.trajectory import Trajectory, build_trajectory

__all__ = ["OnEvent", "arun_episode", "run_episode"]

OnEvent = Callable[[dict[str, Any]], None]
"""Called with each event of a run, such as a step, as it happens."""

_STREAMED = ["custom", "values"]


def run_episode(
    graph: SegmentationGraph,
    start: Any,
    *,
    config: RunnableConfig | None = None,
    truth: NDArray[np.bool_] | None = None,
    folder: str | os.PathLike[str] | None = None,
    on_event: OnEvent | None = None,
    **options: Any,
) -> Trajectory:
    """Run one request and return its record, also where the policy, the segmenter or the store failed.

    ``start``: an input of the graph (`ibisagent.agent.state.Input`), None to resume the thread of ``config``, or a
    command; ``truth``: (H, W) bool, recorded; ``folder``: where the record will be written; ``options``: of `invoke`,
    such as ``context``. A run that waits for a person has no stop in its record. A graph without a checkpointer runs
    any number of episodes at once, in threads or on an event loop.
    """
    if on_event is None:
        ended = graph.invoke(start, config, **options)
    else:
        ended = {}
        for mode, chunk in graph.stream(start, config, stream_mode=_STREAMED, **options):
            if mode == "custom":
                on_event(chunk)
            elif "run" in chunk:
                ended = chunk
    return build_trajectory(graph, ended, truth=truth, folder=folder)


async def arun_episode(
    graph: SegmentationGraph,
    start: Any,
    *,
    config: RunnableConfig | None = None,
    truth: NDArray[np.bool_] | None = None,
    folder: str | os.PathLike[str] | None = None,
    on_event: OnEvent | None = None,
    **options: Any,
) -> Trajectory:
    """Do what `run_episode` does on an event loop, which the building of the record does not block."""
    if on_event is None:
        ended = await graph.ainvoke(start, config, **options)
    else:
        ended = {}
        async for mode, chunk in graph.astream(start, config, stream_mode=_STREAMED, **options):
            if mode == "custom":
                on_event(chunk)
            elif "run" in chunk:
                ended = chunk
    return await asyncio.to_thread(build_trajectory, graph, ended, truth=truth, folder=folder)
