"""Many small things at once: discs, ellipses and strokes stamped on a picture."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ibisagent.training.phantoms.canvas import Field

__all__ = ["Disc", "pixel_grid", "stamp_ellipses", "stamp_strokes", "weight_channels"]


Disc = tuple[float, float, float]
"""x, y and radius."""

Points = Sequence[ArrayLike] | NDArray[np.floating]


@lru_cache(maxsize=8)
def pixel_grid(size: int) -> tuple[Field, Field]:
    """Return x (to the right) and y (down) of every pixel, (size, size) each, in [-1, 1], undeformed; read-only."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    return x, y


def weight_channels(field: NDArray[np.floating], colour: ArrayLike) -> Field:
    """Spread an (H, W) field over the three channels, each times its number of ``colour``: (H, W, 3)."""
    return np.asarray(field[..., None] * np.asarray(colour, np.float32), np.float32)


def stamp_ellipses(
    size: int,
    at: Points,
    rx: ArrayLike,
    ry: ArrayLike | None = None,
    angle: ArrayLike = 0.0,
    strength: ArrayLike = 1.0,
    softness: float = 1.0,
) -> Field:
    """Return the largest ``strength`` times coverage of N ellipses, (size, size); 0 where there is none.

    ``at``: their x and their y in undeformed [-1, 1]; each argument is a number or N of them. ``softness`` in pixels of
    a 256-pixel picture.
    """
    parts = np.broadcast_arrays(*(np.ravel(part) for part in (*at, rx, rx if ry is None else ry, angle, strength)))
    across, down, wide, tall, turn, power = np.stack(parts).astype(np.float32)
    soft = max(softness * size / 256, 0.5)
    half = int(np.ceil(max(wide.max(initial=0), tall.max(initial=0)) * size / 2 + soft)) + 1
    near = np.maximum(np.abs(across), np.abs(down)) < 1 + 2 * half / size
    across, down, wide, tall, turn, power = (part[near] for part in (across, down, wide, tall, turn, power))
    column, row = (across + 1) * (size / 2) - 0.5, (down + 1) * (size / 2) - 0.5
    left, top = np.rint(column).astype(np.int64) - half, np.rint(row).astype(np.int64) - half
    offset = np.arange(2 * half + 1)
    dx, dy = ((left - column)[:, None] + offset).astype(np.float32), ((top - row)[:, None] + offset).astype(np.float32)
    c, s, a, b = np.cos(turn), np.sin(turn), (2 / size / wide) ** 2, (2 / size / tall) ** 2
    covered = dy[:, :, None] * (2 * c * s * (a - b))[:, None, None] * dx[:, None, :]
    covered += (dx**2 * (a * c * c + b * s * s)[:, None])[:, None, :]
    covered += (dy**2 * (a * s * s + b * c * c)[:, None])[:, :, None]
    np.sqrt(np.maximum(covered, 0, out=covered), out=covered)
    slope = np.minimum(wide, tall) * np.float32(size / 4 / soft)
    covered *= -slope[:, None, None]
    covered += (slope + np.float32(0.5))[:, None, None]
    np.clip(covered, 0, 1, out=covered)
    covered *= power[:, None, None]
    edge = 3 * half + 1
    row_length = size + 2 * edge
    out = np.zeros((row_length, row_length), np.float32)
    spot = ((top + edge)[:, None] + offset)[:, :, None] * row_length + ((left + edge)[:, None] + offset)[:, None, :]
    np.maximum.at(out.reshape(-1), spot.reshape(-1), covered.reshape(-1))
    return out[edge : edge + size, edge : edge + size]


def stamp_strokes(size: int, at: Points, radius: ArrayLike, softness: float = 0.8) -> Field:
    """Return the coverage of strokes: x and y of ``at`` are (strokes, points); ``radius`` fits them or is a number."""
    x, y = np.broadcast_arrays(*at)
    return stamp_ellipses(size, (x, y), np.broadcast_to(radius, x.shape), softness=softness)
