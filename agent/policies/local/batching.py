"""Batching of concurrent calls: calls that arrive while one runs are made together by the first of them."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

__all__ = ["Batcher"]

Request = TypeVar("Request")
Answer = TypeVar("Answer")

_SHARE = 0.25  # of the last call's seconds that one waits for others to join, at most
_POLL_INTERVAL = 0.001  # seconds between two looks at the pending requests


class _PendingCall(Generic[Request, Answer]):
    """A caller's request; ``event``: set when it is answered, or when its caller is to run the next batch."""

    def __init__(self, request: Request) -> None:
        self.request, self.answer = request, Future[Answer]()
        self.event = threading.Event()


class Batcher(Generic[Request, Answer]):
    """Batches the requests of several threads; it has no thread of its own, so nothing is left running.

    A single caller never waits: it waits for others only while fewer requests are pending than the last batch had.
    """

    def __init__(self, answer: Callable[[Sequence[Request]], Sequence[Answer]], *, max_batch_size: int = 64) -> None:
        """Take the function that answers several requests at once; if it fails, each is answered alone."""
        self._answer, self._max_batch_size = answer, max_batch_size
        self._pending: list[_PendingCall[Request, Answer]] = []
        self._lock, self._busy = threading.Lock(), False
        self._expected, self._seconds = 1, 0.0

    def __call__(self, request: Request) -> Answer:
        """Answer one request, in a batch with all that are pending."""
        mine = _PendingCall[Request, Answer](request)
        with self._lock:
            self._pending.append(mine)
            leads, self._busy = not self._busy, True
        if not leads:
            mine.event.wait()
        if not mine.answer.done():
            self._run_batch()
        return mine.answer.result()

    def _run_batch(self) -> None:
        """Answer the pending requests, this caller's among them, then wake the first caller that came meanwhile."""
        until = time.monotonic() + _SHARE * self._seconds
        while len(self._pending) < self._expected and time.monotonic() < until:
            time.sleep(_POLL_INTERVAL)
        with self._lock:
            batch, self._pending = self._pending[: self._max_batch_size], self._pending[self._max_batch_size :]
        begun = time.monotonic()
        try:
            self._resolve(batch)
        finally:
            self._seconds = time.monotonic() - begun
            with self._lock:
                self._expected = min(self._max_batch_size, len(batch) + len(self._pending))
                self._busy = bool(self._pending)
                following = self._pending[:1]
            for each in (*batch, *following):
                each.event.set()

    def _resolve(self, batch: Sequence[_PendingCall[Request, Answer]]) -> None:
        try:
            answers = list(self._answer([each.request for each in batch]))
            for each, answer in zip(batch, answers, strict=True):
                each.answer.set_result(answer)
        except BaseException as error:
            if len(batch) == 1 or not isinstance(error, Exception):
                for each in batch:
                    each.answer.set_exception(error)
                return
            for each in batch:
                self._resolve([each])
