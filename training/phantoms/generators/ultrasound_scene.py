"""What the painters of ultrasound scenes share: canvas and beam, echoes behind a thing, skin and tissue layers."""

from dataclasses import dataclass

import numpy as np

from ibisagent.training.phantoms.canvas import Canvas, Field
from ibisagent.training.phantoms.generators.ultrasound_beam import Beam, fibres, streaks

__all__ = ["Asked", "Scene", "layer", "skin_and_fat"]

Asked = tuple[tuple[str, ...], tuple[str, ...]]
"""What a painter gives: the targets that could be asked for in its scene, and the lesions among them."""


@dataclass(slots=True)
class Scene:
    """What a painter of a scene holds: canvas in units of log echo (0 none, 1 brightest) and the beam through it."""

    c: Canvas
    beam: Beam
    difficulty: float
    log_gain: Field

    def behind(self, x: float, y: float, half: float, strength: float) -> None:
        """Brighten (> 0) or shade what lies behind a thing of that half width, along the beam."""
        u, v = self.beam.lateral_of(x, y), self.beam.depth_of(x, y)
        width = half * self.beam.spread
        beyond = self.beam.depth - v
        window = (
            np.exp(-(((self.beam.lateral - u) / width) ** 2)) * np.clip(beyond / 0.08, 0, 1) * np.exp(-1.2 * beyond)
        )
        self.log_gain += np.asarray(strength * window, np.float32)


def layer(s: Scene, top: float, value: Field | float, bend: float = 0.02, *, shiny: float = 0.0) -> Field:
    """Paint all below ``top``, (-1..1, wavy), with a bright boundary of ``shiny``; give what it covered."""
    c = s.c
    level = (c.Y - top + bend * c.smooth(3)) * np.float32(c.size / 2)
    covered = c.put(level, value, 2.5)
    if shiny:
        line = np.exp(-((level / (2.2 * c.px)) ** 2)) * np.clip(0.7 + 0.4 * streaks(c, 10, 5), 0, 1.2)
        c.image += np.asarray(shiny * line, np.float32)
    return covered


def skin_and_fat(s: Scene) -> float:
    """Paint skin and subcutaneous fat with its septa from the top on; give where the fat ends."""
    c, rng = s.c, s.c.rng
    skin = -1 + rng.uniform(0.03, 0.1)
    c.image += np.float32(rng.uniform(0.55, 0.75))
    fat = rng.uniform(0.24, 0.38) + 0.03 * c.fractal(6, 3)
    septa = fibres(c, int(rng.integers(5, 13)), 0.45)
    layer(s, skin, fat + 0.28 * septa, 0.004, shiny=0.25)
    return skin
