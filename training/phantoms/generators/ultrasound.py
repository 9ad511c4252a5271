"""B-mode ultrasound: a breast with cyst or mass, an organ, a fetal head, vessels; speckle, shadows, gain."""

import numpy as np

from ibisagent.training.phantoms.canvas import Canvas
from ibisagent.training.phantoms.generators.ultrasound_beam import beam_of, speckle
from ibisagent.training.phantoms.generators.ultrasound_lesions import breast, organ
from ibisagent.training.phantoms.generators.ultrasound_normal import fetal_head, vessel
from ibisagent.training.phantoms.generators.ultrasound_scene import Scene
from ibisagent.training.phantoms.phantom import Drawing
from ibisagent.training.phantoms.targets import missing, seen

__all__ = ["draw"]

SCENES = ((breast, 0.03), (organ, 0.8), (fetal_head, 0.75), (vessel, 0.05))
"""Scenes and how often a curved probe, whose field is a sector, looks at them."""


def draw(rng: np.random.Generator, size: int, difficulty: float) -> Drawing:
    """Draw one scene; ``difficulty`` fills what is echo-free, thickens speckle, blurs walls and lowers contrast."""
    painter, odds_of_sector = SCENES[int(rng.choice(len(SCENES), p=[0.4, 0.15, 0.2, 0.25]))]
    c = Canvas(rng, size, warp=0.02, turn=0.03, shift=0.0, scale=0.0)
    beam = beam_of(rng, size, sector=bool(rng.random() < odds_of_sector))
    scene = Scene(c, beam, difficulty, np.zeros((size, size), np.float32))
    absent, lesions = painter(scene)
    masks = seen(c.masks, beam.view > 0.5)
    depth_loss = rng.uniform(0.0, 0.36) * beam.depth**1.5
    c.image = np.asarray(c.image + scene.log_gain - depth_loss + 0.03 * c.smooth(2), np.float32)
    grainy = speckle(rng, size, beam) * np.float32(rng.uniform(0.03, 0.055) + 0.04 * difficulty)
    image = np.clip(c.image + grainy, 0, None) ** np.float32(rng.uniform(1.0, 1.3)) * rng.uniform(200, 270) * beam.view
    absent = missing(absent, c.masks, beam.view > 0.5)
    return Drawing(np.asarray(image, np.float32), masks, absent=absent, lesions=lesions)
