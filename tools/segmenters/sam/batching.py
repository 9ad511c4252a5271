"""Calls of several threads gathered into batches, without a thread of its own."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")

__all__ = ["CallBatcher"]


@dataclass(eq=False)
class _Entry(Generic[Question, Answer]):
    question: Question
    done: bool = False
    answers: list[Answer] = field(default_factory=list)  # one, or none after a failure
    error: BaseException | None = None


class CallBatcher(Generic[Question, Answer]):
    """Answers questions in batches of up to ``limit``, one batch at a time.

    A thread that asks while no batch is under way answers everything that waits, its own question included; what is
    asked meanwhile makes up the next batch. A lone thread waits for nothing; where others ask too, ``wait`` seconds
    are given for more to come. A batch that fails raises the same error in all its threads.
    """

    def __init__(self, answer: Callable[[list[Question]], Sequence[Answer]], limit: int, wait: float = 0.003) -> None:
        """Answer with a function from questions to as many answers, in order."""
        self._answer, self._limit, self._wait = answer, limit, wait
        self._queue: list[_Entry[Question, Answer]] = []
        self._busy = False
        self._change = threading.Condition()

    def ask(self, question: Question) -> Answer:
        """Return the answer to one question."""
        entry: _Entry[Question, Answer] = _Entry(question)
        with self._change:
            self._queue.append(entry)
        while batch := self._next(entry):
            self._settle(batch)
        if entry.error is not None:
            raise entry.error
        return entry.answers[0]

    def _next(self, entry: _Entry[Question, Answer]) -> list[_Entry[Question, Answer]]:
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

    def _settle(self, batch: list[_Entry[Question, Answer]]) -> None:
        try:
            for entry, answer in zip(batch, self._answer([entry.question for entry in batch]), strict=True):
                entry.answers.append(answer)
        except BaseException as error:
            for entry in batch:
                entry.error = error
        with self._change:
            self._busy = False
            for entry in batch:
                entry.done = True
            self._change.notify_all()
