"""Ultrasound of a breast and of an even organ, with cysts and masses."""

import numpy as np

from ibisagent.training.phantoms.canvas import coverage
from ibisagent.training.phantoms.generators.ultrasound_beam import draw_fibers, draw_streaks
from ibisagent.training.phantoms.generators.ultrasound_scene import (
    SceneTargets,
    UltrasoundScene,
    paint_layer,
    paint_skin_and_fat,
)

__all__ = ["draw_breast", "draw_organ"]


def draw_breast(s: UltrasoundScene) -> SceneTargets:
    """Lay fat, gland, muscle and at times ribs; a cyst, a mass, both or neither in the gland."""
    c, rng = s.c, s.c.rng
    skin = paint_skin_and_fat(s)
    top, bottom = skin + rng.uniform(0.1, 0.45), rng.uniform(0.25, 0.85)
    bright = rng.uniform(0.34, 0.6)
    lobules = 0.05 * c.fractal_field(7, 4) + 0.07 * draw_streaks(c, 26, 9)
    ducts = np.exp(-((draw_streaks(c, 14, 7) / 0.12) ** 2)) * 0.06
    paint_layer(s, top, np.asarray(bright + lobules - ducts, np.float32), 0.07, shiny=0.05)
    muscle = rng.uniform(0.2, 0.32) + 0.2 * draw_fibers(c, int(rng.integers(20, 40)), 0.8)
    paint_layer(s, bottom, np.asarray(muscle, np.float32), 0.04, shiny=0.3)
    for k in range(int(rng.integers(0, 3)) if bottom < 0.6 else 0):
        x, y = rng.uniform(-0.3, 0.3) + (2 * k - 1) * 0.6, bottom + 0.22
        rib = c.blob(x, y, 0.22, 0.09)
        c.paint_shape(rib, 0.12, 3)
        c.image += np.asarray(0.4 * np.exp(-(((rib - 2 * c.px) / (3 * c.px)) ** 2)) * (y > c.Y), np.float32)
        s.adjust_gain_behind(x, y, 0.2, -0.3)
    kinds = ("cyst", "mass")
    chance = rng.random()
    drawn = kinds if chance < 0.06 else kinds[:1] if chance < 0.34 else kinds[1:] if chance < 0.63 else ()
    side = rng.choice([-1, 1])
    for k, kind in enumerate(drawn):
        x = rng.uniform(-0.6, 0.6) if len(drawn) == 1 else side * (2 * k - 1) * rng.uniform(0.4, 0.6)
        y = rng.uniform(top + 0.25, max(bottom, top + 0.5))
        (_cyst if kind == "cyst" else _mass)(s, x, y, bright)
    if not drawn and rng.random() < 0.6:
        lobule = c.blob(rng.uniform(-0.6, 0.6), rng.uniform(top, bottom), rng.uniform(0.15, 0.35), 0.09, 0.1, 0.1)
        c.paint_shape(lobule, bright * 0.72, 8)
    return kinds, kinds


def _cyst(s: UltrasoundScene, x: float, y: float, ground: float) -> None:
    """Paint an echo-free round thing with a crisp wall, brighter behind, shadows at its edges."""
    c, rng, hard = s.c, s.c.rng, s.difficulty
    rx = float(np.exp(rng.uniform(np.log(0.1), np.log(0.34))))
    ry = rx * rng.uniform(0.6, 1.0)
    level = c.blob(x, y, rx, ry, rng.normal(0, 0.2), 0.02 + 0.03 * hard)
    s.adjust_gain_behind(x, y + ry * 0.7, rx * 0.8, rng.uniform(0.06, 0.2) * (1 - 0.5 * hard))
    for side in (-1, 1):
        s.adjust_gain_behind(x + side * rx, y, rx * 0.25, -0.06)
    haze = ground * (0.1 + 0.36 * hard * rng.uniform(0.7, 1.2))
    veil = np.exp(-((np.clip(level, 0, None) / ((6 + 4 * hard) * c.px)) ** 2)) * (
        (y > c.Y) * (0.14 - 0.07 * hard) + 0.02
    )
    c.paint_shape(level, np.asarray(haze + veil, np.float32), 1.5 + 4 * hard, name="cyst")
    back = np.exp(-((level / (2 * c.px)) ** 2)) * (np.abs(c.Y - y) / ry) ** 2
    c.image += np.asarray(rng.uniform(0.05, 0.22) * np.clip(back, 0, 1), np.float32)
    s.log_gain *= 1 - coverage(level)


def _mass(s: UltrasoundScene, x: float, y: float, ground: float) -> None:
    """Paint a solid darker mass, smooth and wide (benign) or ragged, tall and shadowing."""
    c, rng, hard = s.c, s.c.rng, s.difficulty
    rx = float(np.exp(rng.uniform(np.log(0.13), np.log(0.36))))
    ragged = rng.random() < 0.5
    ry = rx * (rng.uniform(0.7, 1.15) if ragged else rng.uniform(0.45, 0.75))
    level = c.blob(x, y, rx, ry, rng.normal(0, 0.25), 0.11 if ragged else 0.04, waves=12 if ragged else 6)
    if ragged:
        level = level + np.float32(0.012 * c.size) * c.smooth_field(20)
        s.adjust_gain_behind(x, y + ry * 0.6, rx * 0.75, -rng.uniform(0.05, 0.25))
        c.image += np.asarray(0.1 * np.exp(-(((level + 5 * c.px) / (6 * c.px)) ** 2)), np.float32)
    elif rng.random() < 0.5:
        s.adjust_gain_behind(x, y + ry * 0.7, rx * 0.8, 0.1)
    dark = ground * (0.3 + 0.32 * hard * rng.uniform(0.8, 1.2))
    inside = dark * (1 + 0.25 * c.fractal_field(12, 3))
    c.paint_shape(level, np.asarray(inside, np.float32), (4 if ragged else 2) + 5 * hard, name="mass")
    if rng.random() < 0.25:
        for _ in range(int(rng.integers(2, 7))):
            c.paint_shape(c.blob(x + rng.normal(0, rx / 3), y + rng.normal(0, ry / 3), 0.012, 0.01), 0.8, 1.5)


def draw_organ(s: UltrasoundScene) -> SceneTargets:
    """Fill the field with an even organ, such as the liver, with vessels cut across, and a cyst in most."""
    c, rng = s.c, s.c.rng
    ground = rng.uniform(0.32, 0.5)
    c.image += np.asarray(ground + 0.025 * c.fractal_field(5, 4), np.float32)
    for _ in range(int(rng.integers(1, 6))):
        x, y, length = rng.uniform(-0.8, 0.8), rng.uniform(-0.5, 0.8), rng.uniform(0.03, 0.3)
        tube = c.blob(x, y, length, rng.uniform(0.02, 0.045), rng.uniform(0, 3), 0.08)
        c.image += np.asarray(rng.uniform(0, 0.2) * np.exp(-(((tube + 2 * c.px) / (2 * c.px)) ** 2)), np.float32)
        c.paint_shape(tube, ground * rng.uniform(0.3, 0.7), 2.5)
    far = rng.uniform(0.5, 1.1)
    paint_layer(s, far, rng.uniform(0.25, 0.5) + 0.05 * c.fractal_field(8, 3), 0.15, shiny=rng.uniform(0.1, 0.5))
    if rng.random() < 0.6:
        _cyst(s, rng.uniform(-0.35, 0.35), rng.uniform(-0.3, 0.4), ground)
    return ("cyst",), ("cyst",)
