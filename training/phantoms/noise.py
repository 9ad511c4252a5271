"""Gaussian noise with a fixed number of grains, whatever the picture's size."""

from functools import lru_cache

import numpy as np

from ibisagent.training.phantoms.canvas import Field

__all__ = ["gaussian_noise"]


@lru_cache(maxsize=256)
def _kernel(cells: int, size: int) -> Field:
    """Return the (size, cells) Gaussian weights of pixels over cells: deviation 1 for fine pixels, less if coarse."""
    gap = (np.arange(size) + 0.5)[:, None] / size * cells - (np.arange(cells) + 0.5)
    width = max(0.6, 0.45 * cells / size)
    weights = np.exp(-((gap / width) ** 2) / 2)
    weights *= np.sqrt(2 * np.sqrt(np.pi) * 0.6) / weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)


def gaussian_noise(rng: np.random.Generator, size: int, rows: int, columns: int) -> Field:
    """Draw Gaussian noise, (size, size), of ``rows`` by ``columns`` grains a picture; mean 0, deviation about 1.

    The same ``rng`` state gives the same grains at every size; those finer than a pixel average out.
    """
    cells = rng.standard_normal((rows, columns), np.float32)
    return np.asarray(_kernel(rows, size) @ cells @ _kernel(columns, size).T, np.float32)
