"""Where a click's object ends: the level of its geodesic map that looks most like an object's contour.

Every level gives a nested candidate region. A fixed linear rule over eight measurements of each region ranks them; its
weights were fitted (softmax over the levels, expected IoU) on synthetic pictures and a few real slices. In the spirit
of maximally stable extremal regions (Matas et al. 2002) and of ranked parametric cuts (Carreira and Sminchisescu 2010).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.clicks import Pixel
from ibisagent.tools.segmenters.features import Features, Field

Floats = NDArray[np.float64]

__all__ = ["CandidateSums", "Ranking", "measure_candidates", "rank_levels"]

# As fitted, but for the two of the area: they hold a log-normal prior around 3 % of the picture as well (-0.38 and
# -0.08 were fitted), which costs nothing where contours are clear and helps most where they are not.
WEIGHTS = np.array([-2.55, -0.39, 1.80, 4.28, -5.0, 1.70, -2.54, -4.0])
SPRAWL = -150.0  # of a region over 30 % of the picture that runs along its border: mostly the body or the background
SMALLEST = 12  # working pixels


class CandidateSums(NamedTuple):
    """Regions of pixels nearer than each of n rising levels, as running sums from the first level outwards.

    ``levels`` (n), ``area`` (n), ``gradient`` (n), ``rows`` and ``columns`` (n) and ``border`` (n): sums over the
    region of 1, the gradient, the coordinates and of being on the picture's border; ``colours`` and ``squares`` (n, c).
    """

    levels: Floats
    area: Floats
    gradient: Floats
    rows: Floats
    columns: Floats
    border: Floats
    colours: Floats
    squares: Floats


def _sum_candidates(distances: Field, features: Features) -> CandidateSums:
    height, width = distances.shape
    shares = np.geomspace(min(1.0, SMALLEST / distances.size), 0.9, 64)
    levels = np.unique(np.quantile(distances, shares)).astype(np.float64)
    bins = np.searchsorted(levels, distances.ravel())

    def running(values: NDArray[np.floating] | None) -> Floats:
        return np.cumsum(np.bincount(bins, values, minlength=levels.size + 1)[: levels.size]).astype(np.float64)

    rows, columns = np.divmod(np.arange(distances.size), width)
    edge = (rows == 0) | (rows == height - 1) | (columns == 0) | (columns == width - 1)
    channels = features.colours.reshape(-1, features.colours.shape[2]).T
    return CandidateSums(
        levels,
        running(None),
        running(features.gradient.ravel()),
        running(rows.astype(np.float64)),
        running(columns.astype(np.float64)),
        running(edge.astype(np.float64)),
        np.stack([running(channel) for channel in channels], axis=1),
        np.stack([running(channel**2) for channel in channels], axis=1),
    )


def measure_candidates(distances: Field, features: Features, pixel: Pixel) -> tuple[Floats, Floats]:
    """Measure each candidate region of a click's map: its level (m) and nine numbers (m, 9); m = 0 on a tiny picture.

    Numbers: log area share and its square; contour gradient relative to the picture's (log); contrast of
    the shell outside against the region, in its own spread; that spread; growth of the level with the area (log-log);
    distance of the centroid from the click in radii; share of the picture's border; how far it sprawls along that.
    """
    b = _sum_candidates(distances, features)
    last = b.levels.size - 1
    at = np.arange(1, last)
    area = b.area[at]

    def reach(factor: float) -> NDArray[np.intp]:
        """Index of the level with the area nearest to ``factor`` times that of each candidate."""
        found = np.searchsorted(b.area, area * factor)
        return np.maximum(np.minimum(found, last), at + 1) if factor > 1.1 else np.minimum(found, last)

    outer, inner = reach(1.35), np.minimum(reach(0.7), at - 1)
    thin_outer, thin_inner = np.maximum(reach(1.07), at), np.minimum(reach(0.93), at - 1)
    ring = (b.gradient[thin_outer] - b.gradient[thin_inner]) / np.maximum(b.area[thin_outer] - b.area[thin_inner], 1)
    mean = b.colours[at] / area[:, None]
    shell = (b.colours[outer] - b.colours[at]) / np.maximum(b.area[outer] - area, 1)[:, None]
    spread = np.sqrt(np.maximum(b.squares[at] / area[:, None] - mean**2, 0).sum(axis=1))
    growth = np.log((b.levels[outer] + 1e-6) / (b.levels[inner] + 1e-6))
    offset = np.hypot(b.rows[at] / area - pixel.row, b.columns[at] / area - pixel.column) / np.sqrt(area / np.pi)
    share = np.log(area / distances.size)
    border = np.clip(b.border[at] / (4 * np.sqrt(area)), 0, 1.5)
    numbers = [
        share,
        share**2,
        np.log(ring / (features.steepness + 1e-3) + 0.05),
        np.sqrt(((shell - mean) ** 2).sum(axis=1)) / (spread + 0.03),
        spread / (features.spread + 0.02),
        growth / np.log(np.maximum(b.area[outer] / np.maximum(b.area[inner], 1), 1.05)),
        np.clip(offset, 0, 2),
        border,
        np.maximum(0, share - np.log(0.3)) * np.minimum(border, 0.2),
    ]
    return (b.levels[at] + b.levels[at + 1]) / 2, np.stack(numbers, axis=1)


class Ranking(NamedTuple):
    """Candidate regions of a click's map (m >= 1): the level where each ends (> 0), its area in working pixels.

    ``merits``: how much each looks like an object; ``sprawl``: what is taken off (<= 0) unless clicks lie far apart.
    """

    levels: Floats
    areas: Floats
    merits: Floats
    sprawl: Floats


def rank_levels(distances: Field, features: Features, pixel: Pixel) -> Ranking:
    """Rank the candidate regions of a geodesic map (h, w); on a tiny picture there is one, the nearer half."""
    levels, numbers = measure_candidates(distances, features, pixel)
    if levels.size == 0:
        levels, numbers = np.array([float(np.quantile(distances, 0.5))]), np.zeros((1, WEIGHTS.size + 1))
    levels = np.maximum(levels, 1e-3)
    areas = (np.searchsorted(np.sort(distances, axis=None), levels) + 1).astype(np.float64)
    return Ranking(levels, areas, numbers[:, :-1] @ WEIGHTS, numbers[:, -1] * SPRAWL)
