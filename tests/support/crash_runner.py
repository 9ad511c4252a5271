"""Runs that die: a process that forks one child per run, so that each is a real process without an import's delay.

``python nursery.py FOLDER`` reads a JSON object a line: ``thread``, ``seed``, ``durability``, ``kill_after``
(super-steps after which the child gets SIGKILL, None to let it end) and ``pause`` (seconds more). It answers each with
a line: what the child ended with, or what the checkpoints hold after its death.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from ibisagent.agent import ImageStore, LoopConfig, RunStore, build_graph, get_policy
from ibisagent.agent.checkpoints import open_checkpointer
from ibisagent.agent.threads import take_up

rows, columns = np.mgrid[:96, :128]
PIXELS = (60 + 90 * (((rows - 48) / 25) ** 2 + ((columns - 64) / 40) ** 2 < 1) + (rows * columns) % 9).astype(np.uint8)
START = {"image": PIXELS, "request": "Segment the ellipse."}


def graph_of(folder, saver, seed):
    stores = {"store": RunStore(folder / "store"), "images": ImageStore(folder / "images")}
    return build_graph(get_policy("random", seed=seed), "geocut", LoopConfig(max_steps=6), checkpointer=saver, **stores)


def plain(ended):
    """What has to be equal bit for bit: all but the seconds."""
    steps = [{key: value for key, value in step.items() if key != "seconds"} for step in ended["steps"]]
    return {"mask": ended["mask"], "stop": ended["stop"], "steps": steps, "measurements": ended["measurements"]}


def child(folder, order, told):
    with open_checkpointer(folder / "runs.db") as saver:
        graph = graph_of(folder, saver, order["seed"])
        thread = {"configurable": {"thread_id": order["thread"]}}
        given, thread = take_up(graph, START, thread)
        for _ in graph.stream(given, thread, stream_mode="updates", durability=order["durability"]):
            os.write(told, b".")
        return plain(graph.get_state(thread).values)


def held(folder, order):
    """Count the super-steps that the dead child's checkpoints hold."""
    with open_checkpointer(folder / "runs.db") as saver:
        return sum(
            1 for kept in saver.list({"configurable": {"thread_id": order["thread"]}}) if kept.metadata["step"] > 0
        )


def forked(work):
    """Run ``work(told)`` in a child process; gives its pid, the pipe that it tells of its super-steps, its result."""
    told, tell = os.pipe()
    result, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(told)
        os.write(write, json.dumps(work(tell)).encode())
        os._exit(0)
    os.close(tell)
    os.close(write)
    return pid, told, result


def answer(folder, order):
    pid, told, result = forked(lambda tell: child(folder, order, tell))
    done = 0
    while (order["kill_after"] is None or done < order["kill_after"]) and os.read(told, 1):
        done += 1
    if order["kill_after"] is not None:
        time.sleep(order["pause"])
        os.kill(pid, signal.SIGKILL)
    with os.fdopen(result) as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    os.close(told)
    if os.WIFSIGNALED(status):
        pid, told, result = forked(lambda _: held(folder, order))
        with os.fdopen(result) as pipe:
            kept = int(pipe.read())
        os.waitpid(pid, 0)
        os.close(told)
        return {"killed": True, "done": done, "held": kept}
    return {"killed": False, **json.loads(said)}


if __name__ == "__main__":
    with open_checkpointer(Path(sys.argv[1]) / "warm.db") as warm:  # imports what the children would import each
        graph_of(Path(sys.argv[1]), warm, 0).invoke(
            START | {"image": 255 - PIXELS}, {"configurable": {"thread_id": "0"}}
        )
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(Path(sys.argv[1]), json.loads(line))) + "\n")
        sys.stdout.flush()
