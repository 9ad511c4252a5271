"""Stroma for tissue pictures, in amounts of stain: fibres, fat, and nuclei strewn over it and over all else."""

import numpy as np

from ibisagent.training.phantoms.canvas import Field, PhantomCanvas, coverage
from ibisagent.training.phantoms.scatter import Disc, stamp_ellipses

__all__ = ["draw_stroma", "lattice_points", "paint_nuclei"]


def draw_stroma(k: PhantomCanvas, nucleus: float, difficulty: float) -> None:
    """Fill the picture with fibres, spindle nuclei, lymphocytes, clefts and now and then fat."""
    rng, way = k.rng, k.rng.uniform(0, np.pi)
    across = k.Y * np.cos(way) - k.X * np.sin(way)
    waves = np.sin(across * rng.uniform(20, 50) + rng.uniform(2, 6) * k.smooth_field(4)) * rng.uniform(0.2, 0.6)
    fibres = (waves + 0.8 * k.fractal_field(8, 4, 0.7)).astype(np.float32)
    blue, pink = 0.04 + 0.25 * difficulty * rng.random(), rng.uniform(0.3, 0.6)
    k.image[..., 0] = blue + 0.03 * fibres
    k.image[..., 1] = pink + 0.12 * fibres
    clefts = coverage(fibres + k.smooth_field(5) - rng.uniform(1.6, 3.4), 0.25)
    k.paint(clefts, (0.01, 0.03, 0))
    if rng.random() < 0.18:
        _fat(k)
    whole, crowd = (0, 0, 1.05), coverage(k.smooth_field(4) + rng.uniform(-0.8, 0.8) + difficulty, 0.8) * (1 - clefts)
    paint_nuclei(
        k,
        crowd,
        whole,
        nucleus * rng.uniform(3, 5 - 1.5 * difficulty),
        nucleus,
        slim=0.33,
        way=way,
        dark=rng.uniform(0.6, 1),
    )
    lymph = coverage(k.smooth_field(3) - rng.uniform(0.6, 2.2) + 0.7 * difficulty, 0.4) * (1 - clefts)
    if lymph.any():
        paint_nuclei(k, lymph, whole, nucleus * 2.6, nucleus * 0.7)


def _fat(k: PhantomCanvas) -> None:
    """Clear round fat cells out of a part of the picture."""
    rng, step = k.rng, k.rng.uniform(0.14, 0.24)
    x, y = lattice_points(k, (0, 0, 1.1), step, 0.12)
    cells = stamp_ellipses(k.size, (x, y), step * 0.5, step * 0.46, rng.uniform(0, 3, x.size))
    k.paint(cells * coverage(k.smooth_field(3) - rng.uniform(0, 0.8), 0.15), (0.01, 0.02, 0))


def lattice_points(k: PhantomCanvas, disc: Disc, step: float, jitter: float) -> tuple[Field, Field]:
    """Return x and y of points about ``step`` apart in the square around a disc, each second row offset by half."""
    cx, cy, reach = disc
    axis = np.arange(-reach, reach + step, step, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    x[::2] += step / 2
    dx, dy = k.rng.normal(0, jitter * step, (2, x.size)).astype(np.float32)
    return cx + x.ravel() + dx, cy + y.ravel() + dy


def paint_nuclei(
    k: PhantomCanvas,
    where: Field,
    disc: Disc,
    step: float,
    nucleus: float,
    *,
    slim: float = 0.8,
    way: float | None = None,
    dark: float = 1.0,
    brown: float = 0.0,
) -> None:
    """Paint nuclei ``step`` apart within a coverage and about a disc, ``slim`` along an angle or to its middle."""
    rng = k.rng
    x, y = lattice_points(k, disc, step, 0.25)
    lie = np.arctan2(y - disc[1], x - disc[0]) if way is None else way
    angle = lie + rng.normal(0, 0.3, x.size)
    r = nucleus * np.exp(rng.normal(0, 0.15, x.size)) / np.sqrt(slim)
    thin = r * slim * rng.uniform(0.8, 1.1, x.size)
    shown = stamp_ellipses(k.size, (x, y), r, thin, angle, rng.uniform(0.5, 1, x.size), 1.2)
    k.paint(shown * where, (dark, 0.35, brown))
