"""From clicks to evidence: geodesic maps, the level where each click's object ends, and the unary energy of a pixel.

Geodesic distance as evidence for clicks follows Criminisi, Sharp and Blake (GeoS, 2008); the level of a map is chosen
by how strong an edge its contour lies on, in the spirit of maximally stable regions (Matas et al. 2002).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from skimage.graph import MCP_Geometric

from ibisagent.tools.clicks import Pixel
from ibisagent.tools.segmenters.base import Mask
from ibisagent.tools.segmenters.features import Features, Field
from ibisagent.tools.segmenters.levels import rank_levels

__all__ = ["Evidence", "Mark", "Parameters", "gather", "geodesic_map"]

FAR = 9.0  # a normalised distance that stands for "no such click"


class Mark(NamedTuple):
    """A click on the working grid."""

    pixel: Pixel
    positive: bool


@dataclass(frozen=True, slots=True)
class Parameters:
    """What tunes the embedded segmenters; lengths are in working pixels, colours in units of the grey range."""

    side: int = 256
    step: float = 0.02
    colour_cost: float = 8.0
    edge_cost: float = 6.0
    tolerance: float = 0.04
    reach: float = 0.35
    weight_colour: float = 0.5
    weight_old: float = 2.4
    fade: float = 0.6
    local: float = 0.5
    late: int = 2
    trust: float = 0.25
    grow: float = 1.0
    close: float = 5.0
    ample: float = 0.3
    along: float = 0.6
    small_seeds: bool = True
    widen: float = 2.0
    agree: float = 0.5
    clash: float = 5.0
    early: float = 0.22
    near: float = 3.0
    least: float = 6.0
    disc: float = 0.8
    weight_disc: float = 3.0
    smoothness: float = 6.0
    floor: float = 0.1


class Evidence(NamedTuple):
    """``inside`` and ``outside``: (h, w) distances to the positive and negative clicks, 1 at the object's end.

    ``latest``: (h, w) the same for the latest click alone, in its own measure.
    """

    inside: Field
    outside: Field
    latest: Field

    @property
    def probability(self) -> Field:
        """Chance of being inside from the two distances alone."""
        rival = np.minimum(self.outside, 1.0) ** 2
        return np.asarray(rival / (rival + self.inside**2 + 1e-9), dtype=np.float32)


def geodesic_map(features: Features, pixel: Pixel, parameters: Parameters) -> Field:
    """Cost of the cheapest path from a pixel to every other, (h, w): steps cost more across edges and in other colours."""
    row, column, r = pixel.row, pixel.column, 2
    patch = features.colours[max(0, row - r) : row + r + 1, max(0, column - r) : column + r + 1]
    patch = patch.reshape(-1, patch.shape[2])
    spread = max(parameters.tolerance, float(patch.std(axis=0).mean()))
    difference = np.sqrt(((features.colours - np.median(patch, axis=0)) ** 2).sum(axis=2))
    cost = (
        parameters.step
        + parameters.colour_cost * np.maximum(difference - spread, 0.0) ** 1.5
        + parameters.edge_cost * np.maximum(features.gradient - 0.02, 0.0) ** 1.5
    )
    distances, _ = MCP_Geometric(cost.astype(np.float64), fully_connected=True).find_costs([(row, column)])
    return np.asarray(distances, dtype=np.float32)


def correction(mark: Mark, mask: Mask) -> float:
    """Distance from a click to the nearest pixel that the mask already labels as the click wants (0: no correction).

    A correction sits in the middle of what is wrong, so this tells, in working pixels, how much is wrong.
    """
    if mask[mark.pixel] == mark.positive:
        return 0.0
    rows, columns = np.nonzero(mask == mark.positive)
    if rows.size == 0:
        return float(max(mask.shape))
    return float(np.sqrt(((rows - mark.pixel.row) ** 2 + (columns - mark.pixel.column) ** 2).min()))


def _map(features: Features, pixel: Pixel, parameters: Parameters) -> Field:
    made = features.memo.get(pixel, lambda: geodesic_map(features, pixel, parameters))
    return np.asarray(made, dtype=np.float32)


def _level(
    features: Features, a_map: Field, mark: Mark, marks: Sequence[Mark], area: float, parameters: Parameters
) -> float:
    """Choose the end of a click's object: it should hold the clicks of its own sign and none of the other.

    ``area``: the object's likely size in working pixels, 0 when nothing is known.
    """
    levels, merits = features.memo.get((mark.pixel, "levels"), lambda: rank_levels(a_map, features, mark.pixel))
    nearest = np.inf
    for pixel, positive in marks:
        holds = levels > a_map[pixel]
        merits = merits + (parameters.agree if positive == mark.positive else -parameters.clash) * holds
        if positive != mark.positive:
            gap = np.hypot(pixel.row - mark.pixel.row, pixel.column - mark.pixel.column)
            nearest = min(nearest, float(gap))
    if np.isfinite(nearest) and parameters.close > 0:
        areas = np.searchsorted(np.sort(a_map, axis=None), levels) + 1.0
        merits = (
            merits - parameters.close * np.maximum(0, np.log(areas / (np.pi * parameters.ample * nearest**2 + 1))) ** 2
        )
    if area > 0:
        areas = np.searchsorted(np.sort(a_map, axis=None), levels) + 1.0
        merits = merits - 3 * np.log(areas / area) ** 2
    return float(levels[np.argmax(merits)])


def _limit(a_map: Field, mark: Mark, old: Mask, parameters: Parameters) -> float:
    """Bound the level of a correction: no further than a share of the mask so far, or than what is seen to be wrong."""
    wrong = np.pi * (parameters.widen * correction(mark, old)) ** 2
    share = (max(parameters.reach * float(old.sum()), wrong) + 40) / old.size
    return max(1e-3, float(np.quantile(a_map, min(0.9, share))))


def gather(
    features: Features, marks: Sequence[Mark], old: Mask | None, given: bool, area: float, parameters: Parameters
) -> Evidence:
    """Normalise each click's map by the level where its object ends, and take the nearest click of each sign.

    ``old``: the mask so far, (h, w), which limits the reach of corrections; when ``given`` (somebody's initial mask),
    it counts as a positive click too. ``area``: the object's likely size in working pixels, 0 when unknown.
    """
    maps = [_map(features, mark.pixel, parameters) for mark in marks]
    levels = [_level(features, a_map, mark, marks, area, parameters) for mark, a_map in zip(marks, maps, strict=True)]
    if old is not None and old.any():
        for index in range(0 if given else 1, len(marks)):
            levels[index] = min(levels[index], _limit(maps[index], marks[index], old, parameters))
    shape = features.grid.work
    inside = np.full(shape, FAR, np.float32)
    if given and old is not None:
        inside = np.where(old, np.float32(0.45), np.float32(3.0))
    outside = np.full(shape, FAR, np.float32)
    positive_levels = [level for level, mark in zip(levels, marks, strict=True) if mark.positive]
    typical = float(np.median(positive_levels)) if positive_levels else None
    for mark, a_map, level in zip(marks, maps, levels, strict=True):
        if mark.positive:
            inside = np.minimum(inside, a_map / level)
        else:
            outside = np.minimum(outside, a_map / (level if typical is None or given else typical))
    latest = maps[-1] / levels[-1] if marks else np.full(shape, FAR, np.float32)
    return Evidence(inside.astype(np.float32), outside.astype(np.float32), latest)


def seeds(marks: Sequence[Mark], old: Mask | None, shape: tuple[int, int], p: Parameters) -> tuple[Mask, Mask]:
    """Discs around the clicks, positive and negative; a clicked pixel itself belongs to its own click.

    The latest disc is no larger than half of what is seen to be wrong; older ones do not overrule the mask since then.
    """
    inside, outside = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for full in (True, False):
        for index, ((row, column), positive) in enumerate(marks):
            radius = 2.0 if full else 0.0
            if p.small_seeds and full and old is not None and index == len(marks) - 1:
                radius = min(2.0, 0.5 * correction(marks[index], old))
            disc = (rows - row) ** 2 + (columns - column) ** 2 <= radius * radius
            if p.small_seeds and full and old is not None and index < len(marks) - 1:
                disc &= old == positive
            inside[disc], outside[disc] = positive, not positive
    return inside, outside
