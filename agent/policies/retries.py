"""Retries of calls to a server: which errors are transient, and how long to wait before the next attempt."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from ibisagent.tools.errors import IbisError

__all__ = ["Retries", "is_transient"]

Answer = TypeVar("Answer")

_TRANSIENT_STATUS = frozenset({408, 409, 425, 429})  # HTTP; and all from 500 up
_CONNECTION_ERRORS = frozenset(
    {
        "APIConnectionError",
        "APIResponseValidationError",
        "APITimeoutError",
        "ConnectionError",
        "ServiceUnavailable",
        "TimeoutError",
        "TransportError",
    }
)
_MALFORMED_REPLY = (
    LookupError,
    TypeError,
    ValueError,
)  # what clients raise for a malformed reply; a valid one may follow


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, and for how long, a failed call is retried.

    ``max_retries``: attempts after the first. ``initial_interval``, ``max_interval``: seconds to wait before the second
    attempt, doubled from then on, and at most; a server's Retry-After takes precedence. ``max_seconds``: no attempt
    begins later than this after the first.
    """

    max_retries: int = 3
    initial_interval: float = 0.5
    max_interval: float = 30.0
    max_seconds: float = 300.0

    def call(self, function: Callable[[], Answer]) -> Answer:
        """Return what the function returns; the last error is raised."""
        waits = self._waits(time.monotonic())
        while True:
            try:
                return function()
            except Exception as error:
                time.sleep(self._wait_or_raise(waits, error))

    async def acall(self, function: Callable[[], Awaitable[Answer]]) -> Answer:
        """Do what `call` does for an async function."""
        waits = self._waits(time.monotonic())
        while True:
            try:
                return await function()
            except Exception as error:
                await asyncio.sleep(self._wait_or_raise(waits, error))

    def _wait_or_raise(self, waits: Iterator[tuple[float, float]], error: Exception) -> float:
        """Return the seconds to wait; raise ``error`` if it is not transient, or no time or attempt is left."""
        step = next(waits, None) if is_transient(error) else None
        if step is None:
            raise error
        wait, left = step
        asked = _retry_after(error)
        wait = wait if asked is None else asked
        if wait > left:
            raise error
        return wait

    def _waits(self, begun: float) -> Iterator[tuple[float, float]]:
        """Yield the seconds to wait before each further attempt, with a jitter of a quarter, and the seconds left."""
        for number in range(self.max_retries):
            wait = min(self.initial_interval * 2**number, self.max_interval) * random.uniform(0.75, 1.25)
            yield wait, self.max_seconds - (time.monotonic() - begun)


def is_transient(error: Exception) -> bool:
    """Whether the same call may succeed later: the server is busy, broken, unreachable, or sent a malformed reply."""
    status = _status(error)
    if status is not None:
        return status in _TRANSIENT_STATUS or status >= 500
    if isinstance(error, IbisError):
        return False
    return isinstance(error, _MALFORMED_REPLY) or bool(
        _CONNECTION_ERRORS & {kind.__name__ for kind in type(error).__mro__}
    )


def _status(error: Exception) -> int | None:
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "code"):
            status: Any = getattr(holder, name, None)
            if isinstance(status, int) and 400 <= status < 600:
                return status
    return None


def _retry_after(error: Exception) -> float | None:
    """Read Retry-After, in seconds or as a date."""
    headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
    value = headers.get("retry-after")
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
