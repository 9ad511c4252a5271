"""A second cut in a narrow band around a mask's contour, at the displayed size.

The first cut runs on a coarse grid, which leaves steps and straight walls in the contour. Here each
pixel near the contour is compared with the mean colours on both sides of it nearby, and 8-neighbours hold it together.
The number of components and of holes stays as it is, and thin parts stay whole.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.tools.segmenters.base import Mask, Pixels
from ibisagent.tools.segmenters.features import Field, square_distance
from ibisagent.tools.segmenters.maxflow import LENGTHS, STEPS, min_cut_of_pairs, pair_slices
from ibisagent.tools.segmenters.working_grid import GridClick

__all__ = ["count_parts", "refine_contour"]

WIDTH = 1.5  # the band's half-width in working pixels
LARGEST_SHARE = 0.3  # of the mask's radius that the half-width may be
THIN = 3  # parts narrower than this, in working pixels, stay as they are
WINDOW = 9  # side of the window over which colours are averaged, in working pixels
NOISE = 0.015  # standard deviation of colours below which they count as even
MAX_COLOUR = 4.0  # the most that colours say about a pixel, in log odds
STAY = 2.0  # log odds of staying on its side for a pixel at the band's edge
CERTAIN = 60.0  # the energy of a clicked pixel
SMOOTHNESS, FLOOR = 1.0, 0.3  # pair weights: on even colours, and added everywhere
EVERY_WAY = np.ones((3, 3), np.bool_)


def refine_contour(picture: Pixels, mask: Mask, scale: float, clicks: Sequence[GridClick], free: Mask | None) -> Mask:
    """Return the mask, (h, w) bool, with its contour moved onto the picture's edges within a narrow band.

    ``picture``: (h, w, c) uint8, slightly blurred. ``scale``: its pixels in a working pixel, 1 or more. ``clicks``: on
    the picture's grid. ``free``: (h, w), the pixels that may change; None is all.
    """
    if not mask.any() or mask.all():
        return mask
    radius = float(np.sqrt(mask.sum() / np.pi))
    half = int(min(max(1.5, WIDTH * scale), max(1.5, LARGEST_SHARE * radius)) + 0.5)
    part = _find_part(mask, half + round(WINDOW * scale))
    inside = mask[part]
    blurred = ndimage.uniform_filter(inside.astype(np.float32), 2 * half + 1, mode="nearest")
    nearness = np.asarray(2 * blurred - 1, np.float32)
    band = (np.abs(nearness) < 1 - 1e-4) & ~_find_thin_parts(inside, scale)
    if free is not None:
        band &= free[part]
    if not band.any():
        return mask
    values = np.asarray(picture[part] / np.float32(255), np.float32)
    unary = _compare_with_sides(values, inside, band, max(1, round(scale)))
    unary += np.float32(STAY) * np.where(inside, np.maximum(nearness, 0), np.minimum(nearness, 0))[band]
    numbers = np.full(inside.shape, -1, np.intp)
    numbers[band] = np.arange(unary.size)
    for pixel, positive in clicks:
        row, column = pixel.row - part[0].start, pixel.column - part[1].start
        touched = numbers[max(0, row - 1) : max(0, row + 2), max(0, column - 1) : max(0, column + 2)]
        unary[touched[touched >= 0]] = CERTAIN if positive else -CERTAIN
    after = inside.copy()
    after[band] = _cut(values, inside, numbers, unary)
    refined = mask.copy()
    refined[part] = _keep_topology(inside, after)
    return refined


def count_parts(mask: Mask) -> tuple[int, int]:
    """Count the components of a mask, joined every way, and those of what is outside it, joined by sides alone."""
    return int(ndimage.label(mask, EVERY_WAY)[1]), int(ndimage.label(~mask)[1])


def _find_part(mask: Mask, margin: int) -> tuple[slice, slice]:
    """The mask's bounding box with a margin."""
    spans = []
    for axis in (1, 0):
        found = np.flatnonzero(mask.any(axis=axis))
        spans.append(slice(max(0, int(found[0]) - margin), int(found[-1]) + 1 + margin))
    return spans[0], spans[1]


def _find_thin_parts(inside: Mask, scale: float) -> Mask:
    """Parts of the mask and gaps in it that are narrower than `THIN`, (h, w), with what lies beside them."""
    size = max(THIN, round(THIN * scale))
    filled = ndimage.minimum_filter(inside, size, mode="nearest")
    opened = ndimage.maximum_filter(filled, size, mode="nearest", origin=_even(size))
    closed = ndimage.minimum_filter(
        ndimage.maximum_filter(inside, size, mode="nearest"), size, mode="nearest", origin=_even(size)
    )
    thin = (inside & ~opened) | (closed & ~inside)
    # corners and roughness are left over as well: a thin part is longer than it is wide
    labels, count = ndimage.label(thin, EVERY_WAY)
    if count == 0:
        return thin
    long = np.bincount(labels.ravel()) >= size * size
    long[0] = False
    return np.asarray(ndimage.maximum_filter(long[labels], 3))


def _even(size: int) -> int:
    """The shift of the second filter of an even size that undoes the first one's."""
    return -1 if size % 2 == 0 else 0


def _compare_with_sides(values: Field, inside: Mask, band: Mask, factor: int) -> Field:
    """Log odds, (n,), that each pixel of the band has the colours of the inside nearby and not those of the outside.

    Means and variances are taken on a grid that is ``factor`` times coarser.
    """
    coarse = _shrink_by(values, factor)
    share = _shrink_by(inside[..., None].astype(np.float32), factor)[..., 0]
    window = (WINDOW, WINDOW)
    blurred = ndimage.uniform_filter(share, 11, mode="nearest")
    near = ((blurred > 1e-4) & (blurred < 1 - 1e-4)).astype(np.float32)
    weights = np.stack([share * near, (1 - share) * near])
    total = _mean(weights, window) + 1e-6
    rows, columns = np.nonzero(band)
    places = ((rows + 0.5) / factor - 0.5, (columns + 0.5) / factor - 0.5)

    def at_band(field: Field) -> Field:
        return np.asarray(ndimage.map_coordinates(field, places, order=1, mode="nearest"))

    evidence = np.zeros(int(band.sum()), np.float32)
    variance = np.full_like(evidence, NOISE**2)
    for channel in range(values.shape[2]):
        colour = coarse[..., channel]
        means = _mean(weights * colour, window) / total
        squares = _mean(weights * colour**2, window)
        within = (squares - total * means**2).sum(axis=0) / total.sum(axis=0)
        own, (mean_inside, mean_outside) = values[..., channel][band], means
        evidence += (own - at_band(mean_outside)) ** 2 - (own - at_band(mean_inside)) ** 2
        variance += at_band(np.maximum(within, 0))
    return np.asarray(np.clip(evidence / (2 * variance), -MAX_COLOUR, MAX_COLOUR), np.float32)


def _mean(fields: Field, window: tuple[int, int]) -> Field:
    return np.stack([ndimage.uniform_filter(field, window, mode="constant") for field in fields])


def _shrink_by(values: Field, factor: int) -> Field:
    """Means of blocks of ``factor`` x ``factor`` pixels, the last ones filled up with their edges."""
    if factor == 1:
        return values
    height, width, channels = values.shape
    padded = np.pad(values, ((0, -height % factor), (0, -width % factor), (0, 0)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor, channels)
    return np.asarray(blocks.mean(axis=(1, 3)))


def _cut(values: Field, inside: Mask, numbers: NDArray[np.intp], unary: Field) -> Mask:
    """Cut the band, whose pixels have numbers from 0 in ``numbers`` (-1 elsewhere): x, (n,) bool."""
    squares = [square_distance(values[there], values[here]) for here, there in itertools.starmap(pair_slices, STEPS)]
    scale = 2 * max(float(np.sum([part.mean() for part in squares[:2] if part.size])), 1e-5)
    unary = unary.astype(np.float64)
    ones, others, weights = [], [], []
    for (down, across), length, square in zip(STEPS, LENGTHS, squares, strict=True):
        here, there = pair_slices(down, across)
        one, other = numbers[here], numbers[there]
        rows, columns = np.nonzero((one >= 0) | (other >= 0))
        contrast = square[rows, columns] / (scale * (down**2 + across**2))
        weight = length * (SMOOTHNESS * np.exp(-contrast) + FLOOR)
        one, other = one[rows, columns], other[rows, columns]
        both = (one >= 0) & (other >= 0)
        ones.append(one[both])
        others.append(other[both])
        weights.append(weight[both])
        for free, fixed, side in ((one, other, inside[there]), (other, one, inside[here])):
            bound = fixed < 0
            pull = np.where(side[rows, columns][bound], weight[bound], -weight[bound])
            unary += np.bincount(free[bound], pull, minlength=unary.size)
    return min_cut_of_pairs(unary, (np.concatenate(ones), np.concatenate(others)), np.concatenate(weights))


def _keep_topology(before: Mask, after: Mask) -> Mask:
    """Undo what changes the number of components or holes; all of it if that is not enough."""
    wanted = count_parts(before)
    if count_parts(after) == wanted:
        return after
    labels, _ = ndimage.label(before != after, EVERY_WAY)
    kept = after.copy()
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        window = slice(max(0, rows.start - 1), rows.stop + 1), slice(max(0, columns.start - 1), columns.stop + 1)
        change = labels[window] == number
        if count_parts(before[window]) != count_parts(before[window] ^ change):
            kept[window][change] = before[window][change]
    return kept if count_parts(kept) == wanted else before
