"""CT of the heart, axial, after contrast medium: chambers, muscle, great vessels; right is on the left."""

import numpy as np

from ibisagent.training.phantoms.generators import chest_middle, trunk_wall
from ibisagent.training.phantoms.generators.heart_parts import AXIAL, HeartTissue, draw_axial_heart
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.scanners import scan_ct
from ibisagent.training.phantoms.scene import Scene
from ibisagent.training.phantoms.visible_targets import find_absent, keep_visible

__all__ = ["generate"]


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw a slice from the four chambers (z 0) to the great vessels (z 1); a field that holds heart or chest."""
    u = rng.uniform
    z, wide = u(0, 1), u(14.5, 18.5)
    deep = wide * u(0.68, 0.8)
    fat = u(0.3, 0.12 * deep)
    at = (u(-0.5, 1.2), max(deep - 1.2 * fat - u(12.6, 13.8), fat + 6.3 - deep))
    whole = u() < 0.3
    field, middle = (2 * wide * u(0.9, 1.1), (0.0, 0.0)) if whole else (u(15, 24), (at[0] + u(0, 2), at[1] + u(-1, 2)))
    k = Scene(rng, size, field, middle=middle, background=-1000, warp=u(0.1, 0.4), turn=0.05)
    trunk = trunk_wall.draw_wall(k, wide, deep, fat, u(45, 62), chest=True)
    trunk_wall.draw_table(k, trunk)
    trunk_wall.draw_ribs(k, trunk, int(rng.integers(4, 8)), (1.5, 5.0), -1.3)
    apart = 1 - 0.4 * difficulty * u()
    blood, muscle = 90 + u(200, 380) * apart, u(80, 125)
    tissue = HeartTissue(blood, 90 + (u(10, 120) if u() < 0.5 else u(120, 420)) * apart, muscle, u(-110, -70),
                         u(0.01, 0.06), u(0.8, 1.3))  # fmt: skip
    chest = chest_middle.draw_fat(k, trunk, tissue.fat)
    lungs = k.fill(chest, u(-880, -800) + 20 * k.bumps(2), soft=0.8)
    chest_middle.draw_lung_vessels(k, at[0], lungs, u(-250, 150))
    sac = draw_axial_heart(k, at, z, tissue)
    chest_middle.draw_behind_heart(k, trunk, blood, tissue.fat)
    trunk_wall.draw_spine(k, trunk, u(0.85, 1.0))
    k.masks.pop("vertebra")
    if u() < 0.2:
        spot = np.exp(-((sac / 0.15) ** 2)) * np.clip(2 * k.bumps(0.8) - 2.4, 0, 1)
        k.paint(np.asarray(spot, np.float32), 700)
    masks, absent = keep_visible(k.masks), find_absent(AXIAL, k.masks)
    window = (u(100, 200), u(500, 900)) if u() < 0.7 else (u(40, 80), u(350, 500))
    noise = u(8, 20) + 25 * difficulty**2 * u()
    return GeneratedImage(scan_ct(k, window, noise, k.covered(trunk.outer, 30), sharp=0.4), masks, absent)
