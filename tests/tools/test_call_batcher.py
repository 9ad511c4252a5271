"""Concurrent calls gathered into batches: nobody waits alone, nobody is forgotten, an error reaches its query alone."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from ibisagent.tools.call_batcher import CallBatcher


class Doubler:
    """Doubles numbers and keeps the batches; its first batch lasts until ``go`` is set, any other ``seconds``."""

    def __init__(self, seconds: float = 0.0, wrong: Sequence[object] = ("wrong",)) -> None:
        self.batches: list[list[Any]] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self.seconds, self.wrong = seconds, wrong

    def __call__(self, queries: Sequence[Any]) -> list[Any]:
        self.batches.append(list(queries))
        self.begun.set()
        assert self.go.wait(10)
        time.sleep(self.seconds)
        if found := [query for query in queries if query in self.wrong]:
            raise ValueError(f"no {found}")
        return [2 * query for query in queries]

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


def running_doubler(seconds: float = 0.02, wrong: Sequence[object] = ()) -> Doubler:
    double = Doubler(seconds, wrong)
    double.go.set()
    return double


def crowd(batcher: CallBatcher[Any, Any], double: Doubler, queries: Sequence[Any]) -> list[Future[Any]]:
    """Let one thread begin alone and the others gather behind it."""
    with ThreadPoolExecutor(len(queries) + 1) as pool:
        first = pool.submit(batcher, 0)
        assert double.begun.wait(10)
        others = []
        for number, query in enumerate(queries, 1):
            others.append(pool.submit(batcher, query))
            wait_until(lambda number=number: len(batcher._queue) == number)
        double.go.set()
        assert first.result(10) == 0
        return others


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_lone_thread_never_waits_for_others():
    double = running_doubler(seconds=0)
    batcher = CallBatcher(double)
    begun = time.perf_counter()
    assert [batcher(number) for number in range(200)] == list(range(0, 400, 2))
    assert double.sizes == [1] * 200
    assert time.perf_counter() - begun < 1


def test_what_is_asked_meanwhile_makes_up_the_next_batch():
    double = Doubler()
    others = crowd(CallBatcher(double), double, [1, 2, 3, 4, 5])
    assert [other.result(10) for other in others] == [2, 4, 6, 8, 10]
    assert double.batches == [[0], [1, 2, 3, 4, 5]]


def test_batches_are_no_larger_than_the_limit_and_the_oldest_go_first():
    double = Doubler()
    others = crowd(CallBatcher(double, limit=2), double, [1, 2, 3, 4, 5])
    assert [other.result(10) for other in others] == [2, 4, 6, 8, 10]
    assert double.batches == [[0], [1, 2], [3, 4], [5]]


def test_threads_share_calls_and_each_has_its_own_answer():
    double = running_doubler()
    batcher = CallBatcher(double)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda start: [batcher(start + step) for step in range(0, 1000, 100)], range(16)))
    assert answers == [[2 * (start + step) for step in range(0, 1000, 100)] for start in range(16)]
    assert sum(double.sizes) == 160
    assert np.mean(double.sizes) > 8


def test_no_batch_of_many_threads_is_larger_than_the_limit():
    double = running_doubler()
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(CallBatcher(double, limit=3), range(64))) == list(range(0, 128, 2))
    assert max(double.sizes) == 3


def test_an_error_reaches_the_thread_whose_query_causes_it_and_the_next_call_works():
    double = Doubler()
    batcher = CallBatcher(double)
    one, wrong = crowd(batcher, double, [1, "wrong"])
    assert one.result(10) == 2
    with pytest.raises(ValueError, match="wrong"):
        wrong.result(10)
    assert batcher(3) == 6


def test_an_error_of_every_query_reaches_every_thread():
    double = Doubler(wrong=range(1, 6))
    batcher = CallBatcher(double)
    for number, other in enumerate(crowd(batcher, double, range(1, 6)), 1):
        with pytest.raises(ValueError, match=rf"no \[{number}\]"):
            other.result(10)
    assert batcher(7) == 14


def test_too_few_answers_are_an_error():
    with pytest.raises(ValueError, match="got 0 answers to 1 queries"):
        CallBatcher[int, int](lambda _: [])(1)


def test_an_interrupted_thread_leaves_the_queries_of_others_to_them():
    calls: list[list[Any]] = []
    begun, go = threading.Event(), threading.Event()

    def answer(queries: Sequence[int]) -> list[int]:
        calls.append(list(queries))
        begun.set()
        assert go.wait(10)
        if len(calls) == 2:  # the first batch of the crowd, in whichever of its threads
            raise KeyboardInterrupt
        return [2 * query for query in queries]

    batcher = CallBatcher(answer)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batcher, 0)
        assert begun.wait(10)
        others = [pool.submit(batcher, query) for query in (1, 2, 3)]
        wait_until(lambda: len(batcher._queue) == 3)
        go.set()
        assert first.result(10) == 0
        ended = [other.exception(10) or other.result() for other in others]
    (interrupted,) = [number for number, end in enumerate(ended, 1) if isinstance(end, KeyboardInterrupt)]
    assert [end for end in ended if not isinstance(end, BaseException)] == [
        2 * number for number in (1, 2, 3) if number != interrupted
    ]
    assert batcher(5) == 10


def test_no_thread_stays_behind():
    before = threading.active_count()
    double = Doubler()
    crowd(CallBatcher(double), double, [1, 2])
    assert threading.active_count() == before
