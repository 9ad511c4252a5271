"""MR of the prostate, axial: T2, or a map of diffusion; zones, nodules, a lesion. Right is on the picture's left."""

from collections.abc import Mapping

import numpy as np

from ibisagent.training.phantoms.canvas import Field, blur
from ibisagent.training.phantoms.generators.pelvis import draw_bladder, draw_pelvis, draw_rectum
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.scanners import receive_mr
from ibisagent.training.phantoms.scene import Scene, smooth_min
from ibisagent.training.phantoms.visible_targets import find_absent, keep_visible, tell_lesions

__all__ = ["generate"]

_TARGETS = ("prostate", "peripheral zone", "transition zone", "prostate lesion", "rectum", "urinary bladder")
_SEQUENCES: Mapping[str, Mapping[str, float]] = {
    "t2": {"skin": 0.3, "fat": 0.64, "muscle": 0.14, "fluid": 0.95, "cortex": 0.05, "marrow": 0.5, "cartilage": 0.3,
           "vessel": 0.08, "wall": 0.38, "gas": 0.02, "peripheral": 0.72, "transition": 0.38, "nodule": 0.6,
           "stroma": 0.2, "capsule": 0.14, "lesion": 0.22},
    "adc": {"skin": 0.1, "fat": 0.08, "muscle": 0.38, "fluid": 1.0, "cortex": 0.04, "marrow": 0.1, "cartilage": 0.2,
            "vessel": 0.4, "wall": 0.42, "gas": 0.02, "peripheral": 0.72, "transition": 0.55, "nodule": 0.66,
            "stroma": 0.44, "capsule": 0.4, "lesion": 0.28},
}  # fmt: skip
"""Brightness by tissue, 1 the brightest."""


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw a slice between the apex (z 0) and the bladder (z 1); ``difficulty`` takes contrast, adds noise and bias."""
    u = rng.uniform
    sequence = "t2" if u() < 0.85 else "adc"
    z, field = u(0, 1), u(9.5, 20) if u() < 0.78 else u(20, 34)
    k = Scene(rng, size, field, middle=(u(-1, 1), u(-1.5, 2)), warp=u(0.05, 0.25), turn=0.04)
    apart = 1 - 0.45 * difficulty * u()
    gland = ("peripheral", "transition", "nodule", "stroma", "lesion")
    tissue = {name: value * u(0.85, 1.15) for name, value in _SEQUENCES[sequence].items()}
    tissue |= {name: 0.42 + (tissue[name] - 0.42) * apart for name in gland}
    coil = sequence == "t2" and u() < 0.15
    draw_pelvis(k, tissue, z)
    big = float(np.interp(z, (0, 0.45, 1), (0.65, 1.0, 0.75)))
    rx, ry = u(2.2, 3.3) * big, u(1.6, 2.5) * big
    if z > 0.72:
        draw_bladder(k, tissue, -ry * u(0.2, 0.9))
    rectum = draw_rectum(k, tissue, ry * u(0.92, 1.05) + 0.15, coil)
    level = k.ellipse(0, 0, rx, ry, u(-0.08, 0.08), 0.06, u(2.0, 2.6))
    dent = np.float32(0.25) * np.exp(-((k.X / 0.8) ** 2)) * (k.Y > 0)
    level = smooth_min(level - dent, np.asarray(ry + 0.05 - k.Y, np.float32), 0.4)
    if z > 0.75 and u() < 0.8:
        _draw_vesicles(k, tissue, ry)
    _draw_around(k, tissue, rx, ry)
    _draw_gland(k, level, rx, ry, tissue)
    k.occlude(k.covered(level), keep=("prostate", "peripheral zone", "transition zone"))
    if u() < 0.55:
        _draw_lesion(k, level, tissue)
    k.masks["rectum"] &= (rectum > 0.5) & ~k.masks["prostate"]
    masks, absent = keep_visible(k.masks), find_absent(_TARGETS, k.masks)
    if coil:
        near = np.exp(-np.hypot(k.X, k.Y - (ry + 1.2)) / np.float32(u(2.5, 5)))
        k.image = np.asarray(k.image * (0.35 + u(1.0, 2.2) * near), np.float32)
    if sequence == "adc":
        k.image = blur(k.image, 1.6 * k.px)
    image = receive_mr(k, u(0.012, 0.03) + 0.04 * difficulty**2 * u(), u(0.03, 0.18), white=u(0.85, 1.1))
    return GeneratedImage(image, masks, absent, tell_lesions(("prostate lesion",), masks, absent))


def _draw_around(k: Scene, tissue: Mapping[str, float], rx: float, ry: float) -> None:
    """Draw the veins in front and beside, and the thin muscle that holds the gland on both sides."""
    u = k.rng.uniform
    veins = k.ellipse(0, -ry * 0.9, rx * u(0.9, 1.2), ry * u(0.5, 0.8), 0, 0.12)
    tone = (
        0.5 * (tissue["fat"] + tissue["muscle"])
        + 0.5 * (tissue["fluid"] - tissue["muscle"]) * np.clip(k.bumps(0.45), -1, 1) * 0.6
    )
    k.fill(veins, tone, soft=1.6)
    for side in (-1, 1):
        bundle = k.ellipse(side * rx * 0.85, ry * 0.75, u(0.5, 0.8), u(0.4, 0.7), 0, 0.2)
        k.fill(bundle, tissue["fat"] * 0.8 + 0.25 * k.bumps(0.25), soft=1.2)
        clear = 1 - k.covered(k.ellipse(0, ry + 1.4, 1.2, 1.2, 0, 0))
        high, low = (side * (rx + u(0.1, 0.5)), -ry), (side * u(1.2, 2.0), ry + u(1.5, 2.5))
        middle = (side * (rx + u(0.3, 0.7)), 0.2 * ry)
        sling = k.path([high, middle, low], [0.15, u(0.18, 0.32), u(0.15, 0.3)], 0.2)
        k.fill(sling, tissue["muscle"], soft=1.2, clip=clear)


def _draw_gland(k: Scene, level: Field, rx: float, ry: float, tissue: Mapping[str, float]) -> None:
    """Draw capsule, the bright zone behind and beside, the inner zone with its nodules and the urethra; name them."""
    u = k.rng.uniform
    whole = k.fill(level, tissue["capsule"], soft=1.2)
    bright = tissue["peripheral"] * (
        1 + 0.08 * k.bumps(0.9) + 0.07 * k.bumps(0.3) - 0.25 * np.clip(k.bumps(1.2) - 1, 0, 1)
    )
    k.fill(level - np.float32(0.1), bright, soft=1.2)
    share = u(0.5, 0.82)
    inner = k.ellipse(
        0, -ry * (1 - share) * u(0.6, 1.0), rx * min(share * u(0.95, 1.15), 0.9), ry * share, 0, 0.08, 2.2
    )
    inner = smooth_min(inner, level - np.float32(0.12), 0.3)
    middle = k.fill(inner + np.float32(0.07), tissue["capsule"], soft=1.2, clip=whole)
    k.fill(inner, tissue["transition"] * (1 + 0.12 * k.bumps(0.6) + 0.08 * k.bumps(0.25)), soft=1.3, clip=whole)
    for _ in range(int(k.rng.integers(0, 9))):
        place = k.pick_inside(inner, 0.25, 20)
        if place is None:
            continue
        r = u(0.25, 0.95)
        knot = smooth_min(k.ellipse(*place, r, r * u(0.7, 1), u(0, 3), 0.12), inner - np.float32(0.05), 0.15)
        k.fill(knot + np.float32(0.06), tissue["stroma"], soft=1.2)
        tone = tissue["nodule" if u() < 0.6 else "stroma"]
        k.fill(knot, tone * (1 + 0.22 * k.bumps(0.3)), soft=1.3)
    front = k.ellipse(0, -ry * 0.95, rx * u(0.3, 0.6), ry * u(0.15, 0.35), 0, 0.15)
    k.fill(front, tissue["stroma"] * 0.8, soft=2.5, clip=whole)
    if u() < 0.5:
        k.fill(k.ellipse(0, ry * u(-0.1, 0.3), 0.22, 0.28, 0, 0.1), tissue["peripheral"], soft=1.5, clip=whole)
    inside = (middle > 0.5) & (whole > 0.5)
    k.masks |= {"prostate": whole > 0.5, "transition zone": inside, "peripheral zone": (whole > 0.5) & ~inside}


def _draw_vesicles(k: Scene, tissue: Mapping[str, float], ry: float) -> None:
    """Draw the seminal vesicles, bright and coiled, behind the bladder."""
    u = k.rng.uniform
    for side in (-1, 1):
        level = k.path([(side * 0.4, ry), (side * u(2.5, 3.8), ry - u(0.2, 1.2))], [0.5, u(0.5, 0.8)], 0.15)
        coils = np.clip(0.5 + 1.3 * k.bumps(0.35), 0, 1)
        k.fill(level, tissue["capsule"] + (tissue["fluid"] - tissue["capsule"]) * coils, soft=1.3)


def _draw_lesion(k: Scene, level: Field, tissue: Mapping[str, float]) -> None:
    """Draw a dark lesion in one of the zones, lens-shaped or round."""
    u = k.rng.uniform
    zone = "peripheral zone" if u() < 0.7 else "transition zone"
    room = np.where(k.masks[zone], level, -1).astype(np.float32)
    place = k.pick_inside(room, 0.15)
    if place is None:
        return
    r = float(np.exp(u(np.log(0.4), np.log(1.2))))
    spot = k.ellipse(*place, r, r * u(0.55, 1), u(0, 3), 0.15)
    spot = smooth_min(spot, level - np.float32(0.08), 0.2)
    covered = k.fill(spot, tissue["lesion"] * (1 + 0.1 * k.bumps(0.4)), soft=2.5)
    k.masks["prostate lesion"] = covered > 0.5
