"""B-mode ultrasound: a breast with cyst or mass, an organ, a fetal head, vessels; speckle, shadows, gain."""

import numpy as np

from ibisagent.training.phantoms.canvas import PhantomCanvas
from ibisagent.training.phantoms.generators.ultrasound_beam import choose_beam, draw_speckle
from ibisagent.training.phantoms.generators.ultrasound_lesions import draw_breast, draw_organ
from ibisagent.training.phantoms.generators.ultrasound_normal import draw_fetal_head, draw_vessels
from ibisagent.training.phantoms.generators.ultrasound_scene import UltrasoundScene
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.visible_targets import find_absent, keep_visible

__all__ = ["generate"]

SCENES = ((draw_breast, 0.03), (draw_organ, 0.8), (draw_fetal_head, 0.75), (draw_vessels, 0.05))
"""Scenes and how often a curved probe, whose field is a sector, looks at them."""


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw one scene; ``difficulty`` fills what is echo-free, thickens speckle, blurs walls and lowers contrast."""
    draw_scene, odds_of_sector = SCENES[int(rng.choice(len(SCENES), p=[0.4, 0.15, 0.2, 0.25]))]
    c = PhantomCanvas(rng, size, warp=0.02, turn=0.03, shift=0.0, scale=0.0)
    beam = choose_beam(rng, size, sector=bool(rng.random() < odds_of_sector))
    scene = UltrasoundScene(c, beam, difficulty, np.zeros((size, size), np.float32))
    absent, lesions = draw_scene(scene)
    masks = keep_visible(c.masks, beam.view > 0.5)
    depth_loss = rng.uniform(0.0, 0.36) * beam.depth**1.5
    c.image = np.asarray(c.image + scene.log_gain - depth_loss + 0.03 * c.smooth_field(2), np.float32)
    grainy = draw_speckle(rng, size, beam) * np.float32(rng.uniform(0.03, 0.055) + 0.04 * difficulty)
    image = np.clip(c.image + grainy, 0, None) ** np.float32(rng.uniform(1.0, 1.3)) * rng.uniform(200, 270) * beam.view
    absent = find_absent(absent, c.masks, beam.view > 0.5)
    return GeneratedImage(np.asarray(image, np.float32), masks, absent=absent, lesions=lesions)
