"""CT of the upper and middle belly, axial, seen from the feet: the patient's right is on the picture's left."""

import numpy as np

from ibisagent.training.phantoms.canvas import Field
from ibisagent.training.phantoms.generators import trunk_bowel, trunk_organs, trunk_wall
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.scanners import scan_ct
from ibisagent.training.phantoms.scene import Scene
from ibisagent.training.phantoms.visible_targets import find_absent, keep_visible, tell_lesions

__all__ = ["generate"]

_ORGANS = ("liver", "spleen", "left kidney", "right kidney", "aorta", "vertebra", "stomach", "pancreas", "gallbladder",
           "inferior vena cava")  # fmt: skip
_LESIONS = ("liver tumour", "kidney cyst", "kidney tumour")

_TISSUES = (
    "liver",
    "spleen",
    "cortex",
    "medulla",
    "aorta",
    "cava",
    "portal",
    "urine",
    "wall",
    "pancreas",
    "mass",
    "mottled",
)
_PHASES = (
    (0.22, (58, 48, 34, 33, 42, 40, 41, 6, 35, 40, 36, 0)),
    (0.2, (74, 115, 180, 75, 290, 75, 90, 6, 65, 95, 110, 22)),
    (0.43, (112, 122, 180, 150, 155, 140, 165, 15, 70, 92, 90, 0)),
    (0.15, (92, 96, 140, 145, 112, 110, 112, 500, 60, 75, 75, 0)),
)
"""Shares of the contrast phases: native, arterial, portal venous, late; and the tissues' Hounsfield units in each."""


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw a slice between the domes of the diaphragm (z 0) and the lower poles of the kidneys (1.2)."""
    u = rng.uniform
    z, wide = u(0, 1.2), u(14.5, 20.5)
    deep, fat = wide * u(0.62, 0.8), 0.3 + 3.6 * u() ** 1.8
    k = _lay_view(rng, size, wide, deep)
    hu, native = _values(rng, difficulty)
    soft = u(0.7, 1.2) + 1.0 * difficulty * u()
    trunk = trunk_wall.draw_wall(k, wide, deep, min(fat, 0.22 * deep), hu["muscle"])
    trunk_wall.draw_table(k, trunk)
    if u() < 0.12:
        trunk_wall.draw_arms(k, trunk)
    trunk_wall.draw_ribs(
        k, trunk, int(rng.integers(4, 7)) if z < 0.75 else 2, (1.0, 4.0), -1.2 if z < 0.75 else u(0, 0.8)
    )
    _draw_organs(k, trunk, z, hu, soft, native, difficulty)
    if u() < 0.35:
        _cut_circle(k)
    masks, absent = keep_visible(k.masks, crumb=1), find_absent(_ORGANS + _LESIONS, k.masks)
    window = (
        (u(30, 70), u(300, 460)) if u() < 0.8 else (u(40, 110), u(180, 300)) if u() < 0.6 else (u(20, 60), u(500, 900))
    )
    image = scan_ct(k, window, u(4, 10) + 22 * difficulty**2 * u() ** 1.5, k.covered(trunk.outer, 30))
    return GeneratedImage(image, masks, absent, tell_lesions(_LESIONS, masks, absent))


def _lay_view(rng: np.random.Generator, size: int, wide: float, deep: float) -> Scene:
    """Take the whole body, body and much air, or a close-up of a part."""
    u, kind = rng.uniform, rng.random()
    if kind < 0.62:
        field, middle = 2 * wide * u(0.96, 1.15), (u(-1, 1), u(-0.5, 2))
    elif kind < 0.8:
        field, middle = 2 * wide * u(1.15, 1.35), (u(-2, 2), u(-3, 3))
    else:
        field, middle = u(15, 26), (u(-0.45, 0.45) * wide, u(-0.3, 0.3) * deep)
    return Scene(rng, size, field, middle=middle, background=-1000, warp=u(0.1, 0.5), turn=0.04)


def _values(rng: np.random.Generator, difficulty: float) -> tuple[dict[str, float], bool]:
    """Return the tissues' Hounsfield units, less apart the harder it is, and whether no contrast medium was given."""
    phase = int(rng.choice(len(_PHASES), p=[share for share, _ in _PHASES]))
    apart = 1 - 0.5 * difficulty * rng.uniform(0.2, 1)
    hu = {
        name: float(48 + (value - 48) * apart * rng.uniform(0.82, 1.18) + rng.normal(0, 3))
        for name, value in zip(_TISSUES, _PHASES[phase][1], strict=True)
    }
    hu["mottled"] = _PHASES[phase][1][-1]
    if rng.random() < 0.12:
        hu["liver"] -= rng.uniform(15, 45)
    hu |= {"fat": rng.uniform(-115, -95) + 35 * difficulty * rng.random() ** 3, "muscle": rng.uniform(46, 66)}
    hu["cyst"] = rng.uniform(-3, 15)
    return hu, phase == 0


def _draw_organs(
    k: Scene, trunk: trunk_wall.Trunk, z: float, hu: dict[str, float], soft: float, native: bool, difficulty: float
) -> None:
    """Draw the organs of this height, those behind others first."""
    u, rng = k.rng.uniform, k.rng
    trunk_bowel.draw_mesentery(k, trunk, hu)
    space: Field = trunk.inner
    if z < 0.34:
        space = trunk_organs.draw_lung_bases(k, trunk, z)
        k.fill(space, hu["fat"] + 5 * k.bumps(2), soft=0.9)
    if z > 0.4:
        trunk_bowel.draw_small_bowel(k, trunk, z, hu)
    trunk_bowel.draw_colon(k, trunk, space, z, hu)
    if 0.38 < z < 0.9:
        trunk_organs.draw_pancreas(k, trunk, z, hu, soft)
    if z < 0.8 and u() < 0.93:
        trunk_bowel.draw_stomach(k, trunk, space, z, hu, soft)
    liver = trunk_organs.draw_liver(k, trunk, space, z, hu, soft)
    if u() < 0.55:
        step = u(30, 80) * (1 - 0.5 * difficulty) * (-1 if native or u() < 0.8 else 1)
        trunk_organs.draw_tumours(k, liver, step, soft)
    if 0.03 < z < 0.95:
        trunk_organs.draw_spleen(k, trunk, space, z, hu, soft)
    kidneys = [
        trunk_organs.draw_kidney(k, trunk, side, z + u(-0.1, 0.1) - 0.06 * (side < 0), hu, soft) for side in (-1, 1)
    ]
    trunk_organs.draw_vessels(k, trunk, z, hu, soft)
    k.occlude(trunk_wall.draw_spine(k, trunk), keep=("vertebra",))
    there = [each for each in kidneys if each is not None]
    if there and u() < 0.5:
        place, radius = there[int(rng.integers(len(there)))]
        trunk_organs.draw_renal_lesion(k, trunk, place, radius, hu, soft, cyst=u() < 0.6)


def _cut_circle(k: Scene) -> None:
    """Blacken what lies outside the circle that was reconstructed."""
    off = np.hypot(k.X - np.float32(k.middle[0]), k.Y - np.float32(k.middle[1]))
    outside = k.covered(np.asarray(off - np.float32(k.field * k.rng.uniform(0.485, 0.5)), np.float32))
    k.paint(outside, -2000)
    k.occlude(outside)
