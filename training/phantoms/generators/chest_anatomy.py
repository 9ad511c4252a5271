"""The anatomy of a frontal chest radiograph, in attenuation: soft tissue, lungs, heart, vessels."""

from dataclasses import dataclass

import numpy as np

from ibisagent.training.phantoms.canvas import Field, PhantomCanvas, coverage

__all__ = ["Chest", "draw_chest", "draw_vessels"]


@dataclass(frozen=True, slots=True, eq=False)
class Chest:
    """Coverages: the ``lungs``' fields without the heart, the ``heart``, the whole ``body``.

    ``cage``: the level of the rib cage; ``floor``: the y of the diaphragm's domes; ``belly``: attenuation below them.
    """

    lungs: Field
    heart: Field
    body: Field
    cage: Field
    floor: float
    belly: Field


def draw_chest(k: PhantomCanvas, aerated: float, soft: float) -> Chest:
    """Draw trunk, neck, mediastinum, lungs, heart and the belly under the diaphragm."""
    u, half = k.rng.uniform, np.float32(k.size / 2)
    floor, turned = u(0.25, 0.6), u(-0.05, 0.05)
    wide = u(0.66, 0.8)
    body = _trunk(k, wide + u(0.07, 0.28))
    base = k.image.copy()
    cage = k.blob(0, 0.12, wide, u(0.88, 0.98), 0, 0.015, u(2.2, 2.8))
    medial = _mediastinum(k, turned, floor)
    dome = []
    for sign in (-1, 1):
        at = sign * k.X - np.float32(u(0.26, 0.36))
        dome.append(np.float32(floor + (0.05 if sign > 0 else 0) + u(-0.02, 0.02)) + np.float32(u(1.0, 1.9)) * at * at)
    diaphragm = np.where(k.X < 0, dome[0], dome[1])
    field = np.minimum(np.minimum(cage, medial), (diaphragm - k.Y) * half)
    stretch = u(0.9, 1.45)
    heart_level = k.blob(
        0.1 + turned + u(0, 0.04), floor - 0.19, 0.3 * stretch, 0.23 * min(stretch, 1.1), u(0.3, 0.75), 0.03
    )
    heart_level = np.minimum(heart_level, (diaphragm + np.float32(0.06) - k.Y) * half)
    heart = coverage(heart_level, soft * k.px)
    lungs = coverage(field, soft * k.px) * (1 - heart)
    k.image -= np.float32(aerated) * lungs * (1 + 0.04 * k.fractal_field(8, 3) + 0.08 * k.smooth_field(3) + 0.1 * k.Y)
    dense = np.float32(u(0.2, 0.45))
    flank = np.where(k.Y < 0.12, cage, (np.float32(wide) - np.abs(k.X)) * half) + np.float32(0.04) * half
    below = coverage((k.Y - diaphragm) * half, 2 * k.px) * coverage(flank, 8 * k.px)
    k.image += dense * below
    middle = coverage(-medial, (2 + soft) * k.px) * np.clip((k.Y + 0.95) * 4, 0, 1) * (1 - below)
    k.image += np.float32(u(0.2, 0.4)) * np.maximum(middle, heart * np.float32(u(0.8, 1.15)))
    _gas(k, floor)
    return Chest(lungs, heart, body, cage, floor, np.asarray(base + dense, np.float32))


def _trunk(k: PhantomCanvas, wide: float) -> Field:
    """Draw the outline with neck, shoulders and upper arms, and the breasts; return what it covers."""
    u = k.rng.uniform
    side, half = np.abs(k.X), np.float32(k.size / 2)
    slope = np.float32(u(0.12, 0.3))
    shoulder = k.Y + np.float32(u(0.78, 0.92)) - slope * np.clip(side - 0.25, 0, None) ** 2 * 2 - 0.05
    neck = np.float32(u(0.17, 0.26)) - side + 1.2 * np.clip(k.Y + 1.1, 0, None) ** 2
    trunk = np.minimum(np.maximum(shoulder, neck), np.float32(wide) - side + 0.06 * k.Y)
    arms = np.minimum(shoulder, 0.16 - np.abs(side - np.float32(wide + u(0.17, 0.3)) - np.float32(u(0, 0.2)) * k.Y))
    body = coverage(np.maximum(trunk, arms) * half, 4 * k.px)
    thick = np.float32(u(0.6, 0.95)) + np.float32(0.05) * k.smooth_field(2) + np.float32(u(0, 0.12)) * k.Y
    k.image = np.asarray(body * thick * (0.4 + 0.6 * coverage(trunk * half, u(20, 50) * k.px)), np.float32)
    if u() < 0.5:
        size = u(0.22, 0.36)
        for sign in (-1, 1):
            breast = k.blob(sign * u(0.42, 0.52), u(0.3, 0.5), size, size * u(0.8, 1.1), 0, 0.04)
            k.image += np.float32(u(0.04, 0.16)) * coverage(breast, 6 * k.px) * body
    return body


def _mediastinum(k: PhantomCanvas, turned: float, floor: float) -> Field:
    """Draw spine, windpipe and great vessels; return the level outside of them, where lung may be."""
    u, half = k.rng.uniform, np.float32(k.size / 2)
    x, y, side = k.X - np.float32(turned), k.Y, np.abs(k.X)
    knob = np.float32(u(0.03, 0.1)) * np.exp(-(((y + np.float32(u(0.24, 0.34))) / 0.11) ** 2))
    trunk = np.float32(u(0.0, 0.05)) * np.exp(-(((y + 0.1) / 0.12) ** 2))
    waist = np.float32(u(0.05, 0.16)) * np.clip((y + np.float32(0.45 - floor)) / 0.35, 0, 1)
    left = np.float32(u(0.07, 0.12)) + knob + trunk + waist + 0.1 * np.clip(-y - 0.55, 0, 1)
    right = np.float32(u(0.07, 0.13)) + 0.02 * np.sin(4 * y) + 0.1 * np.clip(-y - 0.55, 0, 1)
    medial = np.where(k.X < 0, -x - right, x - left) * half
    spine = coverage((np.float32(u(0.07, 0.085)) - side) * half, 2 * k.px)
    discs = 0.75 + 0.25 * np.tanh(4 * np.sin(y * np.float32(u(38, 46))))
    k.image += np.float32(u(0.08, 0.2)) * spine * discs
    pipe = coverage((np.float32(u(0.028, 0.042)) - np.abs(x + 0.03 * y)) * half, 2 * k.px)
    fork = np.float32(u(-0.25, -0.12))
    k.image -= np.float32(u(0.12, 0.24)) * pipe * coverage((fork - y) * half, 5 * k.px)
    limb = 0.024 - np.abs(y - fork - 0.75 * np.abs(x))
    k.image -= 0.1 * coverage(np.minimum(limb, 0.17 - side) * half, 2 * k.px)
    return np.asarray(medial, np.float32)


def _gas(k: PhantomCanvas, floor: float) -> None:
    """Draw gas under the left dome and in the bowel."""
    u = k.rng.uniform
    for _ in range(int(k.rng.integers(0, 4))):
        r = u(0.05, 0.15)
        gas = k.blob(u(0.18, 0.6), floor + u(0.14, 0.4), r, r * u(0.5, 0.9), u(-0.5, 0.5), 0.12)
        k.image -= np.float32(u(0.1, 0.35)) * coverage(gas, 3 * k.px)


def draw_vessels(k: PhantomCanvas, chest: Chest, density: float, congestion: float) -> None:
    """Draw the hila, the vessels that run out of them, finer and finer, and a haze of ``congestion`` around."""
    u, rng = k.rng.uniform, k.rng
    table = rng.standard_normal((12, 72)).astype(np.float32)
    right = k.X < 0
    dx = np.abs(k.X) - np.float32(0.13)
    dy = k.Y + np.where(right, np.float32(u(0.0, 0.06)), np.float32(u(0.04, 0.1)))
    r = np.hypot(dx, dy) + np.float32(0.02)
    angle = np.arctan2(dy, dx) * np.float32(18 / np.pi) + 18 + 0.6 * k.smooth_field(8) + np.where(right, 36, 0)
    ring = np.clip(np.log2(r / np.float32(0.04)) * 1.3, 0, 10)
    lines = _interpolate_table(table, ring, angle)
    tree = np.exp(-((lines / 0.3) ** 2)) * np.clip(1.2 - 1.6 * r, 0.05, 1)
    hila = np.exp(-((dx / np.float32(u(0.06, 0.09))) ** 2) - (dy / 0.13) ** 2) * (0.8 + 0.4 * k.smooth_field(16))
    haze = np.float32(congestion) * np.exp(-((dx / 0.22) ** 2) - ((dy - 0.15) / 0.4) ** 2)
    k.image += (np.float32(density) * (tree + 1.6 * hila) + haze) * chest.lungs


def _interpolate_table(table: Field, row: Field, column: Field) -> Field:
    """Interpolate a table between its rows and columns."""
    i, j = row.astype(np.int32), column.astype(np.int32) % 71
    s, t = row - i, column - np.floor(column)
    t = t * t * (3 - 2 * t)
    upper = table[i, j] * (1 - t) + table[i, j + 1] * t
    lower = table[i + 1, j] * (1 - t) + table[i + 1, j + 1] * t
    return np.asarray(upper * (1 - s) + lower * s, np.float32)
