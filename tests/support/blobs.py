"""A picture of many alike things, as nuclei are."""

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.clicks import Pixel, Similar, pixel_to_click

COUNT = 12
_ROWS, _COLUMNS = (20, 50, 80), (20, 50, 80, 110)


def blobs() -> NDArray[np.bool_]:
    """Return the mask of `COUNT` discs, (96, 128)."""
    y, x = np.mgrid[:96, :128]
    return np.asarray(np.any([(y - r) ** 2 + (x - c) ** 2 < 7**2 for r in _ROWS for c in _COLUMNS], axis=0))


def blob_picture() -> NDArray[np.uint8]:
    """Return bright discs in noise, (96, 128) uint8."""
    mask = blobs()
    noise = np.random.default_rng(0).normal(0, 6, mask.shape)
    return np.clip(60 + 120 * mask + noise, 0, 255).astype(np.uint8)


def example(number: int = 0, positive: bool = True) -> Similar:
    """Return an example on the n-th disc."""
    click = pixel_to_click(Pixel(_ROWS[number // 4], _COLUMNS[number % 4]), (96, 128))
    return Similar(click.x, click.y, positive)
