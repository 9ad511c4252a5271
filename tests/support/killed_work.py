"""Work on numbers, and work that kills its own process, in a module that is quick to import."""

import os
import signal
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ibisagent.evals.clicks.bench import ClickJob, simulate_jobs
from ibisagent.evals.clicks.rows import ClickRow

Job = TypeVar("Job")


def number_rows(numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Return a row for each number: ten times it; raise at 13, kill the process at 17 and 19."""
    if 13 in numbers:
        raise ValueError("an unlucky number")
    if {17, 19} & set(numbers):
        os.kill(os.getpid(), signal.SIGKILL)
    return [{"number": number, "value": number * 10, "reason": None} for number in numbers]


def slow_rows(numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Return a row for each number after a tenth of a second: the process that made it."""
    time.sleep(0.1)
    return [{"number": number, "value": os.getpid(), "reason": None} for number in numbers]


def map_in_threads(
    work: Callable[[Sequence[Job]], list[dict[str, Any]]],
    units: Iterable[Sequence[Job]],
    workers: int | None,
    on_crash: Callable[[Job, str], dict[str, Any]],
) -> Generator[list[dict[str, Any]], None, None]:
    """Run work in threads of this process: an engine beside `map_unordered`."""
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(work, units)


def two_clicks(jobs: Sequence[ClickJob]) -> list[ClickRow]:
    """Run jobs with two clicks; kill the process at the case ``a 2``."""
    if any(job.case.id == "a 2" for job in jobs):
        os.kill(os.getpid(), signal.SIGKILL)
    return simulate_jobs(jobs, 2, 0)
