"""A bounded cache that computes every value once, also when several threads request it at the same time."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Value = TypeVar("Value")

__all__ = ["OnceCache"]


class OnceCache(Generic[Value]):
    """Least recently used values under ``limit`` (in whatever ``weigh`` counts: entries, or bytes).

    A value whose computation fails is not kept; every thread that waited for it gets the same exception.
    """

    def __init__(self, limit: float, weigh: Callable[[Value], int] = lambda _value: 1) -> None:
        """Keep values while their weights sum to at most ``limit``; the newest is always kept."""
        self._limit, self._weigh, self._weight = limit, weigh, 0
        self._entries: OrderedDict[Hashable, Future[Value]] = OrderedDict()
        self._weights: dict[Hashable, int] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value under ``key``; the first caller makes it, the others wait for it."""
        with self._lock:
            entry = self._entries.get(key)
            mine = entry is None
            if entry is None:
                entry = self._entries[key] = Future()
            self._entries.move_to_end(key)
        if mine:
            self._fill(key, entry, make)
        return entry.result()

    def _fill(self, key: Hashable, entry: "Future[Value]", make: Callable[[], Value]) -> None:
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                self._entries.pop(key, None)
            entry.set_exception(error)
            return
        with self._lock:
            self._weights[key] = self._weigh(value)
            self._weight += self._weights[key]
            self._shrink()
        entry.set_result(value)

    def _shrink(self) -> None:
        if self._weight <= self._limit:
            return
        for key in [key for key in self._entries if key in self._weights][:-1]:
            del self._entries[key]
            self._weight -= self._weights.pop(key)
            if self._weight <= self._limit:
                return

    def peek(self, key: Hashable) -> Value | None:
        """Return the value under ``key`` if it is there and finished, without making it."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
        return entry.result() if entry is not None and entry.done() else None

    def __len__(self) -> int:
        """Count the finished values."""
        with self._lock:
            return len(self._weights)
