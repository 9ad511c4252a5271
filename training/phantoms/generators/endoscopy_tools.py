"""What lies before the gut's wall: tools that reach in from the border, stool, bile and foam; and the frame around."""

import numpy as np
from numpy.typing import NDArray

from ibisagent.training.phantoms.canvas import Field, PhantomCanvas, coverage
from ibisagent.training.phantoms.scatter import pixel_grid, stamp_ellipses, stamp_strokes

__all__ = ["field_of_view", "paint_instrument", "paint_residue"]

Line = NDArray[np.floating]

METALS = ((150, 155, 160), (190, 195, 200), (70, 75, 85))
SHEATHS = ((60, 95, 175), (225, 225, 215), (215, 190, 70), (60, 130, 120), (45, 45, 50), (225, 120, 60))


def paint_residue(k: PhantomCanvas, difficulty: float) -> None:
    """Paint stool and bile, and foam."""
    rng = k.rng
    if rng.random() < 0.25 + 0.3 * difficulty:
        stool = coverage(k.fractal_field(5, 4) - rng.uniform(1.7, 2.6), 0.25)
        dim = k.image.mean(axis=2, keepdims=True) / 120
        k.paint(stool * rng.uniform(0.4, 0.9), dim * np.array([rng.uniform(150, 200), rng.uniform(120, 150), 50]))
        k.occlude(stool * (stool > 0.9))
    if rng.random() < 0.25:
        count = int(rng.integers(5, 50))
        (x, y), r = rng.normal(rng.uniform(-0.7, 0.7, (2, 1)), 0.25, (2, count)), rng.uniform(0.012, 0.05, count)
        rim = (stamp_ellipses(k.size, (x, y), r) - stamp_ellipses(k.size, (x, y), r * 0.8)).clip(0, 1)
        k.paint(
            np.maximum(rim * 0.35, 0.9 * stamp_ellipses(k.size, (x - r * 0.3, y - r * 0.4), r * 0.2)), (250, 245, 235)
        )


def paint_instrument(k: PhantomCanvas, light: Field) -> Field:
    """Paint a tool that reaches in from the border, name its mask, return what it covers."""
    rng, size = k.rng, k.size
    x, y = pixel_grid(size)
    side, aim, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4), rng.uniform(-0.15, 0.15)
    u, v = np.cos(side + aim), np.sin(side + aim)
    tip = np.array([np.cos(side), np.sin(side)]) * rng.uniform(-0.1, 0.55)
    along, across = (x - tip[0]) * u + (y - tip[1]) * v, (y - tip[1]) * u - (x - tip[0]) * v
    across = across - bend * along * along
    radius = rng.uniform(0.045, 0.15) * (1 + rng.uniform(0, 0.25) * along)
    shaft = coverage(np.minimum(radius - np.abs(across), along) * (size / 2), k.px)
    round_ = np.sqrt(np.clip(1 - (across / radius) ** 2, 0, 1))
    colour = np.array((METALS if (metal := rng.random() < 0.5) else SHEATHS)[int(rng.integers(3 if metal else 6))])
    gloss = np.exp(-(((across / radius - rng.uniform(-0.5, 0.5)) / 0.18) ** 2)) * rng.uniform(0.2, 0.8)
    rings = 1 - 0.35 * (rng.random() < 0.5) * (np.sin(along * rng.uniform(30, 70)) > 0.6)
    shine = (0.25 + 0.75 * round_) * rings * (0.75 + 0.3 * light.mean() - 0.1 * along)
    k.paint(shaft, shine[..., None] * colour + 235 * gloss[..., None])
    covered, width, tool = shaft, float(radius.min().clip(0.04)), np.array(METALS[int(rng.integers(2))])
    t = np.linspace(0, 1, 80)[None]
    if (kind := rng.random()) < 0.4:
        open_ = rng.uniform(0.3, 1.1) * np.array([[-1], [1]])
        jaw, wide = -2.6 * width * t, width * open_ * np.sin(np.pi * (0.12 + 0.72 * t)) * 1.1
        tips = stamp_strokes(size, _from(tip, u, v, jaw, wide), width * (0.5 - 0.2 * t))
    elif kind < 0.65:
        turn, long = 2 * np.pi * t, rng.uniform(2.5, 5) * width
        loop = _from(tip, u, v, -long * (1 - np.cos(turn)) / 1.6, long * 0.55 * np.sin(turn))
        tips = stamp_strokes(size, loop, 0.013)
    else:
        tips = stamp_strokes(size, _from(tip, u, v, -rng.uniform(0.5, 3) * width * t, 0 * t), width * (0.8 - 0.35 * t))
    k.paint(tips, tool * (0.6 + 0.5 * np.abs(k.smooth_field(9)))[..., None])
    covered = np.maximum(covered, tips)
    k.masks["instrument"] = covered > 0.5
    return covered


def _from(tip: Line, u: float, v: float, along: Line, across: Line) -> tuple[Line, Line]:
    return tip[0] + along * u - across * v, tip[1] + along * v + across * u


def field_of_view(k: PhantomCanvas) -> Field:
    """Return what the endoscope's frame lets through: all, an octagon, a circle or a circle cut by the picture."""
    rng, (x, y) = k.rng, pixel_grid(k.size)
    kind, wide, tall = rng.random(), rng.uniform(0.9, 1.02), rng.uniform(0.82, 1.02)
    if kind < 0.3:
        return np.ones_like(x)
    if kind < 0.7:
        level = np.minimum(
            np.minimum(wide - np.abs(x), tall - np.abs(y)), rng.uniform(1.3, 1.7) - np.abs(x) - np.abs(y)
        )
    else:
        level = np.minimum(rng.uniform(0.93, 1.25) - np.hypot(x, y), tall - np.abs(y))
    return coverage(np.asarray(level * (k.size / 2), np.float32), rng.uniform(0.7, 2.5) * k.px)
