"""Work mapped over processes: a job that kills its process costs its own row alone, and no process outlives this one.

Processes are spawned, not forked, as threads and native libraries demand, and each computes on one thread.
"""

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from ibisagent.tools.errors import InputError

__all__ = ["ONE_THREAD", "map_unordered"]

Job = TypeVar("Job")
Row = TypeVar("Row")
Unit = Sequence[Job]
Work = Callable[[Unit[Job]], list[Row]]

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_CRASHED = "its process died (out of memory, or a crash in native code)"
_CRASH_AT_START = (
    "got processes that end as they start, expected them to run; put your script's own code under "
    '`if __name__ == "__main__":`, or free memory'
)

_work: Callable[[Any], list[Any]]


def map_unordered(
    work: Work[Job, Row], units: Iterable[Unit[Job]], workers: int | None, on_crash: Callable[[Job, str], Row]
) -> Generator[list[Row], None, None]:
    """Yield each unit's rows as they come, in any order; closing the generator ends the processes at once.

    Each of the ``workers``, by default one per core, gets its own copy of ``work`` once and keeps it. Of the units that
    were running when a process died, each job is tried again alone; for one that kills its process again ``on_crash``
    makes the row, given the reason. What ``work`` raises, this raises. With ``workers`` 0 all of it runs in this
    process, which saves their start, and which a crash ends.
    """
    if workers == 0:
        yield from map(work, units)
        return
    queue, workers = iter(units), workers or _count_cores()
    while lost := (yield from _run_until_crash(work, queue, workers, ahead=2 * workers)):
        alone = ((job,) for unit in lost for job in unit)
        while fatal := (yield from _run_until_crash(work, alone, workers=1, ahead=1)):
            yield [on_crash(job, _CRASHED) for unit in fatal for job in unit]


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run_until_crash(
    work: Work[Job, Row], units: Iterator[Unit[Job]], workers: int, ahead: int
) -> Generator[list[Row], None, list[Unit[Job]]]:
    """Process ``units``, up to ``ahead`` of them at a time; returns those that were running when a process died."""
    next_ones, lost = list(islice(units, ahead)), list[Unit[Job]]()
    if not next_ones:
        return lost
    under_way: dict[Future[list[Row]], Unit[Job]] = {}
    with _open_pool(work, workers) as pool:
        begun = pool.submit(str)
        while next_ones or under_way:
            under_way |= {_submit(pool, unit): unit for unit in next_ones}
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                unit = under_way.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    lost.append(unit)
                else:
                    yield future.result()
            next_ones = list(islice(units, ahead - len(under_way))) if not lost else []
    if lost and workers == 1 and isinstance(begun.exception(), BrokenProcessPool):
        raise InputError(_CRASH_AT_START)
    return lost


@contextmanager
def _open_pool(work: Work[Job, Row], workers: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool whose processes end when the context is left, whatever they do, and when this process is killed."""
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    pool = ProcessPoolExecutor(workers, context, _init_worker, (work, theirs))
    try:
        yield pool
        pool.shutdown()
    finally:
        ours.close()
        pool.shutdown(cancel_futures=True)
        theirs.close()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _submit(pool: ProcessPoolExecutor, unit: Unit[Job]) -> Future[list[Any]]:
    """Submit a unit; a pool that is broken already breaks this one as well."""
    try:
        return pool.submit(_run_unit, unit)
    except BrokenProcessPool as error:
        failed: Future[list[Any]] = Future()
        failed.set_exception(error)
        return failed


def _init_worker(work: Work[Any, Any], lifeline: Connection) -> None:
    """Initialize this process; it ends when the other end of ``lifeline`` is closed, also when its parent is killed."""
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    threading.Thread(target=_exit_with, args=(lifeline,), name="ibisagent lifeline", daemon=True).start()
    _work = work


def _exit_with(lifeline: Connection) -> None:
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)


def _run_unit(unit: Unit[Any]) -> list[Any]:
    return _work(unit)
