"""What an engine of the runner costs: processes of this machine beside Ray, on empty work and on a data set's clicks.

`python -m ibisagent.evals.benchmarks.engine_cost DATASET [WORKERS [ADDRESS]]` prints, for each engine, the seconds
until the first of 1,000 empty units and the milliseconds of each further one, then the seconds of geocut's first five
clicks on every present target, and whether the rows of both are equal but for their seconds.
"""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ibisagent.evals.clicks.bench import ClickJob, list_jobs, run_click_jobs, simulate_jobs
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.jobs.engines import ENGINES, get_engine
from ibisagent.tools.jobs.job_runner import Engine

__all__ = ["time_clicks", "time_empty_units"]

_UNITS = 1000


def time_empty_units(engine: Engine, workers: int) -> tuple[float, float]:
    """Return the seconds until the first unit of empty work, and those of each further one."""
    begun, first = time.perf_counter(), 0.0
    for _ in engine(_do_nothing, ([number] for number in range(_UNITS)), workers, _never):
        first = first or time.perf_counter() - begun
    return first, (time.perf_counter() - begun - first) / (_UNITS - 1)


def time_clicks(dataset: Path, engine: Engine, workers: int) -> tuple[int, float, list[str]]:
    """Return the number of targets, the seconds from the first row to the last, and the rows without their seconds."""
    jobs: Sequence[ClickJob] = list_jobs(read_dataset(dataset), dataset, ["geocut"], ["centre"])
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clicks.jsonl"
        simulate = partial(simulate_jobs, clicks=5, seed=0)
        run_click_jobs(
            jobs,
            path,
            simulate,
            {},
            workers=workers,
            on_row=lambda *_: times.append(time.perf_counter()),
            engine=engine,
        )
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    timeless = [{name: value for name, value in row.items() if "seconds" not in name} for row in rows]
    return len(jobs), times[-1] - times[0], sorted(json.dumps(row) for row in timeless)


def _do_nothing(unit: Sequence[int]) -> list[dict[str, Any]]:
    return [{"number": number} for number in unit]


def _never(number: int, reason: str) -> dict[str, Any]:
    raise RuntimeError(f"unit {number}: {reason}")


def main(dataset: str, workers: str = "2", address: str | None = None) -> None:
    """Print the costs."""
    found = []
    for name in ENGINES:
        given = address if name == "ray" else None
        first, each = time_empty_units(get_engine(name, given), int(workers))
        sys.stdout.write(f"{name}: first unit after {first:.1f} s, each further one {1000 * each:.2f} ms\n")
        targets, seconds, rows = time_clicks(Path(dataset), get_engine(name, given), int(workers))
        sys.stdout.write(f"{name}: {targets} targets in {seconds:.1f} s, {1000 * seconds / targets:.1f} ms each\n")
        found.append(rows)
    sys.stdout.write(f"rows equal but for seconds: {found[0] == found[1]}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
