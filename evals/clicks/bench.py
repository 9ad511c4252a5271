"""The benchmark over a data set: every target, segmenter and mode a job, in parallel and in any order.

The targets of a picture that stand together go to one process, which opens and encodes the picture once. Whatever
fails is a row with its reason and never ends the run.
"""

import hashlib
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from ibisagent.evals.clicks.protocol import MODES, PixelPrompt, ClickRun, simulate_clicks, jittered_placement
from ibisagent.evals.clicks.rows import Key, ClickRow, read_rows
from ibisagent.tools.cache import OnceCache
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.jobs.jsonl import append_rows, truncate_partial_line
from ibisagent.tools.jobs.process_pool import map_unordered
from ibisagent.tools.jobs.run_settings import to_relative_path
from ibisagent.tools.segmenters import Segmenter, get_segmenter
from ibisagent.tools.simulator import NextClick

__all__ = ["ClickJob", "JobRunner", "list_unfinished_jobs", "list_jobs", "simulate_jobs", "run_jobs"]

_TARGETS = 4  # of one picture in one go: what they cost is lost when the run is killed


_named = cache(get_segmenter)


class ClickJob(NamedTuple):
    """One target, segmenter and mode; ``image`` is the picture's path as a `Row` has it."""

    case: Case
    image: str
    segmenter: str
    fingerprint: str
    mode: str

    @property
    def key(self) -> Key:
        """Give the key of the row that comes of it."""
        return self.case.id, self.segmenter, self.mode

    def row(self, **values: Any) -> ClickRow:
        """Begin a row with what is known beforehand."""
        case = self.case
        told = (case.id, self.image, case.target, case.modality, case.source, case.split)
        return ClickRow(*told, self.segmenter, self.fingerprint, self.mode, **values)


JobRunner = Callable[[Sequence[ClickJob]], list[ClickRow]]
"""What plays jobs on the targets of one picture: `play_jobs` with its settings."""


def list_jobs(cases: Iterable[Case], folder: Path, segmenters: Iterable[str], modes: Iterable[str]) -> list[ClickJob]:
    """List the jobs in the order of the results; a target that is absent gives none, as nothing can be clicked on.

    An unknown segmenter or mode is an `InputError`.
    """
    models = {name: get_segmenter(name).fingerprint for name in segmenters}
    wanted = list(dict.fromkeys(modes))
    for mode in wanted:
        if mode not in MODES:
            raise InputError(f"got mode {mode[:40]!r}, expected one of {', '.join(MODES)}; choose one")
    present = [case for case in cases if case.present]
    if not (present and models and wanted):
        raise InputError(
            "got no target that is present, segmenter or mode, expected one of each; name another data set"
        )
    return [
        ClickJob(case, to_relative_path(folder, case.image), name, fingerprint, mode)
        for case in present
        for name, fingerprint in models.items()
        for mode in wanted
    ]


def list_unfinished_jobs(jobs: Iterable[ClickJob], path: Path) -> list[ClickJob]:
    """Leave out the jobs whose rows ``path`` holds, unless as broken; a torn last line there is cut off."""
    truncate_partial_line(path)
    done = {key for key, row in read_rows(path).items() if row.reason is None}
    return [job for job in jobs if job.key not in done]


def run_jobs(jobs: Iterable[ClickJob], path: Path, runner: JobRunner, workers: int | None) -> Generator[list[ClickRow], None, None]:
    """Play jobs in processes, by default one a core; add the rows to ``path`` and give them as they are done.

    A job that kills its process is a broken row.
    """
    with closing(map_unordered(runner, _units(jobs), workers, lambda job, reason: job.row(reason=reason))) as batches:
        for rows in batches:
            append_rows(path, [row._asdict() for row in rows])
            yield rows


def _units(jobs: Iterable[ClickJob]) -> Iterator[list[ClickJob]]:
    """Group the jobs on neighbouring targets of one picture, a few targets at a time."""
    for _, group in groupby(jobs, lambda job: (job.case.image, job.case.slice, job.case.window)):
        targets = [list(target) for _, target in groupby(group, lambda job: job.case.id)]
        for start in range(0, len(targets), _TARGETS):
            yield [job for target in targets[start : start + _TARGETS] for job in target]


def simulate_jobs(jobs: Sequence[ClickJob], clicks: int, seed: int, load_segmenter: Callable[[str], Segmenter] = _named) -> list[ClickRow]:
    """Play jobs on one picture, giving a row for each; where a random draw decides, by ``seed`` and case alone."""
    shared: OnceCache[Any] = OnceCache(math.inf)
    return [_row(job, shared, load_segmenter, clicks, seed) for job in jobs]


def _row(job: ClickJob, shared: OnceCache[Any], named: Callable[[str], Segmenter], clicks: int, seed: int) -> ClickRow:
    case = job.case
    try:
        image = shared.get("image", case.open)
        truth = shared.get(("truth", case.id), lambda: case.truth(image))
        segmenter = named(job.segmenter)
        embedding, seconds = shared.get(("embedding", job.segmenter), lambda: _encoded(segmenter, image.pixels))
        place = jittered_placement(_seed(seed, case.id)) if job.mode == "jitter" else None
        run = simulate_clicks(segmenter, embedding, truth, clicks, place, box=job.mode == "box")
    except Exception as error:  # also whatever a segmenter may raise
        said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return job.row(reason=" ".join(said.split()))
    height, width = truth.shape
    sizes = {"height": height, "width": width, "area_px": int(truth.sum())}
    return job.row(**sizes, **_values(run), encoder_seconds=seconds)


def _encoded(segmenter: Segmenter, pixels: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    return segmenter.embed(pixels), time.perf_counter() - start


def _values(run: ClickRun) -> dict[str, Any]:
    marks = tuple(_spelled(mark) for mark in run.pixel_prompts)
    scores = tuple(None if score is None else float(score) for score in run.scores)
    return {"marks": marks, "ious": tuple(run.ious), "scores": scores, "seconds": tuple(run.seconds)}


def _spelled(mark: PixelPrompt) -> str:
    if isinstance(mark, NextClick):
        return f"r{mark.pixel.row}c{mark.pixel.column}{'+' if mark.positive else '-'}"
    return f"r{mark.top}c{mark.left}..r{mark.bottom}c{mark.right}"


def _seed(seed: int, id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {id}".encode()).digest()[:8])
