"""Distractor clicks: positive ones just outside a target, or on something else that is bright or dark."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.tools.clicks import Click, Pixel, pixel_to_click
from ibisagent.tools.imaging.grids import Mask

__all__ = ["compute_surrounding_band", "sample_distractor_click", "select_extreme_intensities"]

_BAND_WIDTH = 0.08  # of the picture's longer side
_EXTREME_PERCENT = 15  # percent of the pixels that are bright, and as many dark
_NEAR_TARGET_SHARE = 0.5  # how often a distractor click is beside its target


def compute_surrounding_band(truth: Mask) -> Mask:
    """Return the band just outside a mask, (H, W) bool; empty for an empty one."""
    if not truth.any():
        return np.zeros_like(truth)
    distance = ndimage.distance_transform_edt(~truth)
    return np.asarray((distance > 1) & (distance <= max(3.0, _BAND_WIDTH * max(truth.shape))))


def select_extreme_intensities(picture: NDArray[np.uint8], allowed: Mask, rng: np.random.Generator) -> Mask:
    """Select what is bright, or what is dark, within ``allowed``, (H, W) bool.

    ``picture``: (h, w) or (h, w, 3), of any size.
    """
    grey = picture if picture.ndim == 2 else picture[..., 1]
    rows, columns = (np.arange(size) * shown // size for size, shown in zip(allowed.shape, grey.shape, strict=True))
    grey = grey[np.ix_(rows, columns)]
    low, high = np.percentile(grey, (_EXTREME_PERCENT, 100 - _EXTREME_PERCENT))
    chosen = grey >= high if rng.random() < 0.6 else grey <= low
    return np.asarray(chosen & allowed)


def sample_distractor_click(truth: Mask, picture: NDArray[np.uint8], rng: np.random.Generator) -> Click | None:
    """Draw a positive click where the target is not; None when it is everywhere.

    Half of the clicks fall just outside the target, the others, and all where it is absent, on something bright or
    dark, where there is any. ``truth`` (H, W) bool, ``picture`` as in `select_extreme_intensities`.
    """
    beside = truth.any() and rng.random() < _NEAR_TARGET_SHARE
    region = compute_surrounding_band(truth) if beside else select_extreme_intensities(picture, ~truth, rng)
    places = next(
        (found for each in (region, compute_surrounding_band(truth), ~truth) if (found := np.flatnonzero(each)).size),
        None,
    )
    if places is None:
        return None
    row, column = divmod(int(rng.choice(places)), truth.shape[1])
    return pixel_to_click(Pixel(row, column), truth.shape)
