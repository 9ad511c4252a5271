"""`ibisagent phantoms`: a synthetic data set, with a progress bar, a count of its rows, and a contact sheet."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ibisagent.tools.datasets import Case, read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, printable_text, require_writable_folder
from ibisagent.tools.jobs.remote_out import open_out
from ibisagent.training.phantoms.folder import PhantomDatasetSpec, write_phantoms
from ibisagent.ui.cli.engines import open_engine
from ibisagent.ui.cli.phantom_sheet import draw_phantom_sheet
from ibisagent.ui.cli.progress import progress_bar

__all__ = ["parse_range", "run_phantoms"]

Number = TypeVar("Number", int, float)


def parse_range(option: str, text: str, number: Callable[[str], Number]) -> Number | tuple[Number, Number]:
    """Parse ``5`` or a range such as ``5-7``; ``number`` is `int` or `float`. `InputError` for anything else.

    >>> parse_range("--size", "112-176", int), parse_range("--difficulty", ".5", float)
    ((112, 176), 0.5)
    """
    try:
        match [number(part) for part in text.split("-")]:
            case [one]:
                return one
            case [low, high]:
                return low, high
    except ValueError:
        pass
    example = "112 or 112-176" if number is int else "0.5 or 0.1-0.7"
    raise InputError(f"got {option} {printable_text(text[:40])!r}, expected such as {example}; correct it")


def run_phantoms(
    spec: PhantomDatasetSpec,
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    engine: str = "processes",
    ray_address: str | None = None,
    sheet: Path | None = None,
) -> None:
    """Write or resume the folder of phantoms ``out``, and print a count of its rows; ``sheet``: PNG of the first ones.

    `InputError`, before anything is drawn, when a file cannot be written.
    """
    console = Console()
    with open_out(out) as (folder, place):
        if sheet is not None:
            _require_sheet(sheet, folder)
        with open_engine(engine, ray_address, shared=False) as runs_on, progress_bar(place, "manifest") as tell:
            write_phantoms(spec, folder, workers=workers, on_row=tell, engine=runs_on)
        console.print(_table(read_dataset(folder, kind="native"), spec))
    console.print(f"wrote manifest.csv, images/ and masks/ in {escape(place)}", soft_wrap=True)
    if sheet is not None:
        with atomic_write(sheet) as temporary:
            draw_phantom_sheet(spec).save(temporary, format="PNG")
        console.print(f"wrote {escape(str(sheet))}", soft_wrap=True)


def _require_sheet(sheet: Path, out: Path) -> None:
    if sheet.suffix.lower() != ".png" or sheet.is_dir():
        raise InputError(f"{printable_text(sheet)}: got no name of a PNG file, expected one for the sheet; add .png")
    if sheet.parent.absolute() != out.absolute():  # which may not be there yet
        require_writable_folder(sheet.parent)


def _table(cases: list[Case], spec: PhantomDatasetSpec) -> Table:
    """Count rows by modality and kind."""
    found = Counter((case.modality, case.source.removeprefix("phantom ")) for case in cases)
    caption = f"{len(cases)} rows on {len({case.image for case in cases})} of {spec.count} pictures"
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=caption, caption_justify="left")
    table.add_column("modality")
    for ask in spec.request_kinds:
        table.add_column(ask, justify="right")
    for modality in dict.fromkeys(spec.modalities):
        table.add_row(modality, *(str(found[modality, ask]) for ask in spec.request_kinds))
    table.add_section()
    table.add_row(
        "all", *(str(sum(found[modality, ask] for modality in {*spec.modalities})) for ask in spec.request_kinds)
    )
    return table
