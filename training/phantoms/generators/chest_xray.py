"""Chest radiographs, frontal: the patient's right is on the picture's left. Shadows add up along the ray."""

import numpy as np

from ibisagent.training.phantoms.canvas import Field, PhantomCanvas, blur, coverage
from ibisagent.training.phantoms.generators.chest_anatomy import Chest, draw_chest, draw_vessels
from ibisagent.training.phantoms.generators.chest_bones import draw_bones, draw_devices
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.visible_targets import find_absent, keep_visible

__all__ = ["generate"]

_ORGANS = ("left lung", "right lung", "lungs", "heart")
_LESIONS = ("lung nodule", "pleural effusion")


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw a chest, whole or a part of it; ``difficulty`` 0 to 1 hides it behind bones, haze and noise."""
    u = rng.uniform
    k = PhantomCanvas(rng, size, warp=0.018, turn=0.05)
    _choose_view(k)
    clear = 1 - 0.9 * difficulty * u(0.5, 1)
    air = u(0.5, 0.68) * clear
    chest = draw_chest(k, aerated=air, soft=1.2 + 5 * difficulty * u())
    draw_vessels(k, chest, u(0.08, 0.18), 0.6 * difficulty * u() ** 1.5)
    haze = np.float32(0.8 * difficulty * u()) * (k.fractal_field(3, 4) - np.float32(u(0, 1.5)))
    k.image += np.clip(haze, 0, 0.9 * air) * chest.lungs
    fluid = _effusion(k, chest, 1.5 + 6 * difficulty) if u() < 0.4 else None
    draw_bones(k, chest, u(0.05, 0.1) + 0.05 * difficulty)
    if u() < 0.45:
        _nodules(k, chest, fluid, u(0.18, 0.32) * (1 - 0.78 * difficulty), 2 + 3 * difficulty)
    draw_devices(k, int(rng.poisson(0.5 + difficulty)))
    _name(k, chest, fluid)
    masks, absent = keep_visible(k.masks, crumb=1), find_absent(_ORGANS + _LESIONS, k.masks)
    lesions = tuple(name for name in _LESIONS if name in masks or name in absent)
    return GeneratedImage(_expose_film(k, difficulty), masks, absent, lesions)


def _choose_view(k: PhantomCanvas) -> None:
    """Take the chest in most pictures; more of the body, or a close-up of a part, in others."""
    u = k.rng.uniform
    kind = k.rng.random()
    if kind < 0.65:
        k.set_view(u(0.88, 1.1))
    elif kind < 0.8:
        k.set_view(u(1.1, 1.4), u(-0.1, 0.1), u(-0.1, 0.2))
    else:
        k.set_view(u(0.45, 0.85), u(-0.42, 0.42), u(-0.25, 0.3))


def _effusion(k: PhantomCanvas, chest: Chest, soft: float) -> Field:
    """Let fluid stand in one or both pleural spaces, higher at the chest wall; return what it covers."""
    u = k.rng.uniform
    found = np.zeros_like(k.X)
    for side in ((-1,), (1,), (-1, 1))[int(k.rng.choice(3, p=[0.4, 0.4, 0.2]))]:
        height, rise = 0.7 * u() ** 1.5, u(0.1, 0.4)
        across = side * k.X - np.float32(0.1)
        top = np.float32(chest.floor + 0.06 - height) - rise * np.clip(across / 0.55, 0, 1.2) ** 2
        level = np.minimum(k.Y - top, side * k.X) * np.float32(k.size / 2)
        found = np.maximum(found, coverage(level, soft * k.px) * chest.lungs)
    k.paint(found * np.float32(u(0.85, 1)), chest.belly * np.float32(u(0.9, 1.02)))
    return found


def _nodules(k: PhantomCanvas, chest: Chest, fluid: Field | None, density: float, soft: float) -> None:
    """Draw one to three round shadows into the lungs."""
    u, rng = k.rng.uniform, k.rng
    found = np.zeros_like(k.X)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        side, r = float(rng.choice([-1, 1])), float(np.exp(u(np.log(0.04), np.log(0.13))))
        spot = k.blob(side * u(0.22, 0.56), u(-0.5, 0.3), r, r * u(0.75, 1), u(0, 3), 0.07)
        found = np.maximum(found, coverage(spot, soft * k.px))
    found = found * chest.lungs
    if fluid is not None:
        found = found * (1 - fluid)
    k.image += np.float32(density) * found
    k.masks["lung nodule"] = found > 0.5


def _name(k: PhantomCanvas, chest: Chest, fluid: Field | None) -> None:
    """Name the aerated fields, the heart and the fluid."""
    air = chest.lungs > 0.5
    if fluid is not None:
        k.masks["pleural effusion"] = fluid > 0.5
        air &= fluid <= 0.5
    k.masks |= {"right lung": air & (k.X < 0), "left lung": air & (k.X >= 0), "lungs": air, "heart": chest.heart > 0.5}


def _expose_film(k: PhantomCanvas, difficulty: float) -> Field:
    """Turn attenuation into film: blur by focus and scatter, a saturating curve, noise where few quanta arrive."""
    u = k.rng.uniform
    image = blur(k.image, (u(0.4, 0.8) + 0.6 * difficulty) * k.px)
    film = 1 - np.exp(-u(0.9, 1.6) * np.clip(image, 0, None))
    film = film * np.float32(u(255, 300)) + np.float32(u(-25, 5))
    grain = k.smooth_field(120) * np.float32(u(0.5, 2) + 7 * difficulty * u(0.2, 1))
    fine = k.rng.standard_normal(film.shape, np.float32) * np.float32(u(1, 3))
    return np.asarray(film + (grain + fine) * (0.4 + film / 255), np.float32)
