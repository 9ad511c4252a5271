"""Work spread over processes. They end with their parent, however that ends, and the death of one costs its work alone.

Each process computes on one thread, so that as many of them as there are cores do not get in each other's way.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TypeVar

from ibisagent.tools.errors import InputError

__all__ = ["spread"]

Unit = TypeVar("Unit")
Result = TypeVar("Result")

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def spread(
    work: Callable[[Unit], Result], units: Iterable[Unit], workers: int, *, ahead: int | None = None
) -> Iterator[tuple[Unit, Result | None]]:
    """Give each unit with what ``work`` makes of it, as it is done; both cross to the processes by pickle.

    At most ``ahead`` units, by default twice the ``workers``, are out at a time. When a process dies, all units that
    were out come back with None, and the others go on. What ``work`` raises, this raises.
    """
    queue = iter(units)
    lost: list[Unit] = []
    while True:
        with _pool(workers) as pool:
            yield from _results(pool, work, queue, ahead or 2 * workers, lost)
        if not lost:
            return
        _require_start()
        yield from ((unit, None) for unit in lost)
        lost.clear()


def _results(
    pool: ProcessPoolExecutor, work: Callable[[Unit], Result], queue: Iterator[Unit], ahead: int, lost: list[Unit]
) -> Iterator[tuple[Unit, Result]]:
    """Go on until the queue is empty, or a death fills ``lost``."""
    out: dict[Future[Result], Unit] = {}
    while not lost:
        for unit in islice(queue, ahead - len(out)):
            try:
                out[pool.submit(work, unit)] = unit
            except BrokenProcessPool:
                lost.append(unit)
        if not out:
            return
        for future in wait(out, return_when=FIRST_COMPLETED).done:
            unit = out.pop(future)
            try:
                result = future.result()
            except BrokenProcessPool:
                lost.append(unit)
                continue
            yield unit, result
    lost.extend(out.values())


def _require_start() -> None:
    with _pool(1) as pool:
        if isinstance(pool.submit(str).exception(), BrokenProcessPool):
            remedy = 'put the script\'s own code under `if __name__ == "__main__":`, or free memory'
            raise InputError(f"got processes that die as they begin, expected them to run; {remedy}")


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Give a pool whose processes end at once when this process does, or when the body raises."""
    context = get_context("spawn")
    watched, alive = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, _begin, (watched,))
    with _environment(_ONE_THREAD), watched, alive:
        try:
            yield pool
        except BaseException:
            alive.close()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(watched: Connection) -> None:
    """Leave Ctrl-C to the parent, and watch for the end of the pipe that only the parent holds open."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()


def _end_with(watched: Connection) -> None:
    with suppress(EOFError, OSError):
        watched.recv_bytes()
    os._exit(1)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
