"""Many runs at once on one graph: threads and tasks, with and without checkpointers, each as if alone."""

import asyncio
import gc
import os
import resource
import threading

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver

from ibisagent.agent import ImageStore, LoopConfig, PolicyOptions, RunStore, build_graph, get_policy
from ibisagent.agent.checkpoints import aopen_checkpointer, open_checkpointer
from ibisagent.agent.policies import SyncPolicy

RUNS = 64


class PolicyBySeed(SyncPolicy):
    """Clicks at random, with the text of each request as the seed."""

    name = "each"

    def act(self, observation):
        return get_policy("random", PolicyOptions(seed=int(observation.request))).act(observation)


def starts(pixels):
    """64 requests on four pictures."""
    return [{"image": np.roll(pixels, 7 * (seed % 4), 1), "request": str(seed)} for seed in range(RUNS)]


def thread(seed, kind):
    return {"configurable": {"thread_id": f"{kind} {seed}"}}


def comparable(ended):
    return ended["mask"], ended["stop"], [{k: v for k, v in step.items() if k != "seconds"} for step in ended["steps"]]


def peak():
    """Return the peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def open_files():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def in_threads(graph, given, kind):
    ended = [None] * len(given)

    def work(seed):
        ended[seed] = graph.invoke(given[seed], thread(seed, kind))

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(len(given))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return ended


async def in_tasks(graph, given, kind):
    return await asyncio.gather(*[graph.ainvoke(start, thread(seed, kind)) for seed, start in enumerate(given)])


@pytest.mark.slow
def test_64_runs_at_once_equal_the_sequential_ones_and_leave_nothing(pixels, tmp_path, capsys):
    given, config = starts(pixels), LoopConfig(max_steps=5)
    shared = {"store": RunStore(tmp_path / "store"), "images": ImageStore()}
    bare = build_graph(PolicyBySeed(), "geodesic", config, **shared)
    alone = [comparable(bare.invoke(start)) for start in given]
    gc.collect()
    threads, files = threading.active_count(), open_files()
    before = peak()

    memory = build_graph(PolicyBySeed(), "geodesic", config, checkpointer=InMemorySaver(), **shared)
    assert [comparable(ended) for ended in in_threads(memory, given, "threads")] == alone
    with open_checkpointer(tmp_path / "runs.db") as saver:
        graph = build_graph(PolicyBySeed(), "geodesic", config, checkpointer=saver, **shared)
        assert [comparable(ended) for ended in in_threads(graph, given, "threads")] == alone

    async def tasks():
        async with aopen_checkpointer(tmp_path / "runs.db") as saver:
            kept = build_graph(PolicyBySeed(), "geodesic", config, checkpointer=saver, **shared)
            both = await asyncio.gather(in_tasks(kept, given, "tasks"), in_tasks(memory, given, "tasks"))
            return both, len(asyncio.all_tasks())

    both, left = asyncio.run(tasks())
    assert [[comparable(ended) for ended in group] for group in both] == [alone, alone]

    gc.collect()
    assert (left, threading.active_count(), open_files()) == (1, threads, files)
    with capsys.disabled():
        print(f"\n4 x {RUNS} runs at once: peak memory {peak():.0f} MiB, {peak() - before:.0f} more than before")  # noqa: T201
    assert peak() - before < 300


def test_threads_and_tasks_share_one_graph(pixels):
    given, graph = starts(pixels)[:16], build_graph(PolicyBySeed(), "geodesic", LoopConfig(max_steps=5))
    alone = [comparable(graph.invoke(start)) for start in given]
    found = {}
    other = threading.Thread(target=lambda: found.update(threads=in_threads(graph, given, "t")))
    other.start()
    found["tasks"] = asyncio.run(in_tasks(graph, given, "a"))
    other.join()
    assert {kind: [comparable(ended) for ended in group] for kind, group in found.items()} == {
        "threads": alone,
        "tasks": alone,
    }
