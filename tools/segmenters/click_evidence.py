"""From clicks to evidence: geodesic maps and the level where each click's object ends.

Geodesic distance as evidence for clicks follows Criminisi, Sharp and Blake (GeoS, 2008).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.graph import MCP_Geometric

from ibisagent.tools.clicks import Pixel
from ibisagent.tools.segmenters.base import Mask
from ibisagent.tools.segmenters.contour_levels import Ranking, rank_levels
from ibisagent.tools.segmenters.features import Features, Field, square_distance
from ibisagent.tools.segmenters.parameters import Parameters
from ibisagent.tools.segmenters.working_grid import GridClick

__all__ = [
    "Evidence",
    "Reach",
    "choose_safest",
    "compute_geodesic_map",
    "draw_seeds",
    "gather_evidence",
    "limit_edit",
    "measure_correction",
    "measure_reach",
]

FAR = np.float32(9.0)  # a normalised distance that stands for "no such click"
INITIAL_MASK_DISTANCES = (np.float32(0.45), np.float32(3.0))  # that of a pixel inside and outside an initial mask
SEED_RADIUS = 2.0  # radius of the disc that a click settles, in working pixels


class Evidence(NamedTuple):
    """``inside`` and ``outside``: (h, w) distances to the positive and negative clicks, 1 at the object's end.

    ``latest``: (h, w) the same for the latest click alone, in its own measure.
    """

    inside: Field
    outside: Field
    latest: Field

    @property
    def chance(self) -> Field:
        """Chance of being inside, (h, w), from the two distances alone."""
        rival = np.minimum(self.outside, 1.0) ** 2
        return np.asarray(rival / (rival + self.inside**2 + 1e-9), dtype=np.float32)


def compute_geodesic_map(features: Features, pixel: Pixel, parameters: Parameters) -> Field:
    """Cost of the cheapest path from a pixel to every other, (h, w); edges and other colours make steps dear."""
    row, column, r = pixel.row, pixel.column, 2
    patch = features.colours[max(0, row - r) : row + r + 1, max(0, column - r) : column + r + 1]
    patch = patch.reshape(-1, patch.shape[2])
    spread = max(parameters.tolerance, float(patch.std(axis=0).mean()))
    difference = np.sqrt(square_distance(features.colours, np.median(patch, axis=0)))
    cost = (
        parameters.step
        + parameters.colour_cost * np.maximum(difference - spread, 0.0) ** 1.5
        + parameters.edge_cost * np.maximum(features.gradient - 0.02, 0.0) ** 1.5
    )
    distances, _ = MCP_Geometric(cost.astype(np.float64), fully_connected=True).find_costs([(row, column)])
    return np.asarray(distances, dtype=np.float32)


def measure_correction(click: GridClick, mask: Mask) -> float:
    """Distance from a click to the nearest pixel that the mask already labels as the click wants (0: no correction).

    A correction sits in the middle of what is wrong, so this tells, in working pixels, how much is wrong.
    """
    if mask[click.pixel] == click.positive:
        return 0.0
    rows, columns = np.nonzero(mask == click.positive)
    if rows.size == 0:  # all of the picture is wrong: its border is the contour
        (row, column), (height, width) = click.pixel, mask.shape
        return float(1 + min(row, column, height - 1 - row, width - 1 - column))
    return float(np.sqrt(((rows - click.pixel.row) ** 2 + (columns - click.pixel.column) ** 2).min()))


class Reach(NamedTuple):
    """How far a click reaches into the mask so far.

    ``distance``: (h, w) to the click, in working pixels. ``gap``: see `measure_correction`. ``far``: (h, w) from 0 at
    the click to 1 where it no longer counts.
    """

    distance: Field
    gap: float
    far: Field


def measure_reach(click: GridClick, old: Mask, parameters: Parameters) -> Reach:
    """Measure how far a click reaches into a mask, (h, w): some corrections, no more than a share of the object."""
    rows, columns = np.ogrid[: old.shape[0], : old.shape[1]]
    distance = np.hypot(rows - click.pixel.row, columns - click.pixel.column)
    gap, size = measure_correction(click, old), float(np.sqrt(old.sum()))
    reach = max(parameters.least, min(parameters.near * gap, parameters.local * size, 0.3 * max(old.shape)))
    return Reach(distance, gap, np.clip(distance / reach, 0, 1) ** 1.5)


def _get_map(features: Features, pixel: Pixel, parameters: Parameters) -> Field:
    made: Field = features.memo.get((pixel, parameters), lambda: compute_geodesic_map(features, pixel, parameters))
    return made


def _choose_level(
    features: Features, a_map: Field, click: GridClick, clicks: Sequence[GridClick], area: float, parameters: Parameters
) -> float:
    """Choose the end of a click's object: it should hold the clicks of its own sign and none of the other."""
    key = (click.pixel, parameters, "levels")
    ranking: Ranking = features.memo.get(key, lambda: rank_levels(a_map, features, click.pixel))
    spread = max(
        (_measure_distance(click, other) for other in clicks if click.positive and other.positive), default=0.0
    )
    merits = ranking.merits + ranking.sprawl * max(0.0, 1 - spread / (parameters.wide * max(a_map.shape)))
    for pixel, positive in clicks:
        merit = parameters.agree if positive == click.positive else -parameters.clash
        merits = merits + merit * (ranking.levels > a_map[pixel])
    rivals = [_measure_distance(click, other) for other in clicks if other.positive != click.positive]
    if rivals:
        excess = np.log(ranking.areas / (np.pi * parameters.ample * min(rivals) ** 2 + 1))
        merits = merits - parameters.close * np.maximum(0, excess) ** 2
    if area > 0:
        merits = merits - 3 * np.log(ranking.areas / area) ** 2
    return float(ranking.levels[choose_safest(merits / parameters.doubt, ranking.areas)])


def _measure_distance(click: GridClick, other: GridClick) -> float:
    """Distance of two clicks in working pixels."""
    return float(np.hypot(click.pixel.row - other.pixel.row, click.pixel.column - other.pixel.column))


def choose_safest(merits: NDArray[np.float64], areas: NDArray[np.float64]) -> int:
    """Choose the region with the highest expected IoU when each is the object with the softmax of its merit.

    The regions are nested, so the IoU of two of them is the ratio of their areas.
    """
    chances = np.exp(merits - merits.max())
    ratios = areas[:, None] / areas[None, :]
    return int(np.argmax(np.minimum(ratios, 1 / ratios) @ chances))


def _limit_level(a_map: Field, click: GridClick, old: Mask, parameters: Parameters) -> float:
    """Bound the level of a correction: no further than a share of the mask so far, or than what is seen to be wrong."""
    wrong = np.pi * (parameters.widen * measure_correction(click, old)) ** 2
    share = (max(parameters.reach * float(old.sum()), wrong) + 40) / old.size
    return max(1e-3, float(np.quantile(a_map, min(0.9, share))))


def gather_evidence(
    features: Features, clicks: Sequence[GridClick], old: Mask | None, given: bool, area: float, parameters: Parameters
) -> Evidence:
    """Normalise each click's map by the level where its object ends, and take the nearest click of each sign.

    ``old``: the mask so far, (h, w), which limits the reach of corrections; when ``given`` (an initial mask),
    it counts as a positive click too. ``area``: the object's likely size in working pixels, 0 when unknown.
    """
    maps = [_get_map(features, click.pixel, parameters) for click in clicks]
    levels = [
        _choose_level(features, a_map, click, clicks, area, parameters)
        for click, a_map in zip(clicks, maps, strict=True)
    ]
    if old is not None and old.any():
        for index in range(0 if given else 1, len(clicks)):
            levels[index] = min(levels[index], _limit_level(maps[index], clicks[index], old, parameters))
    outside = np.full(features.grid.work, FAR)
    inside = np.where(old, *INITIAL_MASK_DISTANCES) if given and old is not None else outside
    reaches = [level for level, click in zip(levels, clicks, strict=True) if click.positive]
    for click, a_map, level in zip(clicks, maps, levels, strict=True):
        if click.positive:
            inside = np.minimum(inside, a_map / level)
        else:
            outside = np.minimum(outside, a_map / (level if given else float(np.median(reaches))))
    return Evidence(inside, outside, maps[-1] / levels[-1])


def draw_seeds(clicks: Sequence[GridClick], old: Mask | None, shape: tuple[int, ...]) -> tuple[Mask, Mask]:
    """Discs around the clicks, positive and negative; a clicked pixel itself belongs to its own click.

    The latest disc is no larger than half of what is seen to be wrong; older ones do not overrule the mask since then.
    """
    inside, outside = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for click in clicks:
        latest = click is clicks[-1]
        radius = min(SEED_RADIUS, 0.5 * measure_correction(click, old)) if old is not None and latest else SEED_RADIUS
        disc = (rows - click.pixel.row) ** 2 + (columns - click.pixel.column) ** 2 <= radius * radius
        if old is not None and not latest:
            disc &= old == click.positive
        inside[disc], outside[disc] = click.positive, not click.positive
    for pixel, positive in clicks:
        inside[pixel], outside[pixel] = positive, not positive
    return inside, outside


def limit_edit(
    features: Features, label: Mask, old: Mask, prompts: int, click: GridClick, parameters: Parameters
) -> Mask:
    """Return a label (h, w) that changes no more of the mask so far, in the click's direction, than the click can mean.

    ``prompts``: how many made the mask so far. What is nearest along the click's own map changes; see `Parameters` for
    how much.
    """
    asked = label & ~old if click.positive else old & ~label
    gap, p = measure_correction(click, old) or 1.0, parameters
    most = (p.most_added if click.positive else p.most_removed) * np.pi * (gap + 0.5) ** 2
    if click.positive:
        most = min(most, max(p.outgrow * float(old.sum()), p.least_added * old.size) / max(1, prompts))
    count = int(most) + 9
    if int(asked.sum()) <= count:
        return label
    a_map = _get_map(features, click.pixel, parameters)
    furthest = np.partition(a_map[asked], count - 1)[count - 1]
    kept = asked & (a_map <= furthest)
    kept = ndimage.binary_opening(kept) | (kept & (a_map <= 0.5 * furthest))
    return np.asarray(label ^ (asked & ~kept))
