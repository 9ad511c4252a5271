"""What each pixel looks like, at several scales: numbers that an example's classifier is fitted on."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.tools.segmenters.features import (
    Features,
    Field,
    WorkingGrid,
    measure_gradient,
    normalize_channels,
    split_channels,
)
from ibisagent.tools.segmenters.similar.settings import SimilarSettings

__all__ = ["Appearance", "extract_appearance"]

_BLURS = (0.7, 1.5, 3.0)
_SCALES = (1.0, 2.0, 4.0)
_SPREADS = (2.0, 5.0)
_BACKGROUND = 24  # the picture's longer side over this is the width of what counts as background


class Appearance(NamedTuple):
    """``numbers`` (h * w, d) float32, each of mean 0 and spread 1 over the picture.

    ``features``: colours and gradient on the same grid, (h, w), for geodesic maps. ``weights``: of pairs of neighbours
    side by side (h, w - 1) and one above the other (h - 1, w), cheap to cut where colours differ.
    """

    grid: WorkingGrid
    numbers: Field
    features: Features
    weights: tuple[Field, Field]


def extract_appearance(embedding: Features, settings: SimilarSettings) -> Appearance:
    """Measure the picture that an embedding holds."""
    assert embedding.picture is not None
    grid = WorkingGrid(embedding.grid.full, embedding.picture.shape[:2])
    channels = normalize_channels(split_channels(embedding.picture))
    numbers = np.stack([values.ravel() for values in _measure(channels)], axis=1)
    numbers -= numbers.mean(axis=0)
    numbers /= numbers.std(axis=0) + 1e-3
    colours = np.stack([_blur(channel, 0.7) for channel in np.moveaxis(channels, 2, 0)], axis=2)
    features = replace(embedding, grid=grid, colours=colours, gradient=measure_gradient(channels))
    return Appearance(grid, numbers, features, _weigh_pairs(channels, colours, settings))


def _measure(channels: Field) -> list[Field]:
    """Return fields (h, w): blurred channels, what stands out of the background, ridges and blobs, edges, texture."""
    light, *hues = np.moveaxis(channels, 2, 0)
    wide = max(light.shape) / _BACKGROUND
    background, near = _blur(light, wide), _blur(light, 1.0)
    spread = np.sqrt(np.maximum(_blur(light * light, wide) - background**2, 0) + 0.03**2)
    found = [_blur(channel, sigma) for channel in (light, *hues) for sigma in _BLURS]
    found += [near - background, 0.3 * (near - background) / spread]
    found += [_blur(hue, 1.0) - _blur(hue, wide) for hue in hues]
    for sigma in _SCALES:
        found += _curvatures(_blur(light, sigma), sigma)
    for sigma in _SPREADS:
        found.append(np.sqrt(np.maximum(_blur(light * light, sigma) - _blur(light, sigma) ** 2, 0)))
    return found


def _curvatures(smooth: Field, sigma: float) -> list[Field]:
    """Return both eigenvalues of the Hessian and the gradient's length, of a field blurred by ``sigma``."""
    if min(smooth.shape) < 2:
        return [np.zeros_like(smooth)] * 3
    down, right = np.gradient(smooth)
    down_down, down_right = np.gradient(down)
    right_right = np.gradient(right, axis=1)
    mean = (down_down + right_right) * (sigma * sigma / 2)
    half = np.sqrt((down_down - right_right) ** 2 + 4 * down_right**2) * (sigma * sigma / 2)
    return [mean + half, mean - half, np.hypot(down, right) * sigma]


def _blur(values: NDArray[np.float32], sigma: float) -> Field:
    return np.asarray(ndimage.gaussian_filter(values, sigma, truncate=3.0), np.float32)


def _weigh_pairs(channels: Field, colours: Field, settings: SimilarSettings) -> tuple[Field, Field]:
    """Weigh pairs as the cut of Boykov and Jolly (2001) does."""
    noise = [(np.diff(channels, axis=axis) ** 2).sum(axis=2) for axis in (0, 1)]
    scale = 2 * max(sum(float(part.mean()) for part in noise if part.size), 1e-5)
    right, down = ((np.diff(colours, axis=axis) ** 2).sum(axis=2) for axis in (1, 0))
    return (
        settings.smoothness * (np.exp(-right / scale) + settings.floor),
        settings.smoothness * (np.exp(-down / scale) + settings.floor),
    )
