"""Shared parts of the ultrasound scenes: canvas and beam, echoes behind a structure, skin and tissue layers."""

from dataclasses import dataclass

import numpy as np

from ibisagent.training.phantoms.canvas import Field, PhantomCanvas
from ibisagent.training.phantoms.generators.ultrasound_beam import UltrasoundBeam, draw_fibers, draw_streaks

__all__ = ["SceneTargets", "UltrasoundScene", "paint_layer", "paint_skin_and_fat"]

SceneTargets = tuple[tuple[str, ...], tuple[str, ...]]
"""The targets that can be requested in a scene, and the lesions among them."""


@dataclass(slots=True)
class UltrasoundScene:
    """A scene being drawn: canvas in units of log echo (0 none, 1 brightest) and the beam through it."""

    c: PhantomCanvas
    beam: UltrasoundBeam
    difficulty: float
    log_gain: Field

    def adjust_gain_behind(self, x: float, y: float, half: float, strength: float) -> None:
        """Brighten (> 0) or shade what lies behind a thing of that half width, along the beam."""
        u, v = self.beam.lateral_of(x, y), self.beam.depth_of(x, y)
        width = half * self.beam.spread
        beyond = self.beam.depth - v
        window = (
            np.exp(-(((self.beam.lateral - u) / width) ** 2)) * np.clip(beyond / 0.08, 0, 1) * np.exp(-1.2 * beyond)
        )
        self.log_gain += np.asarray(strength * window, np.float32)


def paint_layer(
    s: UltrasoundScene, top: float, value: Field | float, bend: float = 0.02, *, shiny: float = 0.0
) -> Field:
    """Paint all below ``top``, (-1..1, wavy), with a bright boundary of ``shiny``; return what it covered."""
    c = s.c
    level = (c.Y - top + bend * c.smooth_field(3)) * np.float32(c.size / 2)
    covered = c.paint_shape(level, value, 2.5)
    if shiny:
        line = np.exp(-((level / (2.2 * c.px)) ** 2)) * np.clip(0.7 + 0.4 * draw_streaks(c, 10, 5), 0, 1.2)
        c.image += np.asarray(shiny * line, np.float32)
    return covered


def paint_skin_and_fat(s: UltrasoundScene) -> float:
    """Paint skin and subcutaneous fat with its septa from the top on; return where the fat ends."""
    c, rng = s.c, s.c.rng
    skin = -1 + rng.uniform(0.03, 0.1)
    c.image += np.float32(rng.uniform(0.55, 0.75))
    fat = rng.uniform(0.24, 0.38) + 0.03 * c.fractal_field(6, 3)
    septa = draw_fibers(c, int(rng.integers(5, 13)), 0.45)
    paint_layer(s, skin, fat + 0.28 * septa, 0.004, shiny=0.25)
    return skin
