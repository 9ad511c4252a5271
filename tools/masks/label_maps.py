"""Label files: pictures and volumes whose values name what a pixel belongs to, 0 being the background."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.files import VOLUME_ENDINGS, printable_text, require_file
from ibisagent.tools.imaging import npz, raster, volume_files
from ibisagent.tools.imaging.decoding import decode_guard
from ibisagent.tools.masks.label_values import Label, get_stored_values

__all__ = ["LabelAreas", "SliceChoice", "choose_label_slices", "count_label_areas"]

SliceChoice = Literal["largest", "all"]

LabelAreas = dict[str | None, dict[int, int]]
"""For each plane by its ``slice`` (None for a single picture): the pixels of each value above 0 that occurs."""


def count_label_areas(path: Path) -> LabelAreas:
    """Count the pixels of every label in every plane of a NIfTI, NPZ or picture file: axial planes, frames, or pages.

    The whole file is decoded; one that cannot be is an `InputError`.
    """
    require_file(path)
    return {where: _count_values(plane) for where, plane in _iterate_planes(path)}


def _count_values(plane: NDArray[Any]) -> dict[int, int]:
    values, counts = np.unique(plane[plane > 0], return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True) if value == int(value)}


def _iterate_planes(path: Path) -> Iterator[tuple[str | None, NDArray[Any]]]:
    name = path.name.lower()
    if name.endswith(VOLUME_ENDINGS):
        return volume_files.iterate_planes(path)
    if name.endswith(".npz"):
        return npz.iterate_planes(path)
    return _iterate_pages(path)


def _iterate_pages(path: Path) -> Iterator[tuple[str | None, NDArray[Any]]]:
    picture, page = raster.read_picture(path)
    for number in [None] if page is None else [str(index) for index in range(getattr(picture, "n_frames", 1))]:
        if number not in (None, page):
            picture, _ = raster.read_picture(path, number)
        with decode_guard(printable_text(path.name), "a label picture"):
            values = get_stored_values(picture)
        yield number, values


def choose_label_slices(areas: LabelAreas, values: Label, which: SliceChoice) -> list[str | None]:
    """Return the planes that show a label, none where no plane does.

    ``which`` is ``all``, or ``largest`` for the one with the most of the label's pixels, the first of equals.
    """
    wanted = {values} if isinstance(values, int) else set(values)
    sizes = {where: sum(counts.get(value, 0) for value in wanted) for where, counts in areas.items()}
    shown = [where for where, size in sizes.items() if size]
    return shown if which == "all" else sorted(shown, key=lambda where: -sizes[where])[:1]
