"""Runs that are killed: a process that forks one child per run, so that each is a real process without import time.

``python crash_runner.py FOLDER`` reads a JSON object a line: ``thread``, ``seed``, ``durability``,
``kill_after`` (super-steps after which the child gets SIGKILL, None to let it end) and ``pause`` (seconds more). It
answers each with a line: the child's result, or what the checkpoints hold after it was killed.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver

from ibisagent.agent import ImageStore, LoopConfig, PolicyOptions, RunStore, SegmentationGraph, build_graph, get_policy
from ibisagent.agent.checkpoints import open_checkpointer
from ibisagent.agent.state import Input
from ibisagent.agent.threads import resume_or_start

rows, columns = np.mgrid[:96, :128]
PIXELS = (60 + 90 * (((rows - 48) / 25) ** 2 + ((columns - 64) / 40) ** 2 < 1) + (rows * columns) % 9).astype(np.uint8)
START: Input = {"image": PIXELS, "request": "Segment the ellipse."}


def build_test_graph(folder: Path, saver: BaseCheckpointSaver[Any], seed: int) -> SegmentationGraph:
    return build_graph(
        get_policy("random", PolicyOptions(seed=seed)),
        "geocut",
        LoopConfig(max_steps=6),
        checkpointer=saver,
        store=RunStore(folder / "store"),
        images=ImageStore(folder / "images"),
    )


def comparable(ended: Mapping[str, Any]) -> dict[str, Any]:
    """Return what has to be equal bit for bit: all but the seconds."""
    steps = [{key: value for key, value in step.items() if key != "seconds"} for step in ended["steps"]]
    return {"mask": ended["mask"], "stop": ended["stop"], "steps": steps, "measurements": ended["measurements"]}


def run_child(folder: Path, order: dict[str, Any], progress: int) -> dict[str, Any]:
    with open_checkpointer(folder / "runs.db") as saver:
        graph = build_test_graph(folder, saver, order["seed"])
        thread: RunnableConfig = {"configurable": {"thread_id": order["thread"]}}
        given, thread = resume_or_start(graph, START, thread)
        for _ in graph.stream(given, thread, stream_mode="updates", durability=order["durability"]):
            os.write(progress, b".")
        return comparable(graph.get_state(thread).values)


def count_super_steps(folder: Path, order: dict[str, Any]) -> int:
    """Count the super-steps that the killed child's checkpoints hold."""
    with open_checkpointer(folder / "runs.db") as saver:
        return sum(
            1 for kept in saver.list({"configurable": {"thread_id": order["thread"]}}) if kept.metadata["step"] > 0
        )


def fork_child(work: Callable[[int], Any]) -> tuple[int, int, int]:
    """Run ``work(pipe)`` in a child process; returns its pid, the pipe of its super-steps, and that of its result."""
    progress_out, progress_in = os.pipe()
    result, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(progress_out)
        os.write(write, json.dumps(work(progress_in)).encode())
        os._exit(0)
    os.close(progress_in)
    os.close(write)
    return pid, progress_out, result


def execute_order(folder: Path, order: dict[str, Any]) -> dict[str, Any]:
    pid, progress_out, result = fork_child(lambda progress_in: run_child(folder, order, progress_in))
    done = 0
    while (order["kill_after"] is None or done < order["kill_after"]) and os.read(progress_out, 1):
        done += 1
    if order["kill_after"] is not None:
        time.sleep(order["pause"])
        os.kill(pid, signal.SIGKILL)
    with os.fdopen(result) as pipe:
        output = pipe.read()
    _, status = os.waitpid(pid, 0)
    os.close(progress_out)
    if os.WIFSIGNALED(status):
        pid, progress_out, result = fork_child(lambda _: count_super_steps(folder, order))
        with os.fdopen(result) as pipe:
            kept = int(pipe.read())
        os.waitpid(pid, 0)
        os.close(progress_out)
        return {"killed": True, "done": done, "held": kept}
    return {"killed": False, **json.loads(output)}


if __name__ == "__main__":
    with open_checkpointer(Path(sys.argv[1]) / "warm.db") as warm:  # imports what the children would import each
        build_test_graph(Path(sys.argv[1]), warm, 0).invoke(
            START | {"image": 255 - PIXELS}, {"configurable": {"thread_id": "0"}}
        )
    for line in sys.stdin:
        sys.stdout.write(json.dumps(execute_order(Path(sys.argv[1]), json.loads(line))) + "\n")
        sys.stdout.flush()
