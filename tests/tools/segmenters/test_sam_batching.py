"""Concurrent calls gathered into batches: nobody waits alone, nobody is forgotten, an error reaches its batch."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support import tiny_sam

from ibisagent.tools.clicks import Click
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.tools.segmenters.sam.call_batcher import CallBatcher


class Doubler:
    """Doubles numbers and keeps the batches; its first batch lasts until ``go`` is set."""

    def __init__(self):
        self.batches, self.begun, self.go = [], threading.Event(), threading.Event()

    def __call__(self, questions):
        self.batches.append(list(questions))
        self.begun.set()
        assert self.go.wait(10)
        if "wrong" in questions:
            raise ValueError("wrong")
        return [2 * question for question in questions]


def test_a_lone_thread_is_answered_without_waiting_for_others():
    double = Doubler()
    double.go.set()
    batcher = CallBatcher(double, limit=4, wait=60)
    assert [batcher.submit(number) for number in (1, 2)] == [2, 4]
    assert double.batches == [[1], [2]]


def crowd(batcher, double, questions):
    """Let one thread begin alone and the others gather behind it."""
    with ThreadPoolExecutor(len(questions) + 1) as pool:
        first = pool.submit(batcher.submit, 0)
        assert double.begun.wait(10)
        others = [pool.submit(batcher.submit, question) for question in questions]
        while len(batcher._queue) < len(questions):
            time.sleep(0.001)
        double.go.set()
        assert first.result(10) == 0
        return others


def test_what_is_asked_meanwhile_makes_up_the_next_batch():
    double = Doubler()
    others = crowd(CallBatcher(double, limit=8), double, [1, 2, 3, 4, 5])
    assert [other.result(10) for other in others] == [2, 4, 6, 8, 10]
    assert [sorted(batch) for batch in double.batches] == [[0], [1, 2, 3, 4, 5]]


def test_a_batch_is_never_larger_than_the_limit():
    double = Doubler()
    others = crowd(CallBatcher(double, limit=2), double, [1, 2, 3, 4, 5])
    assert sorted(other.result(10) for other in others) == [2, 4, 6, 8, 10]
    assert [len(batch) for batch in double.batches] == [1, 2, 2, 1]


def test_an_error_reaches_every_thread_of_its_batch_and_the_next_one_works():
    double = Doubler()
    batcher = CallBatcher(double, limit=8)
    others = crowd(batcher, double, [1, "wrong"])
    for other in others:
        with pytest.raises(ValueError, match="wrong"):
            other.result(10)
    assert batcher.submit(3) == 6


def test_no_thread_stays_behind():
    before = threading.active_count()
    double = Doubler()
    crowd(CallBatcher(double, limit=8), double, [1, 2])
    assert threading.active_count() == before


def test_a_segmenter_gathers_the_calls_of_its_threads_within_the_tolerance():
    segmenter = get_segmenter(f"{tiny_sam.get_tiny_name('sam')}?batch=1")
    alone = tiny_sam.open_tiny("sam")
    pictures = [np.random.default_rng(seed).integers(0, 256, (90, 120), dtype=np.uint8) for seed in (0, 1)]
    jobs = [(segmenter.embed(picture), (Click(x, 0.5),)) for picture in pictures for x in (0.1, 0.3, 0.5, 0.7, 0.9)]
    with ThreadPoolExecutor(len(jobs)) as pool:
        answers = list(pool.map(lambda job: segmenter.predict(*job, None), jobs))
    for answer, job in zip(answers, jobs, strict=True):
        expected = alone.predict(*job, None)
        assert (answer.mask != expected.mask).mean() < 1e-4
        assert np.abs(answer.prior.logits - expected.prior.logits).max() < 1e-4
