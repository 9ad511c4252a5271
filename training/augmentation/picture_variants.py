"""The work of one process: every variant of a picture, its masks and its rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError, describe_error
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.png import encode_png
from ibisagent.tools.jobs.job_output import JobOutput
from ibisagent.tools.jobs.job_runner import Row
from ibisagent.tools.jobs.run_settings import case_seed
from ibisagent.training.augmentation.geometry import Picture, fit
from ibisagent.training.augmentation.variation import find_forbidden_moves, vary

__all__ = ["ROW_COLUMNS", "AugmentationJob", "AugmentationSettings", "augment_pictures", "leave_out"]

ROW_COLUMNS = ("picture", "cases", "left_out")
"""The picture's name; the fields of its new cases; id and reason of the cases that are left out."""


@dataclass(frozen=True, slots=True)
class AugmentationSettings:
    """``variants`` of each picture, the first as it is, each side at most ``size`` pixels; ``absent``: requests for
    absent targets for each present one.
    """

    variants: int = 6
    size: int = 256
    seed: int = 0
    absent: float = 1.0

    def __post_init__(self) -> None:
        """Refuse with `InputError` what cannot be made."""
        limits = {"variants": (1, 1000), "size": (32, 8192), "seed": (0, 2**63), "absent": (0, 20)}
        for name, (lowest, highest) in limits.items():
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise InputError(f"got {name}={value}, expected {lowest} to {highest}; change it")


@dataclass(frozen=True, slots=True)
class AugmentationJob:
    """A picture by its ``name``: its cases, the absent targets of each variant, whether it may be flipped."""

    name: str
    cases: tuple[Case, ...]
    absent: Sequence[Sequence[str]]
    may_flip: bool


def augment_pictures(settings: AugmentationSettings, jobs: Sequence[AugmentationJob]) -> list[JobOutput]:
    """Make every variant of pictures; a case that cannot be read is left out with its reason."""
    return [_augment(settings, job) for job in jobs]


def leave_out(job: AugmentationJob, reason: str) -> JobOutput:
    """Return the row of a picture that cannot be read."""
    return _output(job, [], {case.id: reason for case in job.cases}, {})


def _output(job: AugmentationJob, cases: list[Row], left_out: dict[str, str], files: dict[str, bytes]) -> JobOutput:
    return JobOutput({"picture": job.name, "cases": cases, "left_out": left_out}, files)


def _augment(settings: AugmentationSettings, job: AugmentationJob) -> JobOutput:
    try:
        image = job.cases[0].open()
    except Exception as error:
        return leave_out(job, describe_error(error))
    masks, left_out = dict[str, Mask](), dict[str, str]()
    for case in job.cases:
        try:
            masks[case.id] = case.read_truth(image)
        except Exception as error:
            left_out[case.id] = describe_error(error)
    read = replace(job, cases=tuple(case for case in job.cases if case.id in masks))
    rows, files = list[Row](), dict[str, bytes]()
    for variant in range(settings.variants if masks else 0):
        pixels, varied = _vary(settings, read, variant, (image.pixels, list(masks.values())))
        rows += _list_rows(read, variant)
        files[f"images/{job.name}_v{variant}.png"] = encode_png(pixels)
        files |= {
            f"masks/{case.id}_v{variant}.png": encode_png(mask)
            for case, mask in zip(read.cases, varied, strict=True)
            if case.present
        }
    return _output(job, rows, left_out, files)


def _vary(settings: AugmentationSettings, job: AugmentationJob, variant: int, picture: Picture) -> Picture:
    if variant == 0:
        return fit(picture, settings.size)
    texts = [text for case in job.cases for text in (case.target, case.request)]
    rng = np.random.default_rng(case_seed(settings.seed, f"{job.name} {variant}"))
    return vary(picture, settings.size, find_forbidden_moves(texts, job.may_flip), rng)


def _list_rows(job: AugmentationJob, variant: int) -> Iterator[Row]:
    for case in job.cases:
        id = f"{case.id}_v{variant}"
        yield _row(job, case, variant, id=id, mask=f"masks/{id}.png" if case.present else None)
    absent = job.absent[variant] if any(case.present for case in job.cases) else ()
    for target in absent:
        id = f"{job.name}_v{variant}_absent-{target.replace(' ', '-')}"
        asked = replace(job.cases[0], target=target, request="", present=False)
        yield _row(job, asked, variant, id=id, mask=None)


def _row(job: AugmentationJob, case: Case, variant: int, **named: Any) -> Row:
    kept = ("target", "request", "modality", "source", "split", "present")
    return named | {"image": f"images/{job.name}_v{variant}.png"} | {name: getattr(case, name) for name in kept}
