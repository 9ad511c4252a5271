"""Draw a skin lesion under a dermatoscope or in a plain photograph, or skin without one."""

import numpy as np
from numpy.typing import NDArray

from ibisagent.training.phantoms.canvas import Field, PhantomCanvas, blur, coverage
from ibisagent.training.phantoms.noise import gaussian_noise
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.scatter import pixel_grid, stamp_ellipses, stamp_strokes, weight_channels
from ibisagent.training.phantoms.visible_targets import keep_visible

__all__ = ["generate"]

Amount = NDArray[np.floating]

# What a unit of each pigment takes from red, green and blue light, as optical density.
MELANIN, BLOOD, VEIL = (0.62, 1.0, 1.2), (0.18, 1.0, 0.85), (1.05, 0.85, 0.6)
SKIN = np.array([[242, 212, 200], [228, 180, 158], [196, 142, 112], [140, 94, 70], [84, 58, 48]], np.float32)
KINDS = ("naevus", "naevus", "melanoma", "keratosis", "pale", "vascular", "inflamed")


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw skin with, four times of five, one "skin lesion" from a small mole to nearly all of the picture."""
    close = rng.random() < 0.72
    k = PhantomCanvas(rng, size, channels=3, warp=rng.uniform(0.01, 0.05), turn=2, shift=0, scale=0.05)
    k.image = _skin(k, close, difficulty)
    field = np.ones((size, size), np.float32)
    if rng.random() < 0.8:
        k.image = k.image * np.exp(-_lesion(k, close, difficulty))
    _paint_artifacts(k, close, difficulty)
    x, y = pixel_grid(size)
    away = np.hypot(x - rng.normal(0, 0.05), y - rng.normal(0, 0.05))
    k.image *= (1 - rng.uniform(0, 0.28) * away**2)[..., None]
    if close and rng.random() < 0.35:
        field = coverage((rng.uniform(0.92, 1.3) - away) * (size / 2), rng.uniform(1, 7) * k.px)
        k.image = k.image * field[..., None] + rng.uniform(2, 18)
    k.occlude(1 - field)
    image = blur(k.image, rng.uniform(0.2, 0.6 + 0.7 * difficulty) * k.px)
    image += weight_channels(gaussian_noise(rng, size, 160, 160), rng.uniform(0.6, 1.2, 3)) * rng.uniform(
        1, 2 + 5 * difficulty
    )
    masks = keep_visible(k.masks)
    return GeneratedImage(image, masks, () if masks else ("skin lesion",), ("skin lesion",))


def _skin(k: PhantomCanvas, close: bool, difficulty: float) -> Field:
    """Return bare skin of any tone: mottled, furrowed, lit from a side, with pores and freckles."""
    rng, tone = k.rng, _tone(k.rng)
    colour = [np.interp(tone * 4, range(5), SKIN[:, channel]) for channel in range(3)] + rng.normal(0, 5, 3)
    rough = 0.03 + 0.07 * difficulty
    melanin, blood = (rough * k.fractal_field(int(rng.integers(3, 7)), 5, 0.62) for _ in range(2))
    blood += rng.uniform(0, 0.07) * k.smooth_field(2)
    furrow = k.smooth_field(int(rng.integers(26, 44) if close else rng.integers(34, 60)))
    melanin += rng.uniform(0.01, 0.09) * (1 / (1 + (furrow / 0.3) ** 2) - 0.4)
    count = int(rng.integers(0, 60))
    spots = stamp_ellipses(k.size, rng.uniform(-1, 1, (2, count)), rng.uniform(0.008, 0.028, count), softness=3)
    melanin += rng.uniform(0, 0.1 + 0.22 * difficulty) * spots
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.1 if close else 0.3)
    shade = 1 + slope * (np.cos(angle) * k.X + np.sin(angle) * k.Y - (0 if close else 0.4) * (k.X**2 + k.Y**2))
    return np.asarray(
        np.exp(-weight_channels(melanin, MELANIN) - weight_channels(blood, BLOOD)) * weight_channels(shade, colour),
        np.float32,
    )


def _tone(rng: np.random.Generator) -> float:
    """Draw a skin tone, 0 very light to 1 very dark; light ones are more frequent, as in the collections."""
    return float(rng.beta(1.1, 1.7))


def _lesion(k: PhantomCanvas, close: bool, difficulty: float) -> Field:
    """Name a lesion's mask; return its optical density, (size, size, 3)."""
    rng = k.rng
    r = float(np.exp(rng.uniform(np.log(0.18), np.log(0.95)) if close else rng.uniform(np.log(0.1), np.log(0.5))))
    cx, cy = rng.normal(0, 0.12 if close else 0.25, 2) * (1.2 - r)
    wobble = rng.uniform(0.02, 0.11)
    level = k.blob(cx, cy, r, r * rng.uniform(0.6, 1), rng.uniform(0, 3), wobble, waves=11)
    for _ in range(int(rng.integers(0, 3))):
        turn, part = rng.uniform(0, 2 * np.pi), r * rng.uniform(0.35, 0.7)
        lobe = k.blob(cx + 0.55 * r * np.cos(turn), cy + 0.55 * r * np.sin(turn), part, part * 0.8, turn, 0.1)
        level = np.maximum(level, lobe)
    level = level + rng.uniform(0, 0.035) * r * k.size / 2 * (k.smooth_field(9) + k.smooth_field(22))
    soft = r * 128 * rng.uniform(0.03, 0.1 + 0.4 * difficulty)
    covered = coverage(level, max(soft * k.px, 0.5))
    k.masks["skin lesion"] = covered > 0.5
    inner = np.clip(level / (r * k.size / 2), 0, 1)
    strength = float(rng.uniform(0.65, 1.4) * (1.05 - 0.8 * difficulty))
    melanin, blood, veil = _pigments(k, str(rng.choice(KINDS)), inner, strength)
    density = weight_channels(melanin, MELANIN) + weight_channels(blood, BLOOD) + weight_channels(veil, VEIL)
    return np.asarray(density * covered[..., None], np.float32)


def _pigments(k: PhantomCanvas, kind: str, inner: Field, strength: float) -> tuple[Amount, Amount, Amount]:
    """Return melanin, blood and blue-white veil inside a lesion; ``inner`` runs from 0 at its border to 1."""
    rng, none = k.rng, np.zeros_like(inner)
    patchy, fine = k.smooth_field(int(rng.integers(3, 7))), k.fractal_field(16, 3)
    net = 1 / (1 + (k.smooth_field(int(rng.integers(30, 56))) / 0.45) ** 2)
    tilt = rng.uniform(-0.7, 0.9)
    base = np.asarray(0.75 + tilt * (inner - 0.4) + 0.16 * patchy + 0.09 * fine, np.float32).clip(0.3, 1.8)
    if kind == "naevus":
        return strength * (base + rng.uniform(0, 0.5) * (net - 0.4)), 0.15 * strength * base, none
    if kind == "melanoma":
        dark, grey = (coverage(k.smooth_field(4) - rng.uniform(-0.2, 0.8), 0.35) for _ in range(2))
        melanin = base * (0.6 + 1.1 * dark) + 0.4 * (net - 0.4)
        return strength * melanin * (1 - 0.5 * grey), strength * 0.4 * (1 - dark), strength * 0.9 * grey
    if kind == "keratosis":
        pits = stamp_ellipses(k.size, rng.uniform(-0.9, 0.9, (2, 90)), rng.uniform(0.012, 0.03, 90), softness=1.5)
        return strength * (0.8 * base + rng.uniform(-0.6, 0.7) * pits + 0.18 * fine), 0.1 * base, none
    if kind == "vascular":
        lakes = coverage(k.smooth_field(14) + 0.4, 0.9)
        return none, strength * (0.7 * base + 0.4 * lakes), strength * rng.uniform(0, 0.8) * lakes * base
    vessels = 1 / (1 + (k.smooth_field(13) / 0.1) ** 2)
    if kind == "pale":
        pink = strength * rng.uniform(0.3, 0.6)
        return pink * rng.uniform(-0.3, 0.7) * base, pink * (base + 0.7 * vessels), rng.uniform(0, 0.3) * pink * base
    scale = coverage(k.fractal_field(10, 3) - 1.0, 0.3)
    return 0.2 * strength * base, strength * (0.65 * base + 0.3 * vessels - rng.uniform(0, 1) * scale), none


def _paint_artifacts(k: PhantomCanvas, close: bool, difficulty: float) -> None:
    """Lay over the skin what is in the way: hair, ink, a ruler, gel bubbles, a coloured patch, glare."""
    rng, size = k.rng, k.size
    if rng.random() < 0.3 + 0.4 * difficulty:
        count, dark = int(rng.integers(2, 12 + round(18 * difficulty))), rng.random() < 0.8
        k.paint(
            _hairs(rng, size, count) * rng.uniform(0.5, 0.95), (40, 30, 27) if dark else np.minimum(k.image * 1.3, 235)
        )
    if rng.random() < 0.12:
        t = np.linspace(rng.uniform(0, 6), rng.uniform(6, 9), 500)[None]
        reach = rng.uniform(0.65, 1) + 0.06 * np.sin(t * rng.uniform(0.6, 3))
        ink = stamp_strokes(size, (reach * np.cos(t), reach * np.sin(t)), rng.uniform(0.012, 0.04), 1.5)
        k.image = k.image * np.exp(-weight_channels(ink * rng.uniform(0.5, 1.2), rng.permutation([1.1, 1.0, 0.35])))
    if close and rng.random() < 0.2:
        ticks = np.arange(-1, 1, rng.uniform(0.06, 0.14))
        place, long = np.full_like(ticks, rng.choice([-1, 1]) * rng.uniform(0.8, 0.97)), np.full_like(ticks, 0.03)
        long[::5] = 0.07
        thin = np.full_like(ticks, 0.006)
        level = stamp_ellipses(size, (ticks, place), thin, long), stamp_ellipses(size, (place, ticks), long, thin)
        k.paint(level[int(rng.integers(2))], (25, 25, 28))
    if close and rng.random() < 0.25:
        count = int(rng.integers(2, 14))
        at, r = rng.uniform(-1, 1, (2, count)), rng.uniform(0.02, 0.09, count)
        rim = stamp_ellipses(size, at, r) - stamp_ellipses(size, at, r * 0.86)
        glint = stamp_ellipses(size, (at[0] - r * 0.4, at[1] - r * 0.5), r * 0.16)
        k.paint(np.maximum(rim.clip(0, 1) * 0.3, glint * 0.85), (255, 250, 245))
    if rng.random() < 0.08:
        turn, colour = (
            rng.uniform(0, 2 * np.pi),
            rng.choice([[60, 110, 190], [70, 150, 80], [225, 195, 60], [190, 60, 60]]),
        )
        covered = stamp_ellipses(size, (1.15 * np.cos(turn), 1.15 * np.sin(turn)), rng.uniform(0.3, 0.5))
        k.paint(covered, colour + 6 * k.smooth_field(5)[..., None])
        k.occlude(covered)
    if rng.random() < 0.2:
        glare = coverage(k.fractal_field(20, 2) - rng.uniform(1.8, 2.6), 0.4) * (0.5 + 0.5 * k.smooth_field(3)).clip(
            0, 1
        )
        k.paint(glare * 0.8, (255, 252, 248))


def _hairs(rng: np.random.Generator, size: int, count: int) -> Field:
    """Return the coverage of hairs that lie more or less along one direction and bend."""
    lie = rng.uniform(0, np.pi) + rng.normal(0, rng.uniform(0.15, 0.9), (count, 1))
    t = np.linspace(-1, 1, 220)[None] * rng.uniform(0.25, 1.1, (count, 1))
    bow = rng.normal(0, 0.3, (count, 1)) * t**2 + rng.normal(0, 0.12, (count, 1)) * t**3
    x, y = (rng.uniform(-1, 1, (count, 1)) for _ in range(2))
    radius = rng.uniform(0.003, 0.008) * rng.uniform(0.6, 1.2, (count, 1)) * (1 - 0.4 * t / 1.1)
    return stamp_strokes(
        size, (x + t * np.cos(lie) - bow * np.sin(lie), y + t * np.sin(lie) + bow * np.cos(lie)), radius
    )
