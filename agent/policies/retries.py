"""Asking a server again: which failures pass, and how long to wait before the next try."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from ibisagent.tools.errors import IbisError

__all__ = ["Retries", "passes"]

Answer = TypeVar("Answer")

_BUSY = frozenset({408, 409, 425, 429})  # HTTP; and all from 500 up
_UNREACHED = frozenset(
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
_RUBBISH = (LookupError, TypeError, ValueError)  # what clients make of a reply that is none; a sound one may follow


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, and for how long, a failed call is made again.

    ``most``: tries after the first. ``first``, ``longest``: seconds to wait before the second try, doubled from then
    on, and at most; a server's Retry-After goes before them. ``seconds``: no try begins later than so after the first.
    """

    most: int = 3
    first: float = 0.5
    longest: float = 30.0
    seconds: float = 300.0

    def call(self, function: Callable[[], Answer]) -> Answer:
        """Give what the function returns; the last failure is raised."""
        waits = self._waits(time.monotonic())
        while True:
            try:
                return function()
            except Exception as error:
                time.sleep(self._next(waits, error))

    async def await_call(self, function: Callable[[], Awaitable[Answer]]) -> Answer:
        """Do what `call` does for an async function."""
        waits = self._waits(time.monotonic())
        while True:
            try:
                return await function()
            except Exception as error:
                await asyncio.sleep(self._next(waits, error))

    def _next(self, waits: Iterator[tuple[float, float]], error: Exception) -> float:
        """Give how long to wait, or raise ``error`` again: it will not pass, or its time or its tries are over."""
        step = next(waits, None) if passes(error) else None
        if step is None:
            raise error
        wait, left = step
        asked = _asked(error)
        wait = wait if asked is None else asked
        if wait > left:
            raise error
        return wait

    def _waits(self, begun: float) -> Iterator[tuple[float, float]]:
        """Give the seconds to wait before each further try, spread by a quarter, and those that are left."""
        for number in range(self.most):
            wait = min(self.first * 2**number, self.longest) * random.uniform(0.75, 1.25)
            yield wait, self.seconds - (time.monotonic() - begun)


def passes(error: Exception) -> bool:
    """Tell whether the same call may succeed later: the server is busy, broken, out of reach, or talks rubbish."""
    status = _status(error)
    if status is not None:
        return status in _BUSY or status >= 500
    if isinstance(error, IbisError):
        return False
    return isinstance(error, _RUBBISH) or bool(_UNREACHED & {kind.__name__ for kind in type(error).__mro__})


def _status(error: Exception) -> int | None:
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "code"):
            status: Any = getattr(holder, name, None)
            if isinstance(status, int) and 400 <= status < 600:
                return status
    return None


def _asked(error: Exception) -> float | None:
    """Read Retry-After, in seconds or as a date."""
    headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
    said = headers.get("retry-after")
    try:
        return None if said is None else max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
