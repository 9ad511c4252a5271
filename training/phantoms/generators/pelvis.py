"""What lies around a prostate in an axial MR slice, in centimetres: muscles, bones, rectum, bladder, fat and skin."""

from collections.abc import Mapping

import numpy as np

from ibisagent.training.phantoms.canvas import Field
from ibisagent.training.phantoms.scene import Scene, smooth_min

__all__ = ["draw_bladder", "draw_pelvis", "draw_rectum"]

Tissue = Mapping[str, float]


def draw_pelvis(k: Scene, tissue: Tissue, z: float) -> None:
    """Draw body, muscles and bones around the middle, at heights from the apex (z 0) to the bladder (z 1)."""
    u = k.rng.uniform
    wide = u(16, 20)
    body = k.ellipse(0, u(-1, 1), wide, wide * u(0.55, 0.66), 0, 0.02, 2.5)
    k.fill(body, tissue["skin"], soft=1.2)
    k.fill(body - np.float32(0.3), tissue["fat"] * (1 + 0.05 * k.bumps(2) + 0.03 * k.bumps(0.6)), soft=1.2)
    strands = np.exp(-((k.bumps(2.2) / 0.1) ** 2)) * np.clip(k.bumps(5), 0, 1) * k.covered(body - 0.5)
    k.paint(strands * np.float32(0.5), tissue["muscle"])
    k.paint(np.clip(k.bumps(0.6) - 1.7, 0, 1) * k.covered(4.5 - np.hypot(k.X, k.Y - 1.0)), tissue["muscle"])
    meat = np.asarray(tissue["muscle"] * (1 + 0.12 * k.bumps(0.8) + 0.1 * k.bumps(0.3)), np.float32)
    for side in (-1, 1):
        _draw_side(k, side, tissue, meat, z)
    if z < 0.7:
        low = u(-5.2, -4.2)
        for side in (-1, 1):
            bone = k.path(
                [(side * u(0.5, 0.8), low), (side * u(3.5, 4.5), low - u(0.2, 1.2))], [u(0.9, 1.4), u(0.6, 0.9)], 0.12
            )
            _fill_bone(k, bone, tissue)
        k.fill(k.ellipse(0, low, 0.4, 1.2, 0, 0.1), tissue["cartilage"], soft=1.2)
    k.fill(k.path([(-3.5, u(6.2, 7.0)), (0, u(6.6, 8.0)), (3.5, u(6.2, 7.0))], [0.3, 0.5, 0.3], 0.3), meat, soft=1.4)
    tail = k.ellipse(u(-0.2, 0.2), u(6.0, 7.5), u(0.8, 1.6), u(0.5, 0.8), 0, 0.1)
    _fill_bone(k, tail, tissue)


def _draw_side(k: Scene, side: int, tissue: Tissue, meat: Field, z: float) -> None:
    """Draw one side: buttock, hip joint, the muscle inside the pelvis, the one in front, and the femoral vessels."""
    u = k.rng.uniform
    buttock = k.ellipse(side * u(6.5, 8.5), u(6.5, 8.0), u(5.0, 6.5), u(1.9, 2.8), side * -u(0.4, 0.7), 0.08)
    streaks = np.clip(0.75 + 0.5 * np.abs(k.bumps(0.9)) - 0.35 * np.abs(k.bumps(1.8)), 0, 1)
    k.fill(buttock, tissue["fat"] + (meat - tissue["fat"]) * streaks, soft=1.2)
    for x, y, rx, ry in (
        (9.5, -4.5, 2.9, 1.8),
        (6.6, -6.2, 2.3, 1.3),
        (12.5, -3.0, 1.9, 2.8),
        (4.2, -6.0, 2.4, 1.2),
        (12.0, 2.5, 2.0, 3.2),
        (9.5, 4.0, 2.6, 1.3),
    ):
        front = k.ellipse(side * x * u(0.92, 1.08), y + u(-0.6, 0.6), rx, ry * u(0.8, 1.2), side * u(0, 0.7), 0.12)
        k.fill(front, meat, soft=1.2)
    high, low = (side * u(5.4, 6.2), u(-3.4, -2.4)), (side * u(6.2, 7.4), u(2.6, 3.8))
    middle = (side * u(6.0, 6.6), u(-0.3, 0.6))
    socket = k.path([high, middle, low], [u(1.1, 1.6), u(0.7, 1.1), u(1.2, 1.8)], 0.2)
    _fill_bone(k, socket, tissue)
    if z > 0.25:
        r = u(2.1, 2.6)
        head = k.ellipse(side * u(8.6, 9.4), u(-0.8, 0.6), r, r, 0, 0.03)
        _fill_bone(k, head, tissue)
    high, low = (side * u(3.8, 4.6), u(-3.6, -2.4)), (side * u(4.2, 5.4), u(2.4, 3.8))
    middle = (side * u(4.5, 5.0), u(-0.5, 0.5))
    inner = k.path([high, middle, low], [u(0.5, 0.9), u(0.9, 1.3), u(0.4, 0.9)], 0.22)
    k.fill(inner, meat, soft=1.2)
    for _ in range(2):
        r = u(0.4, 0.65)
        vessel = k.ellipse(side * u(5.5, 7.2), u(-5.4, -4.4), r, r, 0, 0.06)
        k.fill(vessel, tissue["vessel"] if u() < 0.6 else tissue["fluid"], soft=1.0)


def _fill_bone(k: Scene, level: Field, tissue: Tissue) -> None:
    """Fill a bone: dark cortex, brighter marrow."""
    k.fill(level, tissue["cortex"], soft=1.2)
    marrow = tissue["marrow"] * (1 + 0.08 * k.bumps(1) + 0.05 * k.bumps(0.35))
    k.fill(level - np.float32(k.rng.uniform(0.12, 0.25)), marrow, soft=1.4)


def draw_rectum(k: Scene, tissue: Tissue, y: float, coil: bool) -> Field:
    """Draw the rectum whose front wall lies at ``y``: a wall in layers, and gas, stool or gel, or a coil's balloon."""
    u = k.rng.uniform
    ry, rx = (u(1.5, 2.0), u(2.0, 2.6)) if coil else (u(0.7, 1.9), u(1.1, 2.1))
    level = k.ellipse(u(-0.5, 0.5), y + ry, rx, ry, u(-0.3, 0.3), 0.1 if not coil else 0.04)
    k.fill(level + np.float32(0.5), tissue["fat"], soft=1.5)
    covered = k.fill(level, tissue["muscle"] * 1.2, soft=1.2, name="rectum")
    k.fill(level - np.float32(0.12), tissue["wall"], soft=1.2)
    lumen = level - np.float32(u(0.3, 0.5) if not coil else 0.25) * (1 + 0.3 * k.bumps(0.6))
    kind = u()
    content = tissue["gas"] if coil or kind < 0.4 else tissue["wall"] * u(0.5, 1.1) + 0.12 * k.bumps(0.4)
    k.fill(lumen, content, soft=1.2)
    if kind > 0.75 and not coil:
        bubbles = np.clip(k.bumps(0.4) - 0.6, 0, 1) * k.covered(lumen)
        k.paint(bubbles, tissue["gas"])
    return covered


def draw_bladder(k: Scene, tissue: Tissue, y: float) -> None:
    """Draw the bladder's lower part whose back lies at ``y``."""
    u = k.rng.uniform
    ry = u(0.9, 3.0)
    level = k.ellipse(u(-0.3, 0.3), y - ry, u(1.8, 4.2), ry, u(-0.1, 0.1), 0.07, 2.3)
    level = smooth_min(level, np.asarray(4.6 - np.abs(k.X), np.float32), 0.8)
    k.occlude(k.fill(level + np.float32(u(0.2, 0.5)), tissue["muscle"] * 1.3, soft=1.3))
    k.fill(level, tissue["fluid"], soft=1.2, name="urinary bladder")
