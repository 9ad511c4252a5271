"""`ibisagent augment`: a data set of varied pictures, with a progress bar and a count of its rows."""

import csv
import os
from collections import Counter

from rich.console import Console
from rich.markup import escape

from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.datasets.sampling import sample_evenly
from ibisagent.tools.jobs.remote_out import open_out
from ibisagent.training.augmentation.folder import LEFT_OUT, write_augmented
from ibisagent.training.augmentation.picture_variants import AugmentationSettings
from ibisagent.training.augmentation.regions import build_regions, read_regions_table
from ibisagent.ui.cli.progress import progress_bar

__all__ = ["run_augment"]

_LISTED = 5


def run_augment(
    dataset: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: AugmentationSettings,
    *,
    split: str | None = None,
    limit: int | None = None,
    workers: int | None = None,
    regions: str | os.PathLike[str] | None = None,
) -> None:
    """Write or resume the augmented folder ``out`` of a data set's cases, and print counts.

    ``limit``: how many cases, sampled evenly; ``regions``: a file that is added to the regions that ship.
    """
    table = read_regions_table(regions)
    cases = sample_evenly(read_dataset(dataset, split=split), limit)
    with open_out(out) as (folder, place), progress_bar(place, "manifest") as tell:
        write_augmented(cases, folder, settings, regions=table, workers=workers, on_row=tell)
        made = read_dataset(folder, kind="native")
        with (folder / LEFT_OUT).open(encoding="utf-8", newline="") as file:
            left_out = sum(1 for _ in csv.DictReader(file))
    counts, pictures = Counter(case.present for case in made), len({case.image for case in made})
    console, known = Console(), build_regions(table)
    console.print(
        f"{len(cases)} cases, {left_out} left out: {pictures} pictures, {counts[True]} rows of what is there, "
        f"{counts[False]} of what is not",
        soft_wrap=True,
    )
    unknown = sorted({case.target for case in cases if not known.find_shown([case])})
    if settings.absent and unknown:
        names = ", ".join(unknown[:_LISTED]) + (" ..." if len(unknown) > _LISTED else "")
        console.print(f"no region is known of {escape(names)}: add them by --regions", soft_wrap=True)
    console.print(f"wrote manifest.csv, images/, masks/ and {LEFT_OUT} in {escape(place)}", soft_wrap=True)
