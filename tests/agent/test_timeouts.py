"""Policies that hang and callers that cancel: the run ends in time, and nothing blocks the exit of the process."""

import asyncio
import random
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from support.fakes import NOT_THERE, STOP, CountingSegmenter, FunctionPolicy, positive

from ibisagent.agent import LoopConfig, build_graph
from ibisagent.agent.policies import Completion, ScriptedPolicy
from ibisagent.agent.threads import aresume_or_start, resume_or_start
from ibisagent.agent.timeouts import Cancelled, await_with_timeout, call_with_timeout
from ibisagent.tools.errors import InputError

THREAD = {"configurable": {"thread_id": "1"}}


class StuckPolicy(FunctionPolicy):
    """Clicks once, then waits until it is released; ``entered`` is set while it waits."""

    def __init__(self):
        self.released, self.entered = threading.Event(), threading.Event()
        super().__init__(self.stick)

    def stick(self, observation):
        if observation.step == 0:
            return positive(0.5, 0.5)
        self.entered.set()
        self.released.wait(60)
        return STOP


@pytest.fixture
def stuck():
    policy = StuckPolicy()
    yield policy
    policy.released.set()


def by_invoke(graph, *given, **options):
    return graph.invoke(*given, **options)


def by_ainvoke(graph, *given, **options):
    return asyncio.run(graph.ainvoke(*given, **options))


INVOKE_VARIANTS = pytest.mark.parametrize("way", [by_invoke, by_ainvoke])


@INVOKE_VARIANTS
@pytest.mark.parametrize(
    ("config", "stop"),
    [(LoopConfig(policy_seconds=0.3), "policy_error"), (LoopConfig(max_seconds=0.3), "budget")],
    ids=["its own time", "the budget"],
)
def test_a_policy_that_hangs_past_its_time_is_abandoned(way, config, stop, stuck, pixels):
    begun = time.monotonic()
    ended = way(build_graph(stuck, "disk", config), {"image": pixels, "request": "x"})
    assert time.monotonic() - begun < 3
    assert (ended["stop"], len(ended["steps"])) == (stop, 1)
    assert ended["error"].startswith("TimeoutError: no reply within 0.")
    assert ended["measurements"]["area_px"] > 0
    assert ended["run"]["seconds"] >= 0.29


@INVOKE_VARIANTS
def test_a_cancelled_run_ends_at_once_and_can_be_taken_up(way, stuck, pixels):
    cancel, start = threading.Event(), {"image": pixels, "request": "x"}
    graph = build_graph(stuck, "disk", checkpointer=InMemorySaver())
    moments = {}

    def press():
        stuck.entered.wait(30)
        moments["pressed"] = time.monotonic()
        cancel.set()

    presser = threading.Thread(target=press)
    presser.start()
    ended = way(graph, start, THREAD, context={"cancel": cancel})
    assert time.monotonic() - moments["pressed"] < 0.5
    presser.join()
    assert (ended["stop"], len(ended["steps"]), ended["error"]) == ("cancelled", 1, None)
    assert ended["measurements"]["area_px"] > 0
    stuck.released.set()
    again = graph.invoke(*resume_or_start(graph, start, THREAD))
    assert (again["stop"], len(again["steps"])) == ("terminated", 2)


def test_a_streamed_run_that_is_cancelled_anywhere_goes_on_to_the_same_end(pixels):
    start = {"image": pixels, "request": "x"}

    def made():
        replies = [*(positive(0.1 + 0.08 * number, 0.5) for number in range(9)), STOP]
        return build_graph(ScriptedPolicy(replies), "disk", checkpointer=InMemorySaver())

    async def part(graph, seconds):
        async def listen():
            given = await aresume_or_start(graph, start, THREAD)
            async for _ in graph.astream(*given, stream_mode=["custom", "values"]):
                pass

        task = asyncio.create_task(listen())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    expected = made().invoke(start, THREAD)
    for seed in range(12):
        graph, chance = made(), random.Random(seed)
        for _ in range(3):
            asyncio.run(part(graph, chance.uniform(0.005, 0.06)))
        ended = graph.invoke(*resume_or_start(graph, start, THREAD))
        assert (ended["stop"], len(ended["steps"]), ended["mask"]) == ("terminated", 10, expected["mask"])


def test_no_model_is_called_once_the_run_is_cancelled(pixels):
    cancel, segmenter = threading.Event(), CountingSegmenter()

    def policy(observation):
        cancel.set()
        return positive(0.5, 0.5)

    graph = build_graph(FunctionPolicy(policy), segmenter, LoopConfig(review=True), checkpointer=InMemorySaver())
    ended = graph.invoke({"image": pixels, "request": "x"}, THREAD, context={"cancel": cancel})
    assert (ended["stop"], segmenter.predictions) == ("cancelled", 0)


def test_an_abandoned_coroutine_closes_what_it_opened():
    closed = []

    async def hang(_):
        try:
            await asyncio.sleep(60)
        finally:
            closed.append(True)

    async def main():
        with pytest.raises(TimeoutError, match=r"no reply within 0\.1 s"):
            await await_with_timeout(hang, None, 0.1)
        return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1
    assert closed == [True]


def test_an_answer_and_an_error_come_through():
    def fail(_):
        raise TimeoutError("the server's own")

    async def double(value):
        return 2 * value

    assert call_with_timeout(lambda value: 2 * value, 4, 5.0, threading.Event()) == 8
    assert asyncio.run(await_with_timeout(double, 4, 5.0, threading.Event())) == 8
    with pytest.raises(TimeoutError, match="the server's own"):
        call_with_timeout(fail, None, 5.0)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        call_with_timeout(lambda _: time.sleep(1), None, None, cancel)


HANGS = """
    import asyncio, sys, threading
    import numpy as np
    from ibisagent.agent import LoopConfig, build_graph
    from ibisagent.agent.policies import SyncPolicy

    class Hung(SyncPolicy):
        def act(self, observation):
            threading.Event().wait()

    graph = build_graph(Hung(), "disk", LoopConfig(policy_seconds=0.2))
    start = {"image": np.zeros((32, 32), np.uint8), "request": "x"}
    ended = asyncio.run(graph.ainvoke(start)) if sys.argv[1] == "async" else graph.invoke(start)
    print(ended["stop"])
"""


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_hung_policy_does_not_hold_the_process_at_exit(way):
    command = [sys.executable, "-c", textwrap.dedent(HANGS), way]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "policy_error", "")


@pytest.mark.parametrize("wrong", [{"policy_seconds": 0}, {"max_seconds": -1.0}, {"max_tokens": 0}])
def test_limits_that_nothing_can_keep_are_refused(wrong):
    with pytest.raises(InputError, match="expected a number above 0"):
        LoopConfig(**wrong)


def test_a_policy_says_how_long_it_may_take(stuck, pixels):
    class Bare:
        name, act, aact = "bare", stuck.act, stuck.aact

    stuck.reply_timeout = 0.3
    ended = build_graph(stuck, "disk").invoke({"image": pixels, "request": "x"})
    assert (ended["stop"], build_graph(Bare(), "disk").components.reply_timeout) == ("policy_error", 600.0)


def test_a_policy_that_is_quick_is_not_hindered(pixels):
    quick = FunctionPolicy(lambda seen: Completion(NOT_THERE, seconds=0.0))
    assert build_graph(quick, "disk", LoopConfig(policy_seconds=0.5)).invoke({"image": pixels, "request": "x"})[
        "answer"
    ]
