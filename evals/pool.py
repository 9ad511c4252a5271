"""Processes that work off cases: few wait, one that dies costs no case but its own, and none outlives us.

Processes are spawned, not forked, as threads and native libraries demand, and each computes on one thread.
"""

import os
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

from ibisagent.evals.desk import Plan
from ibisagent.evals.rows import Row, broken
from ibisagent.evals.worker import Task, begin, runs_of, work
from ibisagent.tools.errors import InputError

__all__ = ["worked_off"]

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_DIED = "its process died (out of memory, or a crash in native code)"
_STILLBORN = (
    "got processes that die as they begin, expected them to run; put your script's own code under "
    '`if __name__ == "__main__":`, or free memory'
)


def worked_off(plan: Plan, tasks: Iterator[Task], workers: int) -> Generator[list[Row], None, None]:
    """Give each task's rows as they come, in any order; closing the generator ends the processes at once.

    Of the tasks that were under way when a process died, each policy and segmenter gets another try alone, and the one
    that kills again a broken row.
    """
    while lost := (yield from _until_a_death(plan, tasks, workers, ahead=2 * workers)):
        alone = ((case, (pair,)) for case, pairs in lost for pair in pairs)
        while fatal := (yield from _until_a_death(plan, alone, workers=1, ahead=1)):
            yield [broken(run, _DIED) for task in fatal for run in runs_of(plan, task)]


def _until_a_death(
    plan: Plan, tasks: Iterator[Task], workers: int, ahead: int
) -> Generator[list[Row], None, list[Task]]:
    """Work off ``tasks``, up to ``ahead`` of them under way; returns those that a process took with it when it died."""
    next_ones, lost = list(islice(tasks, ahead)), list[Task]()
    if not next_ones:
        return lost
    under_way: dict[Future[list[Row]], Task] = {}
    with _pool(plan, workers) as pool:
        begun = _submitted(pool, str, "")
        while next_ones or under_way:
            under_way |= {_submitted(pool, work, task): task for task in next_ones}
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                task = under_way.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    lost.append(task)
                else:
                    yield future.result()
            next_ones = list(islice(tasks, ahead - len(under_way))) if not lost else []
    if lost and workers == 1 and isinstance(begun.exception(), BrokenProcessPool):
        raise InputError(_STILLBORN)
    return lost


@contextmanager
def _pool(plan: Plan, workers: int) -> Iterator[ProcessPoolExecutor]:
    """Give a pool whose processes end when we leave, whatever they do, and when this process dies."""
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    pool = ProcessPoolExecutor(workers, context, begin, (plan, theirs))
    try:
        yield pool
        pool.shutdown()
    finally:
        ours.close()
        pool.shutdown(cancel_futures=True)
        theirs.close()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _submitted(
    pool: ProcessPoolExecutor, function: Callable[[Argument], Answer], argument: Argument
) -> "Future[Answer]":
    """Submit a call; a pool that is broken already breaks this one as well."""
    try:
        return pool.submit(function, argument)
    except BrokenProcessPool as error:
        failed: Future[Answer] = Future()
        failed.set_exception(error)
        return failed
