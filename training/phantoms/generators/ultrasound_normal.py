"""Ultrasound of a fetal head and of the vessels and nerves of a limb or the neck."""

import numpy as np

from ibisagent.training.phantoms.canvas import FAR, Field, coverage
from ibisagent.training.phantoms.generators.ultrasound_beam import draw_fibers, draw_streaks
from ibisagent.training.phantoms.generators.ultrasound_scene import (
    SceneTargets,
    UltrasoundScene,
    paint_layer,
    paint_skin_and_fat,
)

__all__ = ["draw_fetal_head", "draw_vessels"]


def draw_fetal_head(s: UltrasoundScene) -> SceneTargets:
    """Put the skull's bright oval with midline, cavum and thalami in amniotic fluid under the womb's wall."""
    c, rng, hard = s.c, s.c.rng, s.difficulty
    tissue = rng.uniform(0.3, 0.45)
    c.image += np.asarray(tissue + 0.06 * c.fractal_field(8, 4) + 0.05 * draw_streaks(c, 24, 6), np.float32)
    c.paint_shape(
        c.blob(rng.normal(0, 0.1), 0.1, rng.uniform(0.6, 1.2), rng.uniform(0.4, 0.8), 0.0, 0.12),
        tissue * (rng.uniform(0.1, 0.3) + 0.6 * hard**2),
        4,
    )
    for _ in range(int(rng.integers(1, 4))):
        edge = rng.uniform(0, 2 * np.pi)
        c.paint_shape(c.blob(0.95 * np.cos(edge), 0.8 * np.sin(edge), 0.3, 0.2, rng.uniform(0, 3), 0.12), tissue, 5)
    x, y = rng.normal(0, 0.1), rng.normal(0.1, 0.07)
    rx = rng.uniform(0.4, 0.78)
    ry, turn = rx * rng.uniform(0.68, 0.82), rng.normal(0, 0.45)
    state = c.blob(x, y, rx, ry, turn, 0.012)
    thick = rng.uniform(0.018, 0.04) * c.size / 2
    along, across = np.cos(turn), np.sin(turn)
    u = ((c.X - x) * along + (c.Y - y) * across) / np.float32(rx)
    v = (-(c.X - x) * across + (c.Y - y) * along) / np.float32(ry)
    brain = tissue * (rng.uniform(0.25, 0.6) + 0.4 * hard) + 0.05 * c.fractal_field(9, 4)
    c.paint_shape(state, np.asarray(brain, np.float32), 2, name="fetal head")
    folds = np.exp(-((draw_streaks(c, 18, 9) / 0.12) ** 2)) * 0.12 * coverage(state - thick)
    c.image += np.asarray(folds, np.float32)
    falx = (
        np.exp(-(((v + 0.01 * c.smooth_field(8)) / 0.025) ** 2)) * (np.abs(u) < 0.85) * (0.6 + 0.3 * c.smooth_field(5))
    )
    c.image += np.asarray(rng.uniform(0.1, 0.35) * falx * (1 - 0.5 * hard), np.float32)
    fx, fy = along * rx, across * rx
    if rng.random() < 0.6:
        c.paint_shape(c.blob(x + 0.45 * fx, y + 0.45 * fy, 0.09 * rx, 0.09 * rx, turn), 0.04, 2)
    for side in (-1, 1):
        nx, ny = x - 0.1 * fx - side * 0.22 * across * ry, y - 0.1 * fy + side * 0.22 * along * ry
        c.paint_shape(c.blob(nx, ny, 0.18 * rx, 0.17 * ry, turn), 0.08, 4)
        if rng.random() < 0.4:
            c.paint_shape(c.blob(nx - 0.3 * fx, ny - 0.3 * fy, 0.2 * rx, 0.07 * ry, turn + side * 0.3, 0.1), 0.4, 3)
    facing = np.clip(np.abs(v) * 1.4 - 0.3 - 0.5 * hard * np.abs(u), 0.25 - 0.25 * hard, 1) + 0.2 * c.smooth_field(7)
    ring = np.exp(-(((state - thick) / (thick * (0.9 + 0.5 * hard))) ** 2))
    c.image += np.asarray(ring * np.clip(facing, 0, 1) * rng.uniform(0.5, 0.8) * (1 - 0.45 * hard), np.float32)
    for side in (-1, 1):
        s.adjust_gain_behind(x + side * rx * 0.93 * along, y + side * rx * 0.93 * across, rx * 0.1, -0.12)
    return ("fetal head",), ()


def draw_vessels(s: UltrasoundScene) -> SceneTargets:
    """Lay skin, fascia and striped muscle over one or two vessels, cut across or along, at times beside a nerve."""
    c, rng, hard = s.c, s.c.rng, s.difficulty
    skin = paint_skin_and_fat(s)
    tops = np.sort(rng.uniform(skin + 0.12, 0.7, int(rng.integers(2, 5))))
    for top in tops:
        muscle = rng.uniform(0.22, 0.42) + rng.uniform(0.1, 0.25) * draw_fibers(c, int(rng.integers(22, 50)), 1.0)
        paint_layer(
            s,
            float(top),
            np.asarray(muscle + 0.03 * draw_streaks(c, 40, 6), np.float32),
            0.06,
            shiny=rng.uniform(0.1, 0.45),
        )
    ground = 0.3
    if rng.random() < 0.3:
        x, y = rng.uniform(-0.8, 0.8), rng.uniform(0.4, 0.9)
        bone = c.blob(x, y, rng.uniform(0.2, 0.4), 0.1, rng.normal(0, 0.2), 0.1)
        c.image += np.asarray(0.5 * np.exp(-((bone / (3 * c.px)) ** 2)) * (y > c.Y), np.float32)
        s.adjust_gain_behind(x, y, 0.3, -0.35)
    x, y = rng.uniform(-0.6, 0.6), rng.uniform(np.clip(tops[0], -0.55, 0.2), 0.45)
    lumen = np.full_like(c.X, FAR)
    if rng.random() < 0.25:
        lumen = c.blob(x, y, 3.0, rng.uniform(0.08, 0.2), rng.normal(0, 0.12), 0.0, power=6)
        lumen = lumen + np.float32(0.006 * c.size) * c.smooth_field(4)
    else:
        for k in range(1 if rng.random() < 0.55 else 2):
            radius = float(np.exp(rng.uniform(np.log(0.08), np.log(0.22))))
            flat = rng.uniform(0.45, 0.8) if k else rng.uniform(0.82, 1.0)
            lumen = np.maximum(lumen, c.blob(x, y, radius, radius * flat, rng.normal(0, 0.3), 0.03))
            s.adjust_gain_behind(x, y + radius * 0.7, radius * 0.8, rng.uniform(0.02, 0.12))
            x, y = x - np.sign(x) * (radius + rng.uniform(0.16, 0.3)), y + rng.normal(0, 0.1)
    wall = np.exp(-(((lumen + 2.5 * c.px) / (2.5 * c.px)) ** 2)) * np.clip(0.5 + 0.3 * c.smooth_field(6), 0, 1)
    c.image += np.asarray(rng.uniform(0.1, 0.4) * wall * (1 - 0.6 * hard), np.float32)
    filled = ground * (0.1 + 0.5 * hard * rng.uniform(0.6, 1.1)) + 0.02 * c.smooth_field(9)
    c.paint_shape(lumen, np.asarray(filled, np.float32), 1.5 + 4 * hard, name="blood vessel")
    _nerve(s, lumen)
    return ("blood vessel", "nerve"), ()


def _nerve(s: UltrasoundScene, lumen: Field) -> None:
    """Paint, now and then, an oval honeycomb brighter than the muscle, off the vessels."""
    c, rng = s.c, s.c.rng
    if rng.random() < 0.5:
        return
    rx = rng.uniform(0.13, 0.24)
    x, y = rng.uniform(-0.7, 0.7), rng.uniform(-0.5, 0.4)
    level = c.blob(x, y, rx, rx * rng.uniform(0.5, 0.9), rng.normal(0, 0.3), 0.05)
    clear = 1 - coverage(lumen + 8 * c.px, 2 * c.px)
    comb = 0.5 + 0.14 * np.clip(np.abs(c.smooth_field(34)) - 0.6, -1, 1)
    covered = c.paint_shape(level, np.asarray(comb - 0.12 * s.difficulty, np.float32), 2 + 3 * s.difficulty, clip=clear)
    c.image += np.asarray(0.12 * np.exp(-((level / (2.5 * c.px)) ** 2)) * clear, np.float32)
    c.masks["nerve"] = covered > 0.5
