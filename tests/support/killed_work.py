"""Work that kills its own process, in a module that is quick to import."""

import os
import signal
from collections.abc import Sequence

from ibisagent.evals.clicks.bench import ClickJob, simulate_jobs
from ibisagent.evals.clicks.rows import ClickRow


def tenfold(numbers: Sequence[int]) -> list[int]:
    """Return ten times each number; kill the process at 3 and 5."""
    if {3, 5} & set(numbers):
        os.kill(os.getpid(), signal.SIGKILL)
    return [number * 10 for number in numbers]


def two_clicks(jobs: Sequence[ClickJob]) -> list[ClickRow]:
    """Run jobs with two clicks; kill the process at the case ``a 2``."""
    if any(job.case.id == "a 2" for job in jobs):
        os.kill(os.getpid(), signal.SIGKILL)
    return simulate_jobs(jobs, 2, 0)
