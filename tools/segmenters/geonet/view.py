"""The square part of a picture that the network looks at, and fields brought to it and back."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ibisagent.tools.clicks import PixelBox
from ibisagent.tools.masks.measure import bounding_box
from ibisagent.tools.segmenters.base import Mask
from ibisagent.tools.segmenters.features import Field
from ibisagent.tools.segmenters.working_grid import GridClick

__all__ = ["SIDE", "SquareView", "find_view"]

SIDE = 128  # pixels of a view
ROOM = 1.5  # a view's side, in sides of what it is to hold
LEAST = 0.12  # a view's side, at least, in longer sides of the picture


class _Overlap(NamedTuple):
    """Where a view and the working grid overlap: in working pixels, and in pixels of the view."""

    work: tuple[slice, slice]
    view: tuple[slice, slice]


class SquareView(NamedTuple):
    """A square of the working grid, in working pixels; it may reach beyond the grid."""

    top: int
    left: int
    side: int

    def scale(self) -> float:
        """Return the pixels of the view in a working pixel."""
        return SIDE / self.side

    def look(self, values: NDArray[Any], work: tuple[int, int]) -> Field:
        """Return a field as the view shows it, (SIDE, SIDE, ...) float32, 0 beyond the picture.

        ``values``: (h, w, ...) float32, uint8 or bool, of the whole picture at any resolution.
        """
        seen = np.zeros((SIDE, SIDE, *values.shape[2:]), np.float32)
        overlap = self._overlap(work)
        if overlap is None:
            return seen
        down, across = (size / whole for size, whole in zip(values.shape, work, strict=False))
        rows, columns = overlap.work
        box = (columns.start * across, rows.start * down, columns.stop * across, rows.stop * down)
        size = tuple(part.stop - part.start for part in reversed(overlap.view))
        plain = values.astype(np.float32) if values.dtype == np.bool_ else values
        seen[overlap.view] = np.asarray(Image.fromarray(plain).resize(size, Image.Resampling.BILINEAR, box))
        return seen

    def put_back(self, seen: Field, onto: Field) -> Field:
        """Return the working field ``onto``, (h, w), with what the view shows, (SIDE, SIDE), in its place."""
        whole, overlap = onto.copy(), self._overlap(onto.shape)
        if overlap is not None:
            size = tuple(part.stop - part.start for part in reversed(overlap.work))
            part = Image.fromarray(np.ascontiguousarray(seen[overlap.view]))
            whole[overlap.work] = np.asarray(part.resize(size, Image.Resampling.BILINEAR))
        return whole

    def _overlap(self, work: tuple[int, ...]) -> _Overlap | None:
        mine, shown = [], []
        for begin, whole in zip((self.top, self.left), work[:2], strict=True):
            first, last = max(0, begin), min(whole, begin + self.side)
            if first >= last:
                return None
            start = min(SIDE - 1, round((first - begin) * self.scale()))
            mine.append(slice(first, last))
            shown.append(slice(start, min(SIDE, max(start + 1, round((last - begin) * self.scale())))))
        return _Overlap((mine[0], mine[1]), (shown[0], shown[1]))


def find_view(
    work: tuple[int, int], before: Mask | None, clicks: Sequence[GridClick], box: PixelBox | None
) -> SquareView:
    """Return the view for the next mask: the whole picture at first, then what holds mask, clicks and box, with room.

    ``work``: the working grid's shape. ``before``: (h, w), the mask so far.
    """
    longer = max(work)
    held = bounding_box(before) if before is not None else None
    if held is None and box is None:
        return SquareView((work[0] - longer) // 2, (work[1] - longer) // 2, longer)
    corners = [(click.pixel.row, click.pixel.column) for click in clicks]
    for part in (held, box):
        corners += [(part.top, part.left), (part.bottom, part.right)] if part is not None else []
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    side = int(min(max(ROOM * float((high - low).max() + 1), LEAST * longer), longer) + 0.5)
    top, left = ((low + high + 1 - side) / 2).astype(int)
    return SquareView(int(top), int(left), max(1, side))
