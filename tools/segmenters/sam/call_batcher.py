"""Calls of several threads gathered into batches, without a thread of its own."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

QueryT = TypeVar("QueryT")
ResultT = TypeVar("ResultT")

__all__ = ["CallBatcher"]


@dataclass(eq=False)
class _Entry(Generic[QueryT, ResultT]):
    query: QueryT
    done: bool = False
    answers: list[ResultT] = field(default_factory=list)  # one, or none after a failure
    error: BaseException | None = None


class CallBatcher(Generic[QueryT, ResultT]):
    """Processes queries in batches of up to ``limit``, one batch at a time.

    A thread that calls while no batch is running processes everything that waits, its own query included; what comes
    meanwhile makes up the next batch. A lone thread does not wait; where others call too, ``wait`` seconds are given
    for more to come. A batch that fails raises the same error in all its threads.
    """

    def __init__(self, answer: Callable[[list[QueryT]], Sequence[ResultT]], limit: int, wait: float = 0.003) -> None:
        """Process batches by a function from queries to as many answers, in order."""
        self._answer, self._limit, self._wait = answer, limit, wait
        self._queue: list[_Entry[QueryT, ResultT]] = []
        self._busy = False
        self._change = threading.Condition()

    def submit(self, query: QueryT) -> ResultT:
        """Return the answer to one query."""
        entry: _Entry[QueryT, ResultT] = _Entry(query)
        with self._change:
            self._queue.append(entry)
        while batch := self._wait_for_batch(entry):
            self._run_batch(batch)
        if entry.error is not None:
            raise entry.error
        return entry.answers[0]

    def _wait_for_batch(self, entry: _Entry[QueryT, ResultT]) -> list[_Entry[QueryT, ResultT]]:
        """Wait until ``entry`` is answered (an empty list) or this thread is to answer a batch."""
        patient = True
        with self._change:
            while not entry.done:
                if self._busy:
                    self._change.wait()
                elif patient and 1 < len(self._queue) < self._limit:
                    patient = False
                    self._change.wait(self._wait)
                else:
                    self._busy = True
                    batch, self._queue = self._queue[: self._limit], self._queue[self._limit :]
                    return batch
        return []

    def _run_batch(self, batch: list[_Entry[QueryT, ResultT]]) -> None:
        try:
            for entry, answer in zip(batch, self._answer([entry.query for entry in batch]), strict=True):
                entry.answers.append(answer)
        except BaseException as error:
            for entry in batch:
                entry.error = error
        with self._change:
            self._busy = False
            for entry in batch:
                entry.done = True
            self._change.notify_all()
