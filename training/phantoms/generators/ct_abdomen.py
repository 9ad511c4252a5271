"""Abdominal CT, axial, seen from the feet: the patient's right is on the picture's left. Windowed to 0..255."""

import numpy as np

from ibisagent.training.phantoms.canvas import Field, PhantomCanvas, blur, coverage
from ibisagent.training.phantoms.generators import ct_body, ct_organs
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.visible_targets import find_absent, keep_visible

__all__ = ["generate"]

_ORGANS = ("liver", "spleen", "left kidney", "right kidney", "aorta", "vertebra", "stomach")
_LESIONS = ("liver tumour", "kidney cyst")

_TISSUES = ("liver", "spleen", "cortex", "medulla", "aorta", "cava", "portal", "urine", "gut", "mottled")
_PHASES = (
    (0.27, (58, 48, 35, 32, 42, 40, 40, 8, 25, 1)),
    (0.23, (72, 125, 185, 75, 300, 75, 95, 15, 40, 14)),
    (0.38, (112, 125, 185, 160, 155, 140, 165, 20, 38, 2)),
    (0.12, (92, 95, 135, 150, 110, 110, 112, 700, 32, 1)),
)
"""Shares of the contrast phases: native, arterial, portal venous, late; and the tissues' Hounsfield units in each."""


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw a slice between the dome of the liver (level 0) and below its tip (over 1); ``difficulty`` 0 to 1."""
    u = rng.uniform
    k = PhantomCanvas(rng, size, background=-1000, warp=0.022, turn=0.07)
    level, fat = u(0, 1.12), 0.015 + 0.17 * u() ** 1.7
    _choose_view(k)
    hu, native = _values(rng, difficulty)
    soft, muscle = u(0.8, 1.4) + 1.6 * difficulty * u(), u(45, 62)
    body = ct_body.draw_body(k, level, fat, hu["visceral"], muscle)
    ct_body.draw_surroundings(k, body, u() < 0.25)
    ct_body.draw_bowel(k, body, level, hu["gut"])
    _organs(k, body, level, hu, soft, muscle, native, difficulty)
    masks, absent = keep_visible(k.masks, crumb=1), find_absent(_ORGANS + _LESIONS, k.masks)
    lesions = tuple(name for name in _LESIONS if name in masks or name in absent)
    return GeneratedImage(_scan(k, difficulty), masks, absent, lesions)


def _choose_view(k: PhantomCanvas) -> None:
    """Take the whole body in most pictures, a close-up of a part in others."""
    u = k.rng.uniform
    kind = u()
    if kind < 0.55:
        k.set_view(u(0.86, 1.06))
    elif kind < 0.7:
        k.set_view(u(1.06, 1.3), u(-0.1, 0.1), u(-0.1, 0.2))
    else:
        k.set_view(u(0.4, 0.8), u(-0.45, 0.45), u(-0.25, 0.25))


def _values(rng: np.random.Generator, difficulty: float) -> tuple[dict[str, float], bool]:
    """Return the tissues' Hounsfield units, less apart the harder it is, and whether no contrast medium was given."""
    phase = int(rng.choice(len(_PHASES), p=[share for share, _ in _PHASES]))
    apart = 1 - 0.75 * difficulty * rng.uniform(0.4, 1)
    hu = {}
    for name, value in zip(_TISSUES, _PHASES[phase][1], strict=True):
        hu[name] = float(48 + (value - 48) * apart * rng.uniform(0.8, 1.2)) if name != "mottled" else float(value)
    if rng.random() < 0.15:
        hu["liver"] -= rng.uniform(15, 45)
    hu["visceral"] = -108 + difficulty * rng.uniform(20, 120)
    hu["cyst"] = rng.uniform(-2, 14) + 12 * difficulty
    return hu, phase == 0


def _organs(
    k: PhantomCanvas,
    body: ct_body.Body,
    level: float,
    hu: dict[str, float],
    soft: float,
    muscle: float,
    native: bool,
    difficulty: float,
) -> None:
    """Draw the organs of this level, those behind first."""
    u = k.rng.uniform
    space = ct_organs.draw_lungs(k, body, level) if level < 0.3 else body.cavity
    gap = coverage(body.wall - np.float32(k.size / 2 * u(0.05, 0.085)), 1.5 * k.px) * space
    lobes = ct_organs.draw_liver(k, gap, level, hu, soft) if level < 1 else ()
    if lobes and u() < 0.6:
        step = (u(40, 95) * (1 - 0.75 * difficulty)) * (-1 if native or u() < 0.75 else 1)
        ct_organs.draw_tumors(k, lobes, k.masks["liver"].astype(np.float32), step, soft + 2 * difficulty)
    if level < 0.72 and u() < 0.92:
        ct_organs.draw_stomach(k, gap, hu, soft)
    if level < 0.1 and u() < 0.6:
        ct_organs.draw_heart(k, body.cavity, hu)
    if 0.04 < level < 0.8:
        ct_organs.draw_spleen(k, gap, level, hu, soft)
    places = []
    for side, name, start in ((-1, "right kidney", 0.4), (1, "left kidney", 0.34)):
        if level > start + u(-0.05, 0.05):
            places.append(ct_organs.draw_kidney(k, side, name, body, level, hu, soft))
    ct_body.draw_spine(k, body, level, muscle)
    if places and u() < 0.55:
        ct_organs.draw_cyst(k, places[int(k.rng.integers(len(places)))], body.cavity, hu, soft)
    ct_organs.draw_vessels(k, body, level, hu, soft)


def _scan(k: PhantomCanvas, difficulty: float) -> Field:
    """Blur as the scanner does, add its grainy noise, and put the window on."""
    u, rng = k.rng.uniform, k.rng
    image = blur(k.image, (u(0.4, 0.8) + 0.8 * difficulty) * k.px)
    grain = 0.8 * k.smooth_field(100) + 0.5 * k.smooth_field(50)
    noise = np.float32(u(3, 9) + 34 * difficulty**1.5 * u(0.5, 1)) * grain
    center, width = u(25, 75), u(260, 460) * (1 + 0.3 * difficulty)
    fine = rng.standard_normal(image.shape, np.float32) * np.float32(u(2, 5))
    return np.asarray((image + noise + fine - np.float32(center - width / 2)) * np.float32(255 / width), np.float32)
