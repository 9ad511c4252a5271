"""The resumable runner: jobs over processes or another engine, their rows kept as they come.

A run that was killed at any moment is resumed by the same call; what its rows depend on is kept beside them.
"""

from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ibisagent.tools.errors import InputError
from ibisagent.tools.jobs import jsonl
from ibisagent.tools.jobs.job_output import JobOutput, write_files
from ibisagent.tools.jobs.process_pool import map_unordered
from ibisagent.tools.jobs.run_settings import record_settings

__all__ = ["Engine", "OnRow", "Row", "RowFile", "run_jobs"]

Job = TypeVar("Job")
Key = TypeVar("Key", bound=Hashable)

Row = dict[str, Any]
"""Plain JSON."""

Result = TypeVar("Result", bound=Row | JobOutput)

OnRow = Callable[[Row, int, int], None]
"""Called with a new row, the number of finished rows, and the total."""


class Engine(Protocol):
    """Runs work on units of jobs, in any order and anywhere: `map_unordered` over processes, or another.

    Yields each unit's results as they come; closing the generator ends the work. ``work`` is picklable, and keeps what
    it loaded from call to call. ``workers``: how many at a time, None: as the engine sees fit. ``on_crash`` makes the
    result of a job that killed its process, given the reason.
    """

    def __call__(
        self,
        work: Callable[[Sequence[Job]], list[Result]],
        units: Iterable[Sequence[Job]],
        workers: int | None,
        on_crash: Callable[[Job, str], Result],
    ) -> Generator[list[Result], None, None]:
        """Yield the results of each unit."""
        ...


def _never(_row: Row) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class RowFile:
    """The JSON-lines file of a run's rows, one for each job, of these ``columns``.

    ``key``: of a row, equal to its job's; of rows with equal keys the last one counts. ``is_failed``: whether the job
    of a row is run again when the run is resumed.
    """

    path: Path
    columns: tuple[str, ...]
    key: Callable[[Row], Hashable]
    is_failed: Callable[[Row], bool] = _never


def run_jobs(
    jobs: Mapping[Key, Job],
    work: Callable[[Sequence[Job]], list[Result]],
    rows: RowFile,
    settings: Mapping[str, Any],
    *,
    on_crash: Callable[[Job, str], Result],
    group_by: Callable[[Job], Hashable] | None = None,
    group_size: int | None = None,
    workers: int | None = None,
    on_row: OnRow | None = None,
    engine: Engine = map_unordered,
) -> dict[str, Any]:
    """Run the jobs, given by key, that have no row yet, append their rows to the file, and return the run's settings.

    ``work`` returns a row for each job of a group, or a `JobOutput` with the files beside it; what it raises ends the
    run, with the finished rows kept. ``settings``: what the rows depend on, recorded in ``settings.json`` beside them;
    `InputError` names what differs from the recorded ones (`record_settings`). ``group_by``: jobs for which it is equal
    share something, such as a picture, and go to one process, up to ``group_size`` at a time; None: each job alone.
    ``on_crash`` makes the row of a job that killed its process. ``workers``: processes, by default one a core, 0 for
    none but this one. ``engine``: of `ibisagent.tools.jobs.engines`, or another.
    """
    if workers is not None and workers < 0:
        raise InputError(f"got {workers} workers, expected 0 or more; leave them out for one a core")
    recorded = record_settings(rows.path, settings)
    jsonl.truncate_partial_line(rows.path)
    failed = {rows.key(row): rows.is_failed(row) for _, row in jsonl.scan_rows(rows.path, rows.columns)}
    left = [job for key, job in jobs.items() if failed.get(key, True)]
    done = len(jobs) - len(left)
    with closing(engine(work, _group(left, group_by, group_size), workers, on_crash)) as groups:
        for group in groups:
            made = [each if isinstance(each, JobOutput) else JobOutput(each, {}) for each in group]
            for output in made:
                write_files(rows.path.parent, output.files)
            jsonl.append_rows(rows.path, (output.row for output in made))
            for row, _ in made:
                done += 1
                if on_row is not None:
                    on_row(row, done, len(jobs))
    return recorded


def _group(jobs: list[Job], by: Callable[[Job], Hashable] | None, size: int | None) -> Iterator[list[Job]]:
    groups: dict[Hashable, list[Job]] = {}
    for number, job in enumerate(jobs):
        groups.setdefault(number if by is None else by(job), []).append(job)
    for group in groups.values():
        for first in range(0, len(group), size or len(group)):
            yield group[first : first + (size or len(group))]
