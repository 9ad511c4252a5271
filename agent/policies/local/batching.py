"""Calls of several threads made as one: whoever comes first, while a call runs, takes all that wait with it."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

__all__ = ["Batcher"]

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

_SHARE = 0.25  # of the last call's seconds that one waits for others to join, at most
_LOOK = 0.001  # seconds between two looks at who has come


class _Waiting(Generic[Asked, Answer]):
    """One that asks: it is woken when it is answered, or when it is to make the next call for all that wait."""

    def __init__(self, asked: Asked) -> None:
        self.asked, self.answer = asked, Future[Answer]()
        self.woken = threading.Event()


class Batcher(Generic[Asked, Answer]):
    """Gathers what threads ask at the same time; there is no thread of its own, so that nothing is left behind.

    A caller that is alone never waits: for company it waits only as long as fewer have come than were here lately.
    """

    def __init__(self, answer: Callable[[Sequence[Asked]], Sequence[Answer]], *, most: int = 64) -> None:
        """Take what answers several at once, at most ``most`` of them; where it fails, each is asked alone."""
        self._answer, self._most = answer, most
        self._waiting: list[_Waiting[Asked, Answer]] = []
        self._guard, self._busy = threading.Lock(), False
        self._company, self._seconds = 1, 0.0

    def __call__(self, asked: Asked) -> Answer:
        """Answer one, together with all that wait."""
        mine = _Waiting[Asked, Answer](asked)
        with self._guard:
            self._waiting.append(mine)
            leads, self._busy = not self._busy, True
        if not leads:
            mine.woken.wait()
        if not mine.answer.done():
            self._lead()
        return mine.answer.result()

    def _lead(self) -> None:
        """Answer those that wait, oneself among them, and hand on to the first that came meanwhile."""
        until = time.monotonic() + _SHARE * self._seconds
        while len(self._waiting) < self._company and time.monotonic() < until:
            time.sleep(_LOOK)
        with self._guard:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        begun = time.monotonic()
        try:
            self._settle(batch)
        finally:
            self._seconds = time.monotonic() - begun
            with self._guard:
                self._company = min(self._most, len(batch) + len(self._waiting))
                self._busy = bool(self._waiting)
                following = self._waiting[:1]
            for each in (*batch, *following):
                each.woken.set()

    def _settle(self, batch: Sequence[_Waiting[Asked, Answer]]) -> None:
        try:
            answers = list(self._answer([each.asked for each in batch]))
            for each, answer in zip(batch, answers, strict=True):
                each.answer.set_result(answer)
        except BaseException as error:
            if len(batch) == 1 or not isinstance(error, Exception):
                for each in batch:
                    each.answer.set_exception(error)
                return
            for each in batch:
                self._settle([each])
