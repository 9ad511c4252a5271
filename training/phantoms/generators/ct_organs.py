"""The organs of an abdominal CT slice, and what may grow in them; painted over the body in Hounsfield units."""

import numpy as np

from ibisagent.training.phantoms.canvas import Field, PhantomCanvas, coverage
from ibisagent.training.phantoms.generators.ct_body import Body

__all__ = [
    "draw_cyst",
    "draw_heart",
    "draw_kidney",
    "draw_liver",
    "draw_lungs",
    "draw_spleen",
    "draw_stomach",
    "draw_tumors",
    "draw_vessels",
]

Values = dict[str, float]
Ellipse = tuple[float, float, float, float]
"""The x, y and half axes of an ellipse."""


def draw_lungs(k: PhantomCanvas, body: Body, level: float) -> Field:
    """Fill the cavity with lung behind and beside the diaphragm's domes; return what is left of it for the organs."""
    u = k.rng.uniform
    k.paint(body.cavity, -860 + 40 * k.smooth_field(24))
    low = level / 0.3
    small = u(0.82, 1)
    right = k.blob(
        -0.36, -0.1 + 0.05 * low, (0.4 + 0.08 * low) * small, (0.34 + 0.12 * low) * small, u(-0.2, 0.2), 0.05
    )
    left = k.blob(0.36, -0.05, (0.36 + 0.1 * low) * small, (0.32 + 0.14 * low) * small, u(-0.2, 0.2), 0.06)
    middle = k.blob(0.02, -0.02 + body.y / 3, u(0.16, 0.24), body.y * 0.7 + 0.12, 0, 0.05, 2.5)
    dome = np.maximum(np.maximum(right, left), middle)
    return k.paint_shape(dome, -100 + 8 * k.smooth_field(12), 1.2, clip=body.cavity)


def draw_heart(k: PhantomCanvas, space: Field, hu: Values) -> None:
    """Draw the heart's lower end on the dome of the diaphragm, in its fat."""
    u = k.rng.uniform
    x, y, r = u(-0.02, 0.16), u(-0.36, -0.24), u(0.16, 0.28)
    shape = k.blob(x, y, r, r * u(0.5, 0.75), u(-0.1, 0.4), 0.06)
    k.occlude(k.paint_shape(shape + np.float32(u(2, 5) * k.px), hu["visceral"], 1.5, clip=space))
    muscle = k.paint_shape(shape, hu["gut"] + 45, 1.5, clip=space)
    k.paint_shape(shape - np.float32(u(4, 9) * k.px), 0.9 * hu["aorta"] + 8, 3, clip=muscle)


def draw_liver(k: PhantomCanvas, space: Field, level: float, hu: Values, soft: float) -> tuple[Ellipse, ...]:
    """Draw the liver with its vessels and sometimes the gallbladder; return its lobes as (x, y, rx, ry)."""
    u, at = k.rng.uniform, [0.0, 0.3, 0.65, 1.0]
    right = (-0.45 + u(-0.04, 0.03), -0.05 + 0.1 * level, np.interp(level, at, [0.36, 0.4, 0.34, 0.2]) * u(0.9, 1.1),
             np.interp(level, at, [0.3, 0.38, 0.36, 0.24]) * u(0.9, 1.1))  # fmt: skip
    left = (np.interp(level, at, [0, -0.05, -0.12, -0.2]) + u(-0.06, 0.08), -0.27 + u(-0.04, 0.04),
            np.interp(level, at, [0.34, 0.36, 0.24, 0.05]) * u(0.8, 1.1), u(0.1, 0.17))  # fmt: skip
    shape = k.blob(*right, u(-0.35, 0.15), 0.05, 2.2)
    lobes: tuple[Ellipse, ...] = (right,)
    if left[2] > 0.12:
        shape = np.maximum(shape, k.blob(*left, u(-0.15, 0.3), 0.06))
        lobes = (right, left)
    value = hu["liver"] + 2 * k.smooth_field(20)
    tree = np.exp(-((k.smooth_field(7) / 0.1) ** 2)) * 0.8 + np.exp(-((k.smooth_field(13) / 0.12) ** 2)) * 0.5
    value += np.float32(hu["portal"] - hu["liver"]) * tree * np.clip(k.smooth_field(5) + 0.4, 0, 1)
    inside = k.paint_shape(shape, value, soft, name="liver", clip=space)
    if 0.15 < level < 0.75 and u() < 0.7:
        cut = k.blob(-0.14 + u(-0.06, 0.05), -0.26, u(0.008, 0.02), u(0.07, 0.16), u(-0.4, 0.4), 0.1)
        k.occlude(k.paint_shape(cut, hu["visceral"], 1.2, clip=inside))
    if 0.35 < level < 0.8 and u() < 0.6:
        bladder = k.blob(u(-0.32, -0.18), u(-0.16, -0.02), u(0.045, 0.075), u(0.06, 0.11), u(-0.6, 0.6), 0.06)
        k.paint_shape(bladder + np.float32(1.6 * k.px), hu["gut"] + 25, soft, clip=space)
        k.occlude(k.paint_shape(bladder, u(2, 18), soft, clip=space))
    return lobes


def draw_tumors(k: PhantomCanvas, lobes: tuple[Ellipse, ...], inside: Field, contrast: float, soft: float) -> None:
    """Draw one to three tumours into the liver, darker or brighter than it by ``contrast``, some with rim or core."""
    u, rng = k.rng.uniform, k.rng
    found = np.zeros_like(inside)
    for _ in range(int(rng.choice([1, 1, 1, 1, 2, 3]))):
        x, y, rx, ry = lobes[int(rng.integers(len(lobes)))]
        angle, far, r = u(0, 2 * np.pi), np.sqrt(u(0, 0.45)), float(np.exp(u(np.log(0.055), np.log(0.16))))
        r = min(r, 0.8 * min(rx, ry))
        shape = k.blob(x + rx * far * np.cos(angle), y + ry * far * np.sin(angle), r, r * u(0.7, 1), u(0, 3), 0.09)
        spot = coverage(shape, max(soft * k.px, 0.5)) * inside
        k.image += np.float32(contrast) * spot * (1 + 0.2 * k.smooth_field(16))
        if u() < 0.35:
            k.image += np.float32(-0.6 * contrast) * spot * np.exp(-(((shape - 2 * k.px) / (3 * k.px)) ** 2))
        if u() < 0.35:
            k.image += (
                np.float32(-abs(contrast) * 0.5) * coverage(shape - np.float32(r * k.size / 4), 3 * k.px) * inside
            )
        found = np.maximum(found, spot)
    k.masks["liver tumour"] = found > 0.5


def draw_spleen(k: PhantomCanvas, space: Field, level: float, hu: Values, soft: float) -> None:
    """Draw the spleen, a crescent along the left wall."""
    u = k.rng.uniform
    s = np.interp(level, [0, 0.25, 0.6, 0.8], [0.7, 1, 0.95, 0.6]) * u(0.8, 1.15)
    x, y = 0.58 + u(-0.03, 0.03), 0.06 + u(-0.05, 0.08)
    outer = k.blob(x, y, 0.2 * s, 0.28 * s, u(-0.35, 0.1), 0.05)
    hollow = k.blob(x - 0.21 * s, y - 0.05 + u(-0.06, 0.06), 0.15 * s, 0.2 * s, u(-0.3, 0.3), 0.08)
    mottled = k.smooth_field(14) * np.float32(hu["mottled"])
    k.occlude(
        k.paint_shape(np.minimum(outer, -hollow), hu["spleen"] + mottled, soft, name="spleen", clip=space),
        keep=("spleen",),
    )


def draw_stomach(k: PhantomCanvas, space: Field, hu: Values, soft: float) -> None:
    """Draw the stomach: wall, fluid or food, gas that floats in front."""
    u = k.rng.uniform
    x, y, r = u(0.2, 0.36), u(-0.28, -0.12), u(0.12, 0.24)
    shape = k.blob(x, y, r, r * u(0.55, 0.9), u(-0.5, 0.7), 0.09)
    whole = k.paint_shape(shape, hu["gut"] + 35, soft, name="stomach", clip=space)
    k.occlude(whole, keep=("stomach",))
    kind = u()
    food = u(-5, 45) if kind < 0.75 else u(90, 260)
    lumps = k.smooth_field(24) * np.float32(u(30, 90) if kind < 0.35 else 4)
    lumen = shape - np.float32(u(1.5, 4) * k.px)
    k.paint_shape(lumen, food + lumps, 1.2, clip=space)
    if u() < 0.65:
        top = np.float32(y + r * u(-0.5, 0.3))
        k.paint_shape(np.minimum(lumen, (top - k.Y) * np.float32(k.size / 2)), -900, 1, clip=space)


def draw_kidney(k: PhantomCanvas, side: int, name: str, body: Body, level: float, hu: Values, soft: float) -> Ellipse:
    """Draw a kidney in its fat, with cortex and sinus; ``side`` is -1 on the picture's left; return its place."""
    u = k.rng.uniform
    s = float(np.interp(level, [0.35, 0.5, 0.85, 1], [0.6, 1, 1, 0.7])) * u(0.9, 1.12)
    x, y, rx, ry = side * u(0.33, 0.39), body.y - u(0, 0.08), 0.105 * s, u(0.13, 0.155) * s
    turn = side * u(0.1, 0.6)
    bed = k.paint_shape(
        k.blob(x, y, rx * u(1.2, 1.6), ry * u(1.15, 1.45), turn, 0.05), hu["visceral"], 2, clip=body.cavity
    )
    k.occlude(bed, keep=("vertebra",))
    shape = k.blob(x, y, rx, ry, turn, 0.04)
    if 0.42 < level < 0.95 or u() < 0.3:
        open_ = k.blob(
            x - side * rx * u(0.75, 1.15),
            y + u(-0.02, 0.02) - 0.02,
            rx * u(0.5, 0.8),
            ry * u(0.2, 0.5),
            side * 0.3,
            0.1,
        )
        shape = np.minimum(shape, -open_)
    pyramids = np.clip(k.smooth_field(16) * 1.5 + 0.8, 0, 1)
    whole = k.paint_shape(shape, hu["cortex"], soft, name=name, clip=body.cavity)
    k.paint_shape(
        shape - np.float32(3.5 * k.px), hu["cortex"] + (hu["medulla"] - hu["cortex"]) * pyramids, 2.5, clip=whole
    )
    if u() < 0.6:
        pelvis = k.blob(x - side * rx * 0.5, y - 0.01, rx * 0.3, ry * u(0.15, 0.3), turn, 0.15)
        k.paint_shape(pelvis, hu["urine"], 1.5, clip=body.cavity)
    return x, y, rx, ry


def draw_cyst(k: PhantomCanvas, place: Ellipse, space: Field, hu: Values, soft: float) -> None:
    """Draw a cyst at the border of the kidney that lies at ``place``."""
    u = k.rng.uniform
    x, y, rx, ry = place
    angle, far, r = u(0, 2 * np.pi), u(0.5, 1.05), u(0.04, 0.1)
    shape = k.blob(
        x + np.sign(x) * abs(rx * far * np.cos(angle)), y + ry * far * np.sin(angle), r, r * u(0.85, 1), 0, 0.03
    )
    k.paint_shape(shape + np.float32(0.8 * k.px), hu["cortex"] * 0.3, soft, clip=space)
    covered = k.paint_shape(shape, hu["cyst"], soft, name="kidney cyst", clip=space)
    k.occlude(covered, keep=("kidney cyst", "left kidney", "right kidney"))


def draw_vessels(k: PhantomCanvas, body: Body, level: float, hu: Values, soft: float) -> None:
    """Draw aorta, named, and vena cava before the spine, and around them pancreas, duodenum, portal vein."""
    u, y = k.rng.uniform, body.y
    if level > 0.3:
        for _ in range(int(k.rng.integers(2, 6))):
            value = hu[("gut", "portal", "medulla")[int(k.rng.integers(3))]] if u() < 0.5 else hu["gut"] + u(0, 35)
            k.paint_shape(
                k.blob(u(-0.2, 0.28), y - u(0.2, 0.36), u(0.03, 0.12), u(0.02, 0.045), u(-0.5, 0.4), 0.12), value, 1.2
            )
    r = u(0.042, 0.068)
    k.paint_shape(
        k.blob(-u(0.08, 0.13), y - 0.13 + u(-0.04, 0.02), u(0.05, 0.07), u(0.03, 0.06), u(-0.4, 0.4), 0.06),
        hu["cava"],
        soft,
    )
    x = u(0.02, 0.09) if level > 0.3 else u(0.05, 0.13)
    shape = k.blob(x, y - 0.105 - r + u(-0.02, 0.02), r, r * u(0.92, 1), 0, 0.025)
    k.occlude(k.paint_shape(shape, hu["aorta"], soft, name="aorta"), keep=("aorta", "vertebra"))
    if u() < 0.3:
        k.paint(
            np.exp(-(((shape - 1.2 * k.px) / (1.2 * k.px)) ** 2)) * np.clip(2 * k.smooth_field(14) - 1.6, 0, 1), 500
        )
