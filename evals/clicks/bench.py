"""The benchmark over a data set: every target, segmenter and mode a job, in parallel and in any order.

Targets of a picture go to one process, a few at a time, which opens and encodes the picture once. A failure is a row
with its reason and never ends the run.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from ibisagent.evals.clicks.protocol import MODES, ClickRun, PixelPrompt, jittered_placement, simulate_clicks
from ibisagent.evals.clicks.rows import ClickRow, Key, is_broken, row_key
from ibisagent.tools.cache import OnceCache
from ibisagent.tools.clicks import Similar
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError, describe_error
from ibisagent.tools.jobs.job_runner import Engine, OnRow, RowFile, run_jobs
from ibisagent.tools.jobs.process_pool import map_unordered
from ibisagent.tools.jobs.run_settings import to_relative_path
from ibisagent.tools.segmenters import Segmenter, get_segmenter
from ibisagent.tools.segmenters.prompt_kinds import require_taken, taken_by
from ibisagent.tools.simulator import NextClick

__all__ = ["ClickJob", "JobRunner", "list_jobs", "run_click_jobs", "simulate_jobs"]

_TARGETS_PER_GROUP = 4  # of one picture; an unfinished group is lost when the run is killed


_cached_segmenter = cache(get_segmenter)


class ClickJob(NamedTuple):
    """One target, segmenter and mode; ``image`` is the picture's path as a `Row` has it."""

    case: Case
    image: str
    segmenter: str
    fingerprint: str
    mode: str

    @property
    def key(self) -> Key:
        """Return the key of this job's row."""
        return self.case.id, self.segmenter, self.mode

    def row(self, **values: Any) -> ClickRow:
        """Return a row with the fields of this job and ``values``."""
        case = self.case
        fields = (case.id, self.image, case.target, case.modality, case.source, case.split)
        return ClickRow(*fields, self.segmenter, self.fingerprint, self.mode, **values)


JobRunner = Callable[[Sequence[ClickJob]], list[ClickRow]]
"""Runs jobs on the targets of one picture: `simulate_jobs` with its settings."""


def list_jobs(cases: Iterable[Case], folder: Path, segmenters: Iterable[str], modes: Iterable[str]) -> list[ClickJob]:
    """List the jobs in the order of the results; an absent target has none, as there is nothing to click.

    An unknown segmenter or mode is an `InputError`, and so is a segmenter that does not take a mode's prompts.
    """
    opened = {name: get_segmenter(name) for name in segmenters}
    models = {name: segmenter.fingerprint for name, segmenter in opened.items()}
    wanted = list(dict.fromkeys(modes))
    for mode in wanted:
        if mode not in MODES:
            raise InputError(f"got mode {mode[:40]!r}, expected one of {', '.join(MODES)}; choose one")
    if "similar" in wanted:
        for name, segmenter in opened.items():
            require_taken([Similar(0.5, 0.5)], taken_by(segmenter), name)
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


def run_click_jobs(
    jobs: Sequence[ClickJob],
    path: Path,
    simulate: JobRunner,
    settings: Mapping[str, Any],
    *,
    workers: int | None = None,
    on_row: OnRow | None = None,
    engine: Engine = map_unordered,
) -> dict[str, Any]:
    """Run the jobs without a row in ``path`` or with a broken one, a few targets of a picture in one process.

    Returns the settings of the run; see `run_jobs`. A job that kills its process is a broken row.
    """
    per_target = len({(job.segmenter, job.mode) for job in jobs})
    return run_jobs(
        {job.key: job for job in jobs},
        partial(_plain_rows, simulate),
        RowFile(path, ClickRow._fields, row_key, is_broken),
        settings,
        on_crash=lambda job, reason: job.row(reason=reason)._asdict(),
        group_by=lambda job: job.case.image_key,
        group_size=_TARGETS_PER_GROUP * per_target,
        workers=workers,
        on_row=on_row,
        engine=engine,
    )


def _plain_rows(simulate: JobRunner, jobs: Sequence[ClickJob]) -> list[dict[str, Any]]:
    return [row._asdict() for row in simulate(jobs)]


def simulate_jobs(
    jobs: Sequence[ClickJob], clicks: int, seed: int, load_segmenter: Callable[[str], Segmenter] = _cached_segmenter
) -> list[ClickRow]:
    """Run jobs on one picture, with a row for each; random draws depend on ``seed`` and case alone."""
    shared: OnceCache[Any] = OnceCache(math.inf)
    return [_row(job, shared, load_segmenter, clicks, seed) for job in jobs]


def _row(
    job: ClickJob, shared: OnceCache[Any], load_segmenter: Callable[[str], Segmenter], clicks: int, seed: int
) -> ClickRow:
    case = job.case
    try:
        image = shared.get("image", case.open)
        truth = shared.get(("truth", case.id), lambda: case.read_truth(image))
        segmenter = load_segmenter(job.segmenter)
        embedding, seconds = shared.get(("embedding", job.segmenter), lambda: _timed_embedding(segmenter, image.pixels))
        placement = jittered_placement(_seed(seed, case.id)) if job.mode == "jitter" else None
        run = simulate_clicks(
            segmenter, embedding, truth, clicks, placement, box=job.mode == "box", similar=job.mode == "similar"
        )
    except Exception as error:  # also whatever a segmenter may raise
        return job.row(reason=describe_error(error))
    height, width = truth.shape
    sizes = {"height": height, "width": width, "area_px": int(truth.sum())}
    return job.row(**sizes, **_values(run), encoder_seconds=seconds)


def _timed_embedding(segmenter: Segmenter, pixels: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    return segmenter.embed(pixels), time.perf_counter() - start


def _values(run: ClickRun) -> dict[str, Any]:
    marks = tuple(_prompt_text(mark) for mark in run.pixel_prompts)
    scores = tuple(None if score is None else float(score) for score in run.scores)
    found = run.instances
    return {
        "pixel_prompts": marks,
        "ious": tuple(run.ious),
        "scores": scores,
        "seconds": tuple(run.seconds),
        "f1_50": found.f1,
        "count_error": found.count_error,
        "panoptic_quality": found.panoptic_quality,
        "hd95": run.hd95,
    }


def _prompt_text(mark: PixelPrompt) -> str:
    if isinstance(mark, NextClick):
        return f"r{mark.pixel.row}c{mark.pixel.column}{'+' if mark.positive else '-'}"
    return f"r{mark.top}c{mark.left}..r{mark.bottom}c{mark.right}"


def _seed(seed: int, id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {id}".encode()).digest()[:8])
