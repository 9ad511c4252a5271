"""Which cases a report shows, and their step sheets."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ibisagent.agent.contact_sheet import contact_sheet_of
from ibisagent.agent.trajectory import Trajectory, read_trajectories
from ibisagent.evals.report.results import ResultRow, EvalResults
from ibisagent.tools.errors import IbisError, InputError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.open_image import open_image

__all__ = ["SheetImage", "ReportedCase", "select_ranked", "draw_cases"]

_LARGEST = (1400, 4000)  # pixels; about a seventh of a megabyte for twenty steps


class SheetImage(NamedTuple):
    """A step sheet as a data URL, its size in pixels, and what is to be known of it."""

    url: str
    width: int
    height: int
    note: str


class ReportedCase(NamedTuple):
    """A case, why it is shown, and its sheet, or why there is none."""

    rank: str
    row: ResultRow
    sheet: SheetImage | None
    fault: str


def select_ranked(values: Sequence[float], count: int) -> list[tuple[str, int]]:
    """Choose the places of the worst, median and best values, ``count`` of each; all where there are no more.

    >>> picked([0.1, 0.9, 0.5, 0.7], 1)
    [('worst', 0), ('median', 2), ('best', 1)]
    """
    order = sorted(range(len(values)), key=lambda place: values[place])
    if len(order) <= 3 * count:
        return [("", place) for place in order]
    middle = (len(order) - count) // 2
    chosen = {"worst": order[:count], "median": order[middle : middle + count], "best": order[: -count - 1 : -1]}
    return [(rank, place) for rank, places in chosen.items() for place in places]


def draw_cases(results: EvalResults, policy: str, segmenter: str, count: int) -> Iterator[ReportedCase]:
    """Draw a run's worst, median and best cases by IoU, one at a time."""
    done = results.done_rows(policy, segmenter)
    for rank, place in select_ranked([row.iou for row in done], count):
        yield _shown(results.folder, rank, done[place])


def _shown(folder: Path, rank: str, row: ResultRow) -> ReportedCase:
    try:
        path = folder / row.trajectory
        record = next(read_trajectories(path))
        image, note = _image(record, path.parent)
        return ReportedCase(rank, row, _picture(record, image, note), "")
    except (IbisError, ValueError, LookupError, TypeError, AttributeError, StopIteration) as error:
        return ReportedCase(rank, row, None, f"no step sheet: the trajectory cannot be drawn ({type(error).__name__})")


def _image(record: Trajectory, folder: Path) -> tuple[MedicalImage, str]:
    """Open what a record was made on, or a grey picture of its size with a note."""
    said = record.image
    try:
        if said["uri"] is None:
            raise InputError("it came without a file")
        image = open_image(folder / said["uri"], slice=said.get("slice"), window=said.get("window"))
        if image.sha == said["sha"]:
            return image, ""
        note = "the picture has changed since, so that the masks stand on grey"
    except IbisError:
        note = "the picture cannot be opened, so that the masks stand on grey"
    size = record.geometry["height"], record.geometry["width"]
    return open_image(np.full(size, 128, np.uint8)), note


def _picture(record: Trajectory, image: MedicalImage, note: str) -> SheetImage:
    """Draw a sheet without the seconds, which differ from run to run."""
    timeless = replace(record, steps=tuple(replace(step, seconds={}) for step in record.steps))
    sheet = contact_sheet_of(timeless, image)
    sheet.thumbnail(_LARGEST, reducing_gap=2.0)
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", quality=75, method=2)
    code = base64.b64encode(buffer.getvalue()).decode("ascii")
    return SheetImage(f"data:image/webp;base64,{code}", sheet.width, sheet.height, note)
