"""The pixels that an example stands for: its object and what surrounds it, or a few pixels around a correction."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.tools.clicks import Pixel
from ibisagent.tools.segmenters.base import Mask
from ibisagent.tools.segmenters.click_evidence import choose_safest, compute_geodesic_map
from ibisagent.tools.segmenters.contour_levels import rank_levels
from ibisagent.tools.segmenters.features import Field, WorkingGrid
from ibisagent.tools.segmenters.parameters import Parameters
from ibisagent.tools.segmenters.similar.appearance import Appearance
from ibisagent.tools.segmenters.similar.settings import SimilarSettings

__all__ = ["ExampleMap", "LabelledPixels", "map_example", "sample_correction", "sample_object"]

_PARAMETERS = Parameters()

Indices = NDArray[np.intp]


class ExampleMap(NamedTuple):
    """The geodesic map around an example: ``distances`` in the window that begins at ``corner``; 1 at its end.

    ``area``: of the example's object, in working pixels.
    """

    corner: Pixel
    distances: Field
    area: float

    def place(self, inside: Mask, shape: tuple[int, int]) -> Mask:
        """Put a mask of the window into the picture, (h, w)."""
        whole = np.zeros(shape, np.bool_)
        rows, columns = inside.shape
        whole[self.corner.row : self.corner.row + rows, self.corner.column : self.corner.column + columns] = inside
        return whole


class LabelledPixels(NamedTuple):
    """Pixels of one label, as indices into the flattened picture; ``doubtful``: taken for its surroundings."""

    indices: Indices
    positive: bool
    doubtful: bool = False


def map_example(appearance: Appearance, pixel: Pixel, settings: SimilarSettings) -> ExampleMap:
    """Map the object of an example in the window around it."""
    (height, width), half = appearance.grid.work, settings.window // 2
    top, left = max(0, pixel.row - half), max(0, pixel.column - half)
    window = np.s_[top : min(height, pixel.row + half + 1), left : min(width, pixel.column + half + 1)]
    whole = appearance.features
    colours, gradient = whole.colours[window], whole.gradient[window]
    size = gradient.shape
    part = replace(whole, grid=WorkingGrid(size, size), colours=colours, gradient=gradient)
    inner = Pixel(pixel.row - top, pixel.column - left)
    distances = compute_geodesic_map(part, inner, _PARAMETERS)
    ranking = rank_levels(distances, part, inner)
    best = choose_safest((ranking.merits + ranking.sprawl) / _PARAMETERS.doubt, ranking.areas)
    return ExampleMap(Pixel(top, left), distances / np.float32(ranking.levels[best]), float(ranking.areas[best]))


def sample_object(found: ExampleMap, shape: tuple[int, int], settings: SimilarSettings) -> list[LabelledPixels]:
    """Return the pixels of the example's object, and those around it."""
    core = found.distances <= settings.core
    most = int(settings.largest * core.size)
    if core.sum() > most:
        core = found.distances <= np.partition(found.distances, most, axis=None)[most]
    away = ndimage.distance_transform_edt(~core)
    width = max(4.0, settings.ring * float(np.sqrt(found.area / np.pi)))
    ring = (found.distances > settings.beyond) & (away >= 1.5) & (away <= width)
    inside, around = (np.flatnonzero(found.place(part, shape)) for part in (core, ring))
    return [LabelledPixels(inside, True), LabelledPixels(around, False, doubtful=True)]


def sample_correction(
    found: ExampleMap, pixel: Pixel, positive: bool, shape: tuple[int, int], reach: float, settings: SimilarSettings
) -> LabelledPixels:
    """Return the pixels that a correcting example speaks for: those of its object within ``reach`` of it."""
    rows, columns = np.ogrid[: found.distances.shape[0], : found.distances.shape[1]]
    away = np.hypot(rows + found.corner.row - pixel.row, columns + found.corner.column - pixel.column)
    near = (away <= reach) & (found.distances <= settings.core) | (away < 1)
    return LabelledPixels(np.flatnonzero(found.place(near, shape)), positive)
