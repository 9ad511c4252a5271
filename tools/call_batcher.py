"""Concurrent calls gathered into batches: those that arrive while one runs are answered together by one of them."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

__all__ = ["CallBatcher"]

QueryT = TypeVar("QueryT")
AnswerT = TypeVar("AnswerT")

_SHARE = 0.25  # of the last batch's seconds that a thread waits for others to join, at most


class _PendingCall(Generic[QueryT, AnswerT]):
    def __init__(self, query: QueryT) -> None:
        self.query, self.answer = query, Future[AnswerT]()


class CallBatcher(Generic[QueryT, AnswerT]):
    """Answers the queries of several threads in batches of up to ``limit``, oldest first, one batch at a time.

    It has no thread of its own, so nothing is left running: of the threads that wait, one answers the next batch. A
    lone thread never waits: it waits for others only while fewer queries are pending than at the end of the last batch.
    A batch that fails is answered query by query, so that an error reaches those alone whose query causes it. A thread
    that is interrupted leaves the queries of the others to them.
    """

    def __init__(self, answer: Callable[[Sequence[QueryT]], Sequence[AnswerT]], *, limit: int = 64) -> None:
        """Take the function from queries to as many answers, in order; it decides which of them go together."""
        self._answer, self._limit = answer, limit
        self._queue: list[_PendingCall[QueryT, AnswerT]] = []
        self._change, self._busy = threading.Condition(), False
        self._expected, self._seconds = 1, 0.0

    def __call__(self, query: QueryT) -> AnswerT:
        """Answer one query, in a batch with those that are pending."""
        mine = _PendingCall[QueryT, AnswerT](query)
        with self._change:
            self._queue.append(mine)
            self._change.notify_all()
        try:
            while batch := self._wait_for_batch(mine):
                self._run_batch(batch)
        finally:
            with self._change:
                if mine in self._queue:  # interrupted
                    self._queue.remove(mine)
        return mine.answer.result()

    def _wait_for_batch(self, mine: _PendingCall[QueryT, AnswerT]) -> list[_PendingCall[QueryT, AnswerT]]:
        """Wait until ``mine`` is answered (an empty list) or this thread is to answer a batch."""
        with self._change:
            self._change.wait_for(lambda: mine.answer.done() or not self._busy)
            if mine.answer.done():
                return []
            self._busy = True
            try:
                self._change.wait_for(lambda: len(self._queue) >= self._expected, _SHARE * self._seconds)
            except BaseException:
                self._busy = False
                self._change.notify_all()
                raise
            batch, self._queue = self._queue[: self._limit], self._queue[self._limit :]
            return batch

    def _run_batch(self, batch: list[_PendingCall[QueryT, AnswerT]]) -> None:
        begun = time.monotonic()
        try:
            self._resolve(batch)
        finally:
            with self._change:
                self._queue = [each for each in batch if not each.answer.done()] + self._queue
                self._seconds = time.monotonic() - begun
                self._expected = min(self._limit, len(batch) + len(self._queue))
                self._busy = False
                self._change.notify_all()

    def _resolve(self, batch: Sequence[_PendingCall[QueryT, AnswerT]]) -> None:
        try:
            answers = list(self._answer([each.query for each in batch]))
            if len(answers) != len(batch):
                raise ValueError(f"got {len(answers)} answers to {len(batch)} queries, expected as many")
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for each in batch:
                self._resolve([each])
        else:
            for each, answer in zip(batch, answers, strict=True):
                each.answer.set_result(answer)
