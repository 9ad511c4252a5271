"""The cases that a report shows, and their step sheets."""

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ibisagent.agent.trajectory import Trajectory
from ibisagent.agent.trajectory_files import read_trajectories
from ibisagent.evals.contact_sheets import contact_sheet_of, open_or_grey
from ibisagent.evals.report.read_results import EvalResults, ResultRow
from ibisagent.tools.errors import IbisError
from ibisagent.tools.imaging.medical_image import MedicalImage

__all__ = ["ReportedCase", "SheetImage", "draw_cases", "select_ranked"]

_GREY_NOTE = "the picture cannot be opened as it was recorded, the masks are drawn on grey"
_LARGEST = (1400, 4000)  # pixels; about a seventh of a megabyte for twenty steps


class SheetImage(NamedTuple):
    """A step sheet as a data URL, its size in pixels, and a note on it."""

    url: str
    width: int
    height: int
    note: str


class ReportedCase(NamedTuple):
    """A case, its rank, and its sheet, or why there is none."""

    rank: str
    row: ResultRow
    sheet: SheetImage | None
    fault: str


def select_ranked(values: Sequence[float], count: int) -> list[tuple[str, int]]:
    """Select the indices of the worst, median and best values, ``count`` of each; all where there are no more.

    >>> select_ranked([0.1, 0.9, 0.5, 0.7], 1)
    [('worst', 0), ('median', 2), ('best', 1)]
    """
    order = sorted(range(len(values)), key=lambda index: values[index])
    if len(order) <= 3 * count:
        return [("", index) for index in order]
    middle = (len(order) - count) // 2
    chosen = {"worst": order[:count], "median": order[middle : middle + count], "best": order[: -count - 1 : -1]}
    return [(rank, index) for rank, indices in chosen.items() for index in indices]


def draw_cases(
    results: EvalResults,
    policy: str,
    segmenter: str,
    count: int,
    roots: Sequence[Path],
    fetch: Callable[[str], None] | None = None,
) -> Iterator[ReportedCase]:
    """Draw a run's worst, median and best cases by IoU, one at a time; ``roots``: folders of their
    pictures, to which ``fetch`` brings one, given its id."""
    done = results.done_rows(policy, segmenter)
    for rank, index in select_ranked([row.iou for row in done], count):
        if fetch is not None:
            fetch(done[index].id)
        yield _draw_case(results.folder, rank, done[index], roots)


def _draw_case(folder: Path, rank: str, row: ResultRow, roots: Sequence[Path]) -> ReportedCase:
    try:
        path = folder / row.trajectory
        record = next(read_trajectories(path))
        image, found = open_or_grey(record, path.parent, roots)
        return ReportedCase(rank, row, _picture(record, image, "" if found else _GREY_NOTE), "")
    except (IbisError, ValueError, LookupError, TypeError, AttributeError, StopIteration) as error:
        return ReportedCase(rank, row, None, f"no step sheet: the trajectory cannot be drawn ({type(error).__name__})")


def _picture(record: Trajectory, image: MedicalImage, note: str) -> SheetImage:
    """Draw a sheet without the seconds, which differ from run to run."""
    timeless = replace(record, steps=tuple(replace(step, seconds={}) for step in record.steps))
    sheet = contact_sheet_of(timeless, image)
    sheet.thumbnail(_LARGEST, reducing_gap=2.0)
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", quality=75, method=2)
    code = base64.b64encode(buffer.getvalue()).decode("ascii")
    return SheetImage(f"data:image/webp;base64,{code}", sheet.width, sheet.height, note)
