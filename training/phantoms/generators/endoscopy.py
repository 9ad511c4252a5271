"""Draw what an endoscope sees of the gut: folds, lumen, a polyp, a tool, in white or narrow-band light."""

import numpy as np
from numpy.typing import NDArray

from ibisagent.training.phantoms.canvas import Field, PhantomCanvas, blur, coverage
from ibisagent.training.phantoms.generators.endoscopy_tools import field_of_view, paint_instrument, paint_residue
from ibisagent.training.phantoms.noise import gaussian_noise
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.scatter import pixel_grid, stamp_strokes, weight_channels
from ibisagent.training.phantoms.visible_targets import keep_visible

__all__ = ["generate"]

Line = NDArray[np.floating]


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw mucosa with a "polyp" in three pictures of four and an "instrument" in one of four."""
    k = PhantomCanvas(rng, size, channels=3, warp=rng.uniform(0.03, 0.09), turn=2, shift=0.05, scale=0.1)
    narrow = rng.random() < 0.15
    mucosa = np.array([rng.uniform(165, 225), rng.uniform(80, 130), rng.uniform(62, 110)])
    if narrow:
        mucosa = np.array([rng.uniform(105, 155), rng.uniform(115, 150), rng.uniform(85, 130)])
    height, light, far = _wall(k)
    absorbed = rng.uniform(0.05, 0.3) * _vessels(k) + (0.02 + 0.13 * difficulty) * k.fractal_field(4, 5, 0.6)
    if rng.random() < 0.75:
        bump, light, absorbed = _polyp(k, far, light, absorbed, difficulty)
        height = height + bump
    dy, dx = np.gradient(blur(height, 1.2 * k.px), 2 / size)
    lit = (1 - 0.32 * dx * rng.normal(0, 0.6) - 0.32 * dy * rng.normal(0, 0.6)) / np.sqrt(1 + 0.3 * (dx**2 + dy**2))
    light = (light * np.clip(lit, 0.15, 1.5)).astype(np.float32)
    spectrum = np.array([0.6, 1, 1] if narrow else [0.25, 1, 0.9], np.float32)
    k.image = np.asarray(light[..., None] * mucosa * np.exp(-absorbed[..., None] * spectrum), np.float32)
    paint_residue(k, difficulty)
    wet = coverage(
        k.fractal_field(int(rng.integers(16, 40)), 2)
        + 0.7 * k.smooth_field(5)
        + 2.5 * (lit - 1)
        + light
        - rng.uniform(2.8, 4.4),
        0.2,
    )
    k.paint(wet * (light > 0.35) * 0.9, (255, 250, 245))
    if rng.random() < 0.25:
        k.occlude(paint_instrument(k, light), keep=("instrument",))
    image = blur(k.image, rng.uniform(0.2, 0.7 + 0.5 * difficulty) * k.px)
    field = field_of_view(k)
    noise = weight_channels(gaussian_noise(rng, size, 150, 150), rng.uniform(0.6, 1.2, 3)) * rng.uniform(
        1, 2 + 5 * difficulty
    )
    image = (image + noise) * field[..., None]
    k.occlude(1 - field)
    masks = keep_visible(k.masks)
    absent = tuple(name for name in ("polyp", "instrument") if name not in masks)
    return GeneratedImage(image, masks, absent, ("polyp",))


def _wall(k: PhantomCanvas) -> tuple[Field, Field, Field]:
    """Return the wall's height, its light and how far from the lumen a place lies; half the time there is a lumen."""
    rng = k.rng
    height = rng.uniform(0.05, 0.2) * k.smooth_field(3) + 0.05 * k.smooth_field(7)
    if rng.random() < 0.35:
        slope = rng.uniform(-0.35, 0.35, 2)
        light = 0.85 + slope[0] * k.X + slope[1] * k.Y + 0.12 * k.smooth_field(3)
        return height, np.asarray(light.clip(0.12, 1.2), np.float32), np.full_like(light, 9)
    cx, cy = rng.uniform(-0.75, 0.75, 2)
    far = np.hypot(k.X - cx, (k.Y - cy) * rng.uniform(0.8, 1.25)) * (1 + 0.16 * k.smooth_field(3)) + 0.02
    folds = np.log(far) * rng.uniform(1.3, 2.6) + 0.35 * k.smooth_field(3) + rng.uniform(0, 1)
    step = folds - np.floor(folds)
    reach = (0.55 + 0.4 * k.smooth_field(3)).clip(0, 1)
    shade = reach * np.clip(1 - step / 0.6, 0, 1) ** 2
    crest = reach * np.clip((step - 0.8) / 0.2, 0, 1)
    deep = far / (far + rng.uniform(0.12, 0.4))
    light = 1.2 * deep * (1 - rng.uniform(0.2, 0.55) * shade + 0.2 * crest) * (far > 0.02)
    return height, blur(np.clip(light - 0.06, 0.02, 1.2), 1.2 * k.px), np.asarray(far, np.float32)


def _vessels(k: PhantomCanvas) -> Field:
    """Return the network of vessels under the mucosa, thick ones and fine ones, here and there."""
    thick, fine = (1 / (1 + (k.smooth_field(cells) / 0.07) ** 2) for cells in (7, 17))
    return np.asarray(
        (thick * (k.smooth_field(3) > 0) + 0.7 * fine) * (0.5 + 0.5 * k.smooth_field(3)).clip(0, 1), np.float32
    )


def _polyp(
    k: PhantomCanvas, far: Field, light: Field, absorbed: Field, difficulty: float
) -> tuple[Field, Field, Field]:
    """Name the polyp's mask; return its height, and the light and the absorption of the whole wall with it."""
    rng, size = k.rng, k.size
    r = float(np.exp(rng.uniform(np.log(0.17), np.log(0.72 - 0.3 * difficulty))))
    tries = rng.uniform(-0.8, 0.8, (6, 2)) * (1 - r)
    spots = [far[tuple(((place[::-1] + 1) * size / 2).astype(int).clip(0, size - 1))] for place in tries]
    cx, cy = tries[int(np.argmax(spots))] if max(spots) < 9 else tries[0]
    turn = rng.uniform(0, 2 * np.pi)
    level = k.blob(cx, cy, r, r * rng.uniform(0.62, 1), turn, rng.uniform(0.02, 0.07))
    for _ in range(int(rng.integers(0, 3))):
        side = rng.uniform(0, 2 * np.pi)
        lobe = k.blob(cx + 0.5 * r * np.cos(side), cy + 0.5 * r * np.sin(side), 0.6 * r, 0.5 * r, side, 0.06)
        level = np.maximum(level, lobe)
    flat, soft = rng.random() < 0.3, 1.5 + r * 128 * (0.02 + 0.3 * difficulty * rng.random())
    covered = coverage(level, soft * k.px)
    head = covered > 0.5
    inner = np.clip(level / (r * size / 2), 0, 1)
    dome = np.sqrt(1 - (1 - inner) ** 2) * r * (rng.uniform(0.1, 0.3) if flat else rng.uniform(0.55, 1.1))
    dome = dome * (1.2 - 0.9 * difficulty) + 0.02 * r * covered * k.smooth_field(14)
    if not flat and rng.random() < 0.25:
        t, long = np.linspace(0, 1, 60)[None], r * rng.uniform(1.3, 1.9)
        stalk = stamp_strokes(size, _rotate(k, cx, cy, long * t, 0.1 * t**2, turn), r * rng.uniform(0.22, 0.4), soft)
        head, dome = head | (stalk > 0.5), np.maximum(dome, 0.35 * r * stalk)
    k.masks["polyp"] = head
    dark = blur(coverage(level + 0.2 * r * size / 2, 0.2 * r * size / 2), 0.05 * r * size)
    light = light * (1 - rng.uniform(0.15, 0.5) * (1 - 0.75 * difficulty) * dark * (1 - covered))
    lift = np.clip(light, rng.uniform(0.45, 0.8), None) if not flat else light
    light = light * (1 - covered) + covered * (lift * (0.8 + rng.uniform(0.3, 0.6) * inner))
    redder = rng.choice([-0.4, 0.3, 0.6]) * rng.uniform(0.7, 1.1) * (1.15 - 1.0 * difficulty)
    pits = 0.05 * np.abs(k.smooth_field(int(rng.integers(22, 40)))) + 0.06 * k.fractal_field(8, 3)
    absorbed = absorbed * (1 - 0.4 * covered) + covered * (redder + pits)
    return np.asarray(dome, np.float32), np.asarray(light, np.float32), np.asarray(absorbed, np.float32)


def _rotate(k: PhantomCanvas, cx: float, cy: float, along: Line, across: Line, angle: float) -> tuple[Line, Line]:
    """Return where points along and across a direction from (cx, cy) of the canvas lie in the picture, about."""
    near = np.argmin((k.X - cx) ** 2 + (k.Y - cy) ** 2)
    x, y = (float(axis.flat[near]) for axis in pixel_grid(k.size))
    return x + along * np.cos(angle) - across * np.sin(angle), y + along * np.sin(angle) + across * np.cos(angle)
