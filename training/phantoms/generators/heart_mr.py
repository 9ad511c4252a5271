"""MR of the heart, balanced or black-blood: short-axis and axial slices in the chest; right is on the left."""

import numpy as np

from ibisagent.training.phantoms.generators import chest_middle, trunk_wall
from ibisagent.training.phantoms.generators.heart_parts import (
    AXIAL,
    SHORT,
    HeartTissue,
    draw_axial_heart,
    draw_short_axis_heart,
)
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.scanners import receive_mr
from ibisagent.training.phantoms.scene import Scene, smooth_min
from ibisagent.training.phantoms.visible_targets import find_absent, keep_visible

__all__ = ["generate"]

_HU = (-1000, -850, -400, -105, -40, 20, 60, 140, 300, 600)
_SIGNAL = (0.02, 0.05, 0.2, 0.62, 0.45, 0.32, 0.3, 0.42, 0.25, 0.12)
"""How bright balanced sequences show what CT shows at some Hounsfield units: the wall is drawn once for both."""


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw a slice; ``difficulty`` brings blood and muscle together and adds noise and bias."""
    u = rng.uniform
    short, z = u() < 0.68, u(0, 1)
    wide = u(14, 18.5)
    deep = wide * u(0.68, 0.82)
    fat = u(0.4, 0.16 * deep)
    at = (
        (u(1.0, 3.5), u(-0.4, -0.05) * deep)
        if short
        else (u(0, 1.5), max(deep - 1.2 * fat - u(12.6, 13.8), fat + 6.3 - deep))
    )
    field = 2 * wide * u(0.85, 1.1) if u() < 0.45 else u(14, 26)
    middle = (at[0] * u(0.2, 1) + u(-2, 2), at[1] * u(0, 1) + u(-2, 3)) if field < 27 else (0.0, 0.0)
    k = Scene(rng, size, field, middle=middle, background=-1000, warp=u(0.2, 0.6), turn=0.12 if short else 0.05)
    trunk = trunk_wall.draw_wall(k, wide, deep, fat, 55, chest=True)
    trunk_wall.draw_ribs(k, trunk, int(rng.integers(4, 7)), (1.5, 5.0), -1.3)
    lungs = chest_middle.draw_fat(k, trunk, -95)
    k.fill(lungs, -880 + 25 * k.bumps(2), soft=0.9)
    k.paint(np.clip(k.bumps(0.9) - 1.5, 0, 1) * k.covered(lungs), -300)
    if short or z < 0.2:
        slope, height = u(-0.25, 0.1), at[1] + (u(2.4, 4.5) if short else u(4, 8))
        belly = smooth_min(
            np.asarray(k.Y - height - slope * k.X + 0.8 * k.bumps(8), np.float32), trunk.inner - 0.4, 0.8
        )
        k.fill(belly, -100, soft=1.0)
        k.fill(np.minimum(belly - 0.2, 3.0 - k.X + 2 * k.bumps(7)), 50 + 6 * k.bumps(1.5), soft=1.0)
        gut = k.ellipse(u(4, 7), height + u(2, 4), u(1.5, 3.0), u(1.2, 2.4), u(-0.5, 0.5), 0.12)
        k.fill(np.minimum(gut, belly), u(20, 200) if u() < 0.6 else -950, soft=1.0)
    trunk_wall.draw_spine(k, trunk, u(0.85, 1.0))
    k.masks.pop("vertebra")
    k.image = np.interp(k.image, _HU, np.array(_SIGNAL) * rng.uniform(0.85, 1.15, len(_HU))).astype(np.float32)
    apart = 1 - 0.5 * difficulty * u()
    muscle, fat = u(0.24, 0.36), u(0.5, 0.75)
    blood = muscle + u(0.42, 0.6) * apart
    if u() < 0.1:
        blood, muscle = u(0.05, 0.14), u(0.4, 0.55)
    tissue = HeartTissue(blood, blood * u(0.9, 1.08), muscle, fat, u(0.02, 0.08), u(1.0, 1.8))
    chest_middle.draw_behind_heart(k, trunk, blood, fat, soft_tissue=muscle, air=0.03)
    draw = draw_short_axis_heart if short else draw_axial_heart
    draw(k, at, z, tissue)
    masks, absent = keep_visible(k.masks), find_absent(SHORT if short else AXIAL, k.masks)
    image = receive_mr(k, u(0.008, 0.025) + 0.035 * difficulty**2 * u(), u(0.05, 0.25), white=u(0.8, 1.1))
    return GeneratedImage(image, masks, absent)
