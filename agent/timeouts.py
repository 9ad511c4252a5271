"""Call a policy with a time limit: after that, or when cancelled, the call is abandoned and the run continues.

An abandoned call ends on a daemon thread, which does not block the exit of the process; an abandoned coroutine is
cancelled, so that its client closes its sockets.
"""

import asyncio
import contextvars
import math
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, wait
from typing import Any, TypeVar

__all__ = ["Cancelled", "await_with_timeout", "call_with_timeout", "run_in_daemon_thread"]

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")
_POLL = 0.05  # seconds between two checks of the event that cancels
_CLOSE_SECONDS = 0.3  # seconds that a cancelled coroutine has to close what it opened


class Cancelled(Exception):
    """The caller cancelled during the call."""


def call_with_timeout(
    function: Callable[[Argument], Answer], argument: Argument, seconds: float | None, cancel: Any = None
) -> Answer:
    """Return ``function(argument)``; `TimeoutError` after ``seconds``, `Cancelled` when the event ``cancel`` is set."""
    if seconds is None and cancel is None:
        return function(argument)
    future = _start_thread(function, argument)
    for pause in _poll_intervals(seconds, cancel):
        if wait([future], pause).done:
            break
    return future.result()


async def await_with_timeout(
    function: Callable[[Argument], Coroutine[Any, Any, Answer]],
    argument: Argument,
    seconds: float | None,
    cancel: Any = None,
) -> Answer:
    """Do what `call_with_timeout` does, for an async function."""
    task = asyncio.ensure_future(function(argument))
    try:
        for pause in _poll_intervals(seconds, cancel):
            if (await asyncio.wait([task], timeout=pause if pause < math.inf else None))[0]:
                break
        return await task
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_CLOSE_SECONDS)


async def run_in_daemon_thread(function: Callable[[Argument], Answer], argument: Argument) -> Answer:
    """Run a function on a daemon thread of its own, with the caller's context variables."""
    return await asyncio.wrap_future(_start_thread(function, argument))


def _start_thread(function: Callable[[Argument], Answer], argument: Argument) -> "Future[Answer]":
    future: Future[Answer] = Future()
    context = contextvars.copy_context()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(context.run(function, argument))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="ibisagent policy", daemon=True).start()
    return future


def _poll_intervals(seconds: float | None, cancel: Any) -> Iterator[float]:
    """Yield the seconds to wait next, until the time is over or the event is set."""
    begun = time.monotonic()
    left = math.inf if seconds is None else seconds
    while left > 0:
        yield min(left, _POLL) if cancel is not None else left
        if cancel is not None and cancel.is_set():
            raise Cancelled
        left = math.inf if seconds is None else seconds - (time.monotonic() - begun)
    raise TimeoutError(f"no reply within {seconds:g} s")
