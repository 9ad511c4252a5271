"""The benchmark over a data set: every target, segmenter and mode a job, in parallel and in any order.

The targets of a picture that stand together go to one process, which opens and encodes the picture once. Whatever
fails is a row with its reason and never ends the run.
"""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from ibisagent.evals.clicks.journal import Journal, Key, Row
from ibisagent.evals.clicks.pool import spread
from ibisagent.evals.clicks.protocol import MODES, Mark, Run, play, rough
from ibisagent.tools.cache import OnceCache
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.segmenters import Segmenter, get_segmenter
from ibisagent.tools.simulator import NextClick

__all__ = ["Job", "Work", "jobs_of", "play_jobs", "run_jobs", "settings_of"]

_TARGETS = 4  # of one picture in one go: what they cost is lost when the run is killed
_DIED = "its process died (out of memory, or a crash in the segmenter), expected it to live; try fewer workers"


_named = cache(get_segmenter)


class Job(NamedTuple):
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

    def row(self, **values: Any) -> Row:
        """Begin a row with what is known beforehand."""
        case = self.case
        told = (case.id, self.image, case.target, case.modality, case.source, case.split)
        return Row(*told, self.segmenter, self.fingerprint, self.mode, **values)


Work = Callable[[Sequence[Job]], list[Row]]
"""What plays jobs on the targets of one picture: `play_jobs` with its settings."""


def settings_of(cases: Iterable[Case], folder: Path, clicks: int, seed: int) -> dict[str, Any]:
    """Give what a run's rows depend on, besides what a row says itself; a data set that is moved stays the same."""
    plain = [
        asdict(case) | {"image": _within(folder, case.image), "mask": _within(folder, case.mask)} for case in cases
    ]
    digest = hashlib.sha256(json.dumps(plain, default=str).encode()).hexdigest()[:16]
    return {"version": version("ibisagent"), "dataset": digest, "cases": len(plain), "clicks": clicks, "seed": seed}


def jobs_of(cases: Iterable[Case], folder: Path, segmenters: Iterable[str], modes: Iterable[str]) -> list[Job]:
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
        Job(case, _within(folder, case.image) or "", name, fingerprint, mode)
        for case in present
        for name, fingerprint in models.items()
        for mode in wanted
    ]


def run_jobs(jobs: Sequence[Job], journal: Journal, work: Work, workers: int) -> Iterator[list[Row]]:
    """Play the jobs whose rows ``journal`` does not hold or holds as broken; keep and give rows as they are done.

    When a process dies, what was out is played again one by one, and what kills its process again is a broken row.
    Rows of another version of a segmenter are an `InputError`.
    """
    for job in jobs:
        row = journal.rows.get(job.key)
        if row is not None and row.fingerprint != job.fingerprint:
            expected = f"expected {row.fingerprint!r}, by which it was begun; name another --out"
            raise InputError(f"{job.segmenter}: got {job.fingerprint!r}, {expected}")
    done = {key for key, row in journal.rows.items() if row.reason is None}
    lost: list[Job] = []
    for unit, rows in spread(work, _units(job for job in jobs if job.key not in done), workers):
        lost += unit if rows is None else []
        yield _kept(journal, rows or [])
    for unit, rows in spread(work, [[job] for job in lost], 1, ahead=1):
        yield _kept(journal, rows or [job.row(reason=_DIED) for job in unit])


def _kept(journal: Journal, rows: list[Row]) -> list[Row]:
    journal.add(rows)
    return rows


def _units(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    """Group the jobs on neighbouring targets of one picture, a few targets at a time."""
    for _, group in groupby(jobs, lambda job: (job.case.image, job.case.slice, job.case.window)):
        targets = [list(target) for _, target in groupby(group, lambda job: job.case.id)]
        for start in range(0, len(targets), _TARGETS):
            yield [job for target in targets[start : start + _TARGETS] for job in target]


def play_jobs(jobs: Sequence[Job], clicks: int, seed: int, named: Callable[[str], Segmenter] = _named) -> list[Row]:
    """Play jobs on one picture, giving a row for each; where a random draw decides, by ``seed`` and case alone."""
    shared: OnceCache[Any] = OnceCache(math.inf)
    return [_row(job, shared, named, clicks, seed) for job in jobs]


def _row(job: Job, shared: OnceCache[Any], named: Callable[[str], Segmenter], clicks: int, seed: int) -> Row:
    case = job.case
    try:
        image = shared.get("image", case.open)
        truth = shared.get(("truth", case.id), lambda: case.truth(image))
        segmenter = named(job.segmenter)
        embedding, seconds = shared.get(("embedding", job.segmenter), lambda: _encoded(segmenter, image.pixels))
        place = rough(_seed(seed, case.id)) if job.mode == "jitter" else None
        run = play(segmenter, embedding, truth, clicks, place, box=job.mode == "box")
    except Exception as error:  # also whatever a segmenter may raise
        said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return job.row(reason=" ".join(said.split()))
    height, width = truth.shape
    sizes = {"height": height, "width": width, "area_px": int(truth.sum())}
    return job.row(**sizes, **_values(run), encoder_seconds=seconds)


def _encoded(segmenter: Segmenter, pixels: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    return segmenter.embed(pixels), time.perf_counter() - start


def _values(run: Run) -> dict[str, Any]:
    marks = tuple(_spelled(mark) for mark in run.marks)
    scores = tuple(None if score is None else float(score) for score in run.scores)
    return {"marks": marks, "ious": tuple(run.ious), "scores": scores, "seconds": tuple(run.seconds)}


def _spelled(mark: Mark) -> str:
    if isinstance(mark, NextClick):
        return f"r{mark.pixel.row}c{mark.pixel.column}{'+' if mark.positive else '-'}"
    return f"r{mark.top}c{mark.left}..r{mark.bottom}c{mark.right}"


def _seed(seed: int, id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {id}".encode()).digest()[:8])


def _within(folder: Path, path: Path | None) -> str | None:
    if path is None:
        return None
    base, absolute = Path(os.path.abspath(folder)), Path(os.path.abspath(path))
    return (absolute.relative_to(base) if absolute.is_relative_to(base) else absolute).as_posix()
