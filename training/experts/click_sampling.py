"""Samples an expert's clicks: deep in a region, a little at random, on coordinates that a small model can write."""

from collections.abc import Collection
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.clicks import Click, Pixel
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.simulator import compute_depths

__all__ = ["sample_click", "sample_error_click"]


def sample_error_click(
    mask: Mask, truth: Mask, used_pixels: Collection[Pixel], depth: float, snap: float | None, rng: np.random.Generator
) -> Click | None:
    """Click on the larger error of ``mask`` against ``truth``, (H, W) bool; None when no pixel of one is left.

    The error with the deeper pixel decides, a tie for the false negative; the pixel is drawn from those at
    least the share ``depth`` as deep, or with 1 the deepest itself. ``used_pixels``, ``snap``: see `sample_click`.
    """
    missed, spilled = _Region(truth & ~mask, used_pixels, snap), _Region(mask & ~truth, used_pixels, snap)
    positive = missed.deepest >= spilled.deepest
    return (missed if positive else spilled).sample(depth, positive, rng)


def sample_click(
    region: Mask,
    used_pixels: Collection[Pixel],
    snap: float | None,
    rng: np.random.Generator,
    *,
    depth: float = 0.0,
    positive: bool = True,
) -> Click | None:
    """Click in ``region`` (H, W), not on one of ``used_pixels``; None when there is none left.

    ``snap``: coordinates are the centres of bins of this width, and their pixel is what lies in the region.
    """
    return _Region(region, used_pixels, snap).sample(depth, positive, rng)


class _Region:
    """The depth of each pixel of a region that can be clicked, 0 elsewhere, on the region's box."""

    def __init__(self, region: Mask, used_pixels: Collection[Pixel], snap: float | None) -> None:
        self._ys, self._xs = (_pixel_coordinates(size, snap) for size in region.shape)
        found = compute_depths(region)
        self._origin, self._depth = found if found is not None else (Pixel(0, 0), np.zeros((1, 1)))
        top, left = self._origin
        height, width = self._depth.shape
        self._depth[np.isnan(self._ys[top : top + height]), :] = 0.0
        self._depth[:, np.isnan(self._xs[left : left + width])] = 0.0
        for row, column in used_pixels:
            if 0 <= row - top < height and 0 <= column - left < width:
                self._depth[row - top, column - left] = 0.0
        self.deepest = float(self._depth.max())

    def sample(self, depth: float, positive: bool, rng: np.random.Generator) -> Click | None:
        if self.deepest <= 0.0:
            return None
        flat = self._depth.ravel()
        if depth >= 1.0:
            chosen = int(flat.argmax())
        else:
            chosen = int(rng.choice(np.flatnonzero((flat >= depth * self.deepest) & (flat > 0.0))))
        row, column = divmod(chosen, self._depth.shape[1])
        x, y = self._xs[column + self._origin.column], self._ys[row + self._origin.row]
        return Click(float(x), float(y), positive)


@lru_cache(maxsize=64)
def _pixel_coordinates(size: int, snap: float | None) -> NDArray[np.float64]:
    """Return the coordinate that is written for each of ``size`` pixels in a line, nan where there is none."""
    centres = (np.arange(size) + 0.5) / size
    if snap is None:
        return centres
    bins = np.round((np.arange(round(1 / snap)) + 0.5) * snap, 4)
    bins = bins[np.abs(bins - centres[_pixels(bins, size)]).argsort()[::-1]]  # the last to be written is the nearest
    ticks = np.full(size, np.nan)
    ticks[_pixels(bins, size)] = bins
    return ticks


def _pixels(units: NDArray[np.float64], size: int) -> NDArray[np.intp]:
    return np.minimum((units * size).astype(np.intp), size - 1)
