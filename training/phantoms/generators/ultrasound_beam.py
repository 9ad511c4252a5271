"""The field of view of an ultrasound probe, straight or curved, and speckle and streaks that follow its beams."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ibisagent.training.phantoms.canvas import Field, PhantomCanvas, coverage
from ibisagent.training.phantoms.noise import gaussian_noise

__all__ = ["UltrasoundBeam", "choose_beam", "draw_fibers", "draw_speckle", "draw_streaks"]


@dataclass(frozen=True, slots=True)
class UltrasoundBeam:
    """Coordinates along the beams: ``lateral`` in [-1, 1] across the probe, ``depth`` in [0, 1], ``view`` in the field.

    ``apex``: where the beams of a curved probe meet, above the picture (canvas units), else None.
    """

    lateral: Field
    depth: Field
    view: Field
    spread: float
    apex: float | None
    inner: float
    outer: float
    half: float

    def lateral_of(self, x: float, y: float) -> float:
        """Return the lateral coordinate of a place on the canvas."""
        return x if self.apex is None else float(np.arctan2(x, y - self.apex) / self.half)

    def depth_of(self, x: float, y: float) -> float:
        """Return the depth of a place on the canvas."""
        away = y if self.apex is None else float(np.hypot(x, y - self.apex))
        return (away - self.inner) / (self.outer - self.inner)


def choose_beam(rng: np.random.Generator, size: int, *, sector: bool) -> UltrasoundBeam:
    """Choose a field: a rectangle, whole or with margins, or the sector of a ring."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / np.float32(size / 2) - 1
    x, y = np.meshgrid(axis, axis)
    pixels = np.float32(size / 2)
    if not sector:
        view = np.ones((size, size), np.float32)
        if rng.random() < 0.3:
            right, low = rng.uniform(0.7, 1.0), rng.uniform(0.75, 1.0)
            view = coverage(np.minimum(right - np.abs(x), low - y) * pixels)
        return UltrasoundBeam(x, (y + 1) / 2, view, 1.0, None, -1.0, 1.0, 1.0)
    apex, half = -1 - rng.uniform(0.15, 0.8), rng.uniform(0.5, 0.75)
    away, angle = np.hypot(x, y - np.float32(apex)), np.arctan2(x, y - np.float32(apex))
    inner, outer = -1 - apex + rng.uniform(-0.05, 0.05), 1 - apex
    edges = np.minimum(np.minimum(away - inner, outer - away), (half - np.abs(angle)) * away)
    depth = np.clip((away - inner) / (outer - inner), 0, 1)
    lateral = np.asarray(angle / half, np.float32)
    spread = 1 / (half * (1 - apex) * 0.6)
    return UltrasoundBeam(
        lateral, np.asarray(depth, np.float32), coverage(edges * pixels), spread, apex, inner, outer, half
    )


def draw_speckle(rng: np.random.Generator, size: int, beam: UltrasoundBeam) -> Field:
    """Draw the logarithm of a fully developed speckle's amplitude, mean 0, deviation 1, finer in depth than across."""
    rows = int(rng.integers(150, 260))
    columns = int(rows * rng.uniform(0.4, 0.75))
    real, imaginary = gaussian_noise(rng, size, rows, columns), gaussian_noise(rng, size, rows, columns)
    tone = np.log(np.hypot(real, imaginary) + np.float32(0.08))
    tone = np.asarray((tone - tone.mean()) / tone.std(), np.float32)
    if beam.apex is None:
        return tone
    places = np.stack([beam.depth * (size - 1), (np.clip(beam.lateral, -1, 1) * 0.5 + 0.5) * (size - 1)])
    return np.asarray(ndimage.map_coordinates(tone, places, order=1, mode="nearest"), np.float32)


def draw_streaks(c: PhantomCanvas, rows: int, columns: int) -> Field:
    """Draw a smooth field of ``rows`` bumps down and ``columns`` across, bent by the canvas's own deformation."""
    field = gaussian_noise(c.rng, c.size, rows, columns) * np.float32(0.6) + gaussian_noise(
        c.rng, c.size, rows * 2, columns * 2
    ) * np.float32(0.4)
    return np.asarray(field / (field.std() + 1e-6), np.float32)


def draw_fibers(c: PhantomCanvas, count: int, wave: float) -> Field:
    """Draw ``count`` thin bright lines from side to side, each wavy and broken in its own way; 0 to about 1."""
    tilt = np.float32(c.rng.normal(0, 0.15))
    phase = (
        (c.Y + tilt * c.X) * np.float32(count / 2)
        + np.float32(wave) * c.smooth_field(4)
        + np.float32(0.12) * c.smooth_field(14)
    )
    across = phase - np.floor(phase) - 0.5
    shown = np.clip(gaussian_noise(c.rng, c.size, count * 2, 6) * 0.8 + 0.1, 0, 1)
    return np.asarray(np.exp(-((across / 0.13) ** 2)) * shown, np.float32)
