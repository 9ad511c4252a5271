"""Grain of a fixed number of cells whatever the picture's size, and the last look over an artist's masks."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.training.phantoms.canvas import Field

__all__ = ["grain", "missing", "seen"]

Masks = dict[str, NDArray[np.bool_]]

SMALLEST = 0.0012
"""Share of the picture under which a target is too small to be asked for."""


@lru_cache(maxsize=256)
def _kernel(cells: int, size: int) -> Field:
    """Give the (size, cells) Gaussian weights of pixels over cells: deviation 1 for fine pixels, averaged if coarse."""
    gap = (np.arange(size) + 0.5)[:, None] / size * cells - (np.arange(cells) + 0.5)
    width = max(0.6, 0.45 * cells / size)
    weights = np.exp(-((gap / width) ** 2) / 2)
    weights *= np.sqrt(2 * np.sqrt(np.pi) * 0.6) / weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)


def grain(rng: np.random.Generator, size: int, rows: int, columns: int) -> Field:
    """Draw Gaussian noise, (size, size), of ``rows`` by ``columns`` grains a picture; mean 0, deviation about 1.

    The same ``rng`` state gives the same grains at every size; those finer than a pixel average out.
    """
    cells = rng.standard_normal((rows, columns), np.float32)
    return np.asarray(_kernel(rows, size) @ cells @ _kernel(columns, size).T, np.float32)


def seen(masks: Masks, view: NDArray[np.bool_] | None = None) -> Masks:
    """Keep of each mask what lies in ``view``, without crumbs; drop the masks too small to be asked for.

    A crumb is less than a fifth of the largest piece and too small to be asked for by itself.
    """
    kept = {}
    for name, mask in masks.items():
        mask = mask if view is None else mask & view
        pieces, count = ndimage.label(mask)
        if count > 1:
            areas = np.bincount(pieces.ravel())
            areas[0] = 0
            mask = (areas >= min(areas.max() / 5, SMALLEST * mask.size))[pieces]
        if mask.mean() >= SMALLEST:
            kept[name] = mask
    return kept


def missing(asked: tuple[str, ...], masks: Masks, view: NDArray[np.bool_] | None = None) -> tuple[str, ...]:
    """Give the names of which nothing at all lies in ``view``; of one too small to be asked for something does."""
    return tuple(
        name for name in asked if name not in masks or not (masks[name] if view is None else masks[name] & view).any()
    )
