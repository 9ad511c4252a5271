"""`ibisagent trajectories`: recorded runs as the paper's data table, and a contact sheet of each."""

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import astuple, fields, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ibisagent.agent.record_images import open_recorded_image
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.contact_sheets import contact_sheet_of
from ibisagent.evals.trajectories import TrajectoryMetrics, TrajectoryTableRow, tabulate_metrics, trajectory_metrics
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, require_writable_folder
from ibisagent.tools.imaging.grids import Spacing
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import decode
from ibisagent.ui.cli.step_table import build_step_table
from ibisagent.ui.cli.trajectory_files import map_records, print_line, readable_roots, to_printable_line
from ibisagent.ui.record_files import RecordLocation, case_id
from ibisagent.ui.run_folder import make_folder

__all__ = ["BY", "show_sheets", "show_stats"]

BY = ("modality", "policy", "segmenter", "stop", "all")
"""Groupings of the table's rows."""

_GREY = 128
_REMEDY = "bring it back, or name its folder with --root"
_HEADS = (
    *("samples", "states", "mean\nlength"),
    *("mean\nIoU", "median\nIoU", "mean\nDice", "median\nDice", "click-hit\nrate"),
)


def show_stats(
    paths: list[Path], by: str | None = None, *, dataset: Path | None = None, csv_file: Path | None = None
) -> None:
    """Print the data table of all records in files and folders, one row per value of ``by`` and a last one for all.

    ``by``: one of `BY`. A modality is looked up in ``dataset``, where a record's id is the name of its file, or of its
    folder when the file is a run folder's ``trajectory.json``. Without ``by`` it is the modality where a data set is
    given, else all.
    """
    by = by or ("all" if dataset is None else "modality")
    name = _row_namer(by, dataset)
    if csv_file is not None:
        require_writable_folder(csv_file.parent)
    console = Console(stderr=True)
    made = map_records(
        paths, lambda place, record: (name(place, record), trajectory_metrics(record)), console, "Reading"
    )
    rows = _rows(by, [run for _, run in made])
    Console().print(_table(by, rows))
    if csv_file is not None:
        _write(csv_file, by, rows)


def _row_namer(by: str, dataset: Path | None) -> Callable[[RecordLocation, Trajectory], str]:
    """Return a function that maps a record to the name of its row."""
    if by not in BY:
        raise InputError(f"got by={by[:40]!r}, expected one of {', '.join(BY)}; choose one")
    if by == "all":
        return lambda _, __: "all"
    if by != "modality":
        return lambda _, record: to_printable_line(str(getattr(record, by) or "unfinished"))
    if dataset is None:
        raise InputError("got by='modality' alone, expected a data set with modalities; add --dataset or another --by")
    known = {case.id: case.modality for case in read_dataset(dataset)}
    return lambda place, _: known.get(case_id(place._replace(number=None)), "") or "unknown"


def _rows(by: str, runs: list[tuple[str, TrajectoryMetrics]]) -> list[TrajectoryTableRow]:
    everything = tabulate_metrics(("all", run) for _, run in runs)
    return everything if by == "all" else [*tabulate_metrics(runs), *everything]


def _table(by: str, rows: list[TrajectoryTableRow]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column("" if by == "all" else by)
    for head in _HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        name, *figures = astuple(row)
        table.add_row(Text(name, no_wrap=True, overflow="ellipsis"), *map(_figure, figures))
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _write(path: Path, by: str, rows: list[TrajectoryTableRow]) -> None:
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([by, *(field.name for field in fields(TrajectoryTableRow)[1:])])
        writer.writerows(map(astuple, rows))


class _RecordSheet(NamedTuple):
    """A record's contact sheet, the table of its steps, and why it is drawn on grey, None if it is not."""

    sheet: Image.Image
    steps: Table
    missing_reason: str | None


def show_sheets(path: Path, out: Path | None = None, roots: Sequence[Path] = ()) -> None:
    """Draw the contact sheet of every record of a file or folder, ``NAME.steps.png``, beside it or in ``out``.

    Below ``out`` the sheets have the records' subfolders. A record whose image is not found below its own folder,
    ``path``, the current folder or one of ``roots``, or has changed, is drawn on grey, with a printed line. The steps
    of a single record are printed as well.
    """
    console, written = Console(stderr=True), list[Path]()
    readable = (*([path] if os.path.isdir(path) else []), *readable_roots(roots))
    drawn = None
    for place, drawn in map_records([path], partial(_draw, readable), console, "Drawing"):
        target = _target(place, path, out)
        with atomic_write(target) as temporary:
            drawn.sheet.save(temporary, format="PNG")
        written.append(target)
        if drawn.missing_reason is not None:
            print_line(console, f"{place}: drawn on grey: {drawn.missing_reason}")
    if drawn is not None and len(written) == 1:
        Console().print(drawn.steps)
    where = written[0] if len(written) == 1 else f"{len(written)} step sheets in {out or path}"
    print_line(Console(), f"wrote {where}")


def _target(place: RecordLocation, path: Path, out: Path | None) -> Path:
    number = f".{place.number:04}" if place.number else ""
    folder = place.path.parent
    if out is not None:
        folder = out / folder.relative_to(path) if path.is_dir() else out
        make_folder(folder)
    return folder / f"{place.path.stem}{number}.steps.png"


def _draw(roots: Sequence[Path], place: RecordLocation, record: Trajectory) -> _RecordSheet:
    try:
        image, missing_reason = open_recorded_image(record.image, place.path.parent, roots, _REMEDY), None
    except InputError as error:
        image, missing_reason = _grey(record), str(error)
    return _RecordSheet(contact_sheet_of(record, image), build_step_table(record), missing_reason)


def _grey(record: Trajectory) -> MedicalImage:
    image = open_image(np.full(decode(record.mask).shape, _GREY, np.uint8))
    spacing = record.geometry.get("spacing_mm")
    return replace(image, spacing=Spacing(*spacing) if spacing else None)
