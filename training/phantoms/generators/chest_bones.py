"""What lies over the lungs in a frontal chest radiograph, in attenuation: ribs, shoulders, leads and pacemakers."""

import numpy as np

from ibisagent.training.phantoms.canvas import Field, PhantomCanvas, coverage
from ibisagent.training.phantoms.generators.chest_anatomy import Chest

__all__ = ["draw_bones", "draw_devices"]


def draw_bones(k: PhantomCanvas, chest: Chest, density: float) -> None:
    """Draw the ribs, behind and in front, the clavicles, the shoulder blades and the arms' heads."""
    u, half = k.rng.uniform, np.float32(k.size / 2)
    side = np.abs(k.X)
    within = coverage(chest.cage + np.float32(0.03) * half, 4 * k.px)
    spacing, bend, rise = u(0.15, 0.19), u(0.5, 0.9), u(0.1, 0.3)
    spread = 1 + 0.25 * np.clip(-k.Y, 0, 1)
    back = k.Y + rise * side - bend * (side * spread) ** 2 + 0.01 * k.smooth_field(4)
    front = k.Y + np.float32(u(0.35, 0.75)) * side + np.float32(u(0.2, 0.5)) * side**2
    ribs = np.zeros_like(side)
    for curve, weight, start in ((back, 1.0, 0.06), (front, u(0.3, 0.7), 0.3)):
        phase = curve / np.float32(spacing) + np.float32(u())
        off = np.abs(phase - np.rint(phase)) * np.float32(spacing)
        wide = np.float32(u(0.028, 0.036))
        band = coverage((wide - off) * half, 2 * k.px)
        edge = np.exp(-(((wide - 0.006 - off) / 0.008) ** 2))
        ends = coverage((side - np.float32(start)) * half, 8 * k.px)
        ribs += np.float32(weight) * (band * 0.7 + edge * 0.5) * ends
    edge_on = np.exp(-np.abs(chest.cage / (5 * k.px)))
    k.image += np.float32(density) * (ribs * (1 + 0.8 * edge_on)) * within
    _shoulders(k, chest.body, density)


def _shoulders(k: PhantomCanvas, body: Field, density: float) -> None:
    u, half = k.rng.uniform, np.float32(k.size / 2)
    top, slope, sway = u(-0.72, -0.5), u(-0.22, 0.1), u(0.015, 0.04)
    for sign in (-1, 1):
        x = sign * k.X
        line = np.float32(top + u(-0.03, 0.03)) + slope * x + sway * np.sin(9 * x)
        off = np.float32(0.026) + 0.012 * np.abs(x - 0.35) - np.abs(k.Y - line)
        level = np.minimum(off, np.minimum(x - np.float32(u(0.06, 0.1)), np.float32(u(0.62, 0.75)) - x)) * half
        bone = coverage(level, 1.5 * k.px) - 0.4 * coverage(level - 2.2 * k.px, 1.5 * k.px)
        k.image += np.float32(density * u(1.6, 2.6)) * bone * body
        lean = u(0.05, 0.3)
        blade = k.blob(sign * u(0.74, 0.9), u(-0.4, -0.25), 0.15, 0.32, sign * -lean, 0.05, 2.4)
        k.image += np.float32(density * u(0.4, 1.2)) * coverage(blade, 2 * k.px) * body
        head = k.blob(sign * u(0.94, 1.05), top + u(0, 0.1), 0.12, 0.13, 0, 0.04)
        k.image += np.float32(density * u(1.2, 2.4)) * coverage(head, 2 * k.px) * body


def draw_devices(k: PhantomCanvas, count: int) -> None:
    """Draw leads with their electrodes, tubes and pacemakers over everything."""
    u, rng = k.rng.uniform, k.rng
    half = np.float32(k.size / 2)
    for _ in range(count):
        kind = u()
        a, b, c, d = u(-0.7, 0.7), u(-0.8, 0.8), u(-0.8, 0.8), u(-0.25, 0.25)
        if kind < 0.8:
            wire = k.X - np.float32(a) - c * (k.Y - np.float32(b)) - d * np.sin(4 * (k.Y - np.float32(b)))
            line = np.minimum(0.006 - np.abs(wire) / np.float32(np.hypot(1, c)), (b - k.Y) + 0.0) * half
            k.image += np.float32(u(0.1, 0.5)) * coverage(line, 0.8 * k.px)
            electrode = k.blob(a, b, 0.035, 0.035, 0, 0.0)
            k.image += np.float32(u(0.1, 0.5)) * coverage(electrode, k.px)
        else:
            x, y = float(rng.choice([-1, 1, 1])) * u(0.4, 0.6), u(-0.55, -0.4)
            box = k.blob(x, y, u(0.1, 0.14), u(0.08, 0.12), u(-0.5, 0.5), 0, 3.5)
            k.image += np.float32(u(0.6, 1.4)) * coverage(box, k.px)
            across = (k.Y - y) / (0.25 - y)
            lead = k.X - np.float32(x) * (1 - np.clip(across, 0, 1) ** 0.6) - 0.1 * np.sin(3 * across)
            line = np.minimum(0.009 - np.abs(lead) * 0.6, 0.3 - np.abs(across - 0.5) + 0.2) * half
            k.image += np.float32(u(0.4, 0.9)) * coverage(line, 0.8 * k.px)
