"""A canvas to draw phantoms on: smooth random fields, soft shapes on gently deformed coordinates, named masks."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.tools.imaging.grids import Mask

__all__ = ["FAR", "Field", "PhantomCanvas", "blur", "coverage", "fractal_field", "smooth_field", "spline_field"]

Field = NDArray[np.float32]

FAR = -1e3
"""What a level is where it was not evaluated: far outside."""


_SPLINE_VARIANCE = 0.4794
"""Mean of the sum of a spline's squared weights, over a cell: a field's deviation by standard normal coefficients."""


@lru_cache(maxsize=256)
def _spline_matrix(cells: int, size: int) -> Field:
    """Return the (size, cells + 3) matrix that interpolates ``cells`` cubic B-spline control cells."""
    place = np.linspace(0, cells, size, endpoint=False)
    cell = np.floor(place).astype(int)
    t = place - cell
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    matrix = np.zeros((size, cells + 3))
    for k in range(4):
        matrix[np.arange(size), cell + k] += weights[:, k]
    return matrix.astype(np.float32)


def smooth_field(rng: np.random.Generator, size: int, cells: int) -> Field:
    """Draw a smooth random field, (size, size), mean about 0 and deviation 1, with about ``cells`` bumps a side.

    The same ``rng`` state gives the same field at every size.
    """
    matrix = _spline_matrix(cells, size)
    field = matrix @ rng.standard_normal((cells + 3, cells + 3), np.float32) @ matrix.T
    return np.asarray(field / (field.std() + 1e-6), np.float32)


def spline_field(rng: np.random.Generator, size: int, cells: int) -> Field:
    """Draw a field like `smooth_field`, in half its time: its deviation is 1 over many fields, not in each."""
    matrix = _spline_matrix(cells, size)
    coefficients = rng.standard_normal((cells + 3, cells + 3), np.float32) * np.float32(1 / _SPLINE_VARIANCE)
    return np.asarray(matrix @ coefficients @ matrix.T, np.float32)


def fractal_field(rng: np.random.Generator, size: int, cells: int = 4, octaves: int = 4, gain: float = 0.55) -> Field:
    """Sum smooth fields, each of twice the bumps and ``gain`` the height of the one before; deviation 1."""
    total, height = np.zeros((size, size), np.float32), 1.0
    for octave in range(octaves):
        field = smooth_field(rng, size, cells * 2**octave)
        total += np.float32(height) * field
        height *= gain
    return np.asarray(total / (total.std() + 1e-6), np.float32)


def coverage(level: Field, softness: float = 1.0) -> Field:
    """Turn a level (pixels inside the border) into the share of a pixel covered; ``softness`` in pixels."""
    return np.asarray(np.clip(0.5 + level / np.float32(2 * softness), 0, 1), np.float32)


def blur(image: NDArray[np.floating], sigma: float) -> Field:
    """Blur a picture, (H, W) or (H, W, 3), by a Gaussian of ``sigma`` pixels; channels stay apart."""
    sigmas = (sigma, sigma) if image.ndim == 2 else (sigma, sigma, 0)
    return np.asarray(ndimage.gaussian_filter(image, sigmas), np.float32)


class PhantomCanvas:
    """Coordinates X (to the right) and Y (down) in [-1, 1] of a square picture, deformed a little; what is drawn on it.

    ``image``: (size, size) or (size, size, channels) float32 in the generator's unit. ``px``: one pixel of a
    256-pixel picture in pixels of this one, the unit of every softness and blur. ``masks``: of the named targets.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        size: int,
        *,
        channels: int = 1,
        background: float = 0.0,
        warp: float = 0.03,
        turn: float = 0.08,
        shift: float = 0.05,
        scale: float = 0.06,
    ) -> None:
        """Deform: ``warp`` of smooth displacement, and deviations of the turn (radians), the shift and the zoom."""
        self.rng, self.size, self.px = rng, size, size / 256
        axis = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1).astype(np.float32)
        x, y = np.meshgrid(axis, axis)
        angle, zoom = rng.normal(0, turn), float(np.clip(1 + rng.normal(0, scale), 0.6, 1.6))
        dx, dy = rng.normal(0, shift, 2)
        c, s = np.cos(angle) / zoom, np.sin(angle) / zoom
        self.X = np.asarray(x * c - y * s + dx + warp * smooth_field(rng, size, 4), np.float32)
        self.Y = np.asarray(x * s + y * c + dy + warp * smooth_field(rng, size, 4), np.float32)
        shape = (size, size) if channels == 1 else (size, size, channels)
        self.image: Field = np.full(shape, background, np.float32)
        self.masks: dict[str, Mask] = {}

    def set_view(self, zoom: float, x: float = 0.0, y: float = 0.0) -> None:
        """Look at ``zoom`` times the field of view, with (x, y) in the middle; levels stay in pixels of zoom 1."""
        self.X = np.asarray(self.X * np.float32(zoom) + np.float32(x), np.float32)
        self.Y = np.asarray(self.Y * np.float32(zoom) + np.float32(y), np.float32)

    def smooth_field(self, cells: int) -> Field:
        """Draw a smooth random field."""
        return smooth_field(self.rng, self.size, cells)

    def fractal_field(self, cells: int = 4, octaves: int = 4, gain: float = 0.55) -> Field:
        """Draw a fractal random field."""
        return fractal_field(self.rng, self.size, cells, octaves, gain)

    def blob(
        self,
        cx: float,
        cy: float,
        rx: float,
        ry: float,
        angle: float = 0.0,
        wobble: float = 0.06,
        power: float = 2.0,
        waves: int = 7,
    ) -> Field:
        """Return the level of a superellipse with a wobbling outline: about the pixels inside its border, < 0 outside.

        It is evaluated in its own window only; elsewhere it is `FAR`.
        """
        rng = self.rng
        table = None
        if wobble:
            theta = np.linspace(-np.pi, np.pi, 1025, dtype=np.float32)
            table = np.ones_like(theta)
            for k in range(2, waves):
                table += rng.normal(0, wobble / k**0.7) * np.cos(k * theta + rng.uniform(0, 2 * np.pi))
        reach = max(rx, ry) * (1.7 if power < 2 else 1.5) * (1 + 3 * wobble) + 0.12

        def level(x: Field, y: Field) -> Field:
            u = ((x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)) / rx
            v = (-(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)) / ry
            radius = np.hypot(u, v) if power == 2 else (np.abs(u) ** power + np.abs(v) ** power) ** (1 / power)
            border: Field | float = 1.0
            if table is not None:
                border = table[((np.arctan2(v, u) + np.pi) * (1024 / (2 * np.pi))).astype(np.int32).clip(0, 1024)]
            return np.asarray((border - radius) * (min(rx, ry) * self.size / 2), np.float32)

        return self.evaluate_near(cx, cy, reach, level)

    def evaluate_near(self, cx: float, cy: float, reach: float, level: Callable[[Field, Field], Field]) -> Field:
        """Evaluate ``level(X, Y)`` where X and Y lie within ``reach`` of (cx, cy); `FAR` elsewhere."""
        out = np.full((self.size, self.size), FAR, np.float32)
        near = (np.abs(self.X - cx) < reach) & (np.abs(self.Y - cy) < reach)
        rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
        if rows.size:
            window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            out[window] = level(self.X[window], self.Y[window])
        return out

    def paint_shape(
        self,
        level: Field,
        value: object,
        softness: float = 1.0,
        *,
        name: str | None = None,
        clip: Field | None = None,
    ) -> Field:
        """Paint ``value`` (number, field or colour) inside ``level``; return the coverage, also as the mask ``name``.

        ``softness`` in pixels of a 256-pixel picture; ``clip``: a coverage that it stays within.
        """
        covered = coverage(level, max(softness * self.px, 0.5))
        if clip is not None:
            covered = covered * clip
        self.paint(covered, value)
        if name:
            self.masks[name] = covered > 0.5
        return covered

    def paint(self, covered: Field, value: object) -> None:
        """Blend ``value`` (number, field or colour) in by a coverage, (size, size) in [0, 1]."""
        share = covered if self.image.ndim == 2 else covered[..., None]
        self.image = np.asarray(self.image * (1 - share) + np.asarray(value, np.float32) * share, np.float32)

    def occlude(self, covered: Field, *, keep: tuple[str, ...] = ()) -> None:
        """Take what is covered by more than a half out of every mask but those of ``keep``: it lies in front."""
        for name in self.masks:
            if name not in keep:
                self.masks[name] = self.masks[name] & (covered <= 0.5)
