"""The middle of a chest in axial CT: great vessels, airways, heart, gullet in fat, and the lungs' outline around it."""

from dataclasses import dataclass

import numpy as np

from ibisagent.training.phantoms.canvas import Field
from ibisagent.training.phantoms.generators.trunk_wall import Trunk
from ibisagent.training.phantoms.scene import Scene, smooth_max, smooth_min

__all__ = ["ChestMiddle", "draw_behind_heart", "draw_diaphragm", "draw_fat", "draw_lung_vessels", "draw_middle"]


@dataclass(frozen=True, slots=True, eq=False)
class ChestMiddle:
    """``lungs``: their level, both sides; ``middle``: the x that parts them; ``blood``: in Hounsfield units."""

    lungs: Field
    middle: float
    blood: float


def draw_middle(k: Scene, trunk: Trunk, z: float, blood: float) -> ChestMiddle:
    """Draw what lies between the lungs at the height ``z`` (0 apices, 1 domes); blood as bright as ``blood``."""
    u, y = k.rng.uniform, trunk.spine
    fat = u(-110, -70)
    cage = trunk.inner - np.float32(0.15)
    top = u(-0.82, -0.68) * trunk.deep
    strap = np.float32(u(1.3, 2.4)) + np.float32(0.25) * k.bumps(5)
    middle = smooth_min(np.asarray(strap - np.abs(k.X - 0.3), np.float32), np.asarray(y + 2 - k.Y, np.float32), 0.8)
    middle = smooth_max(middle, np.asarray(2.2 - np.hypot(k.X, k.Y - y), np.float32), 1.0)
    wide = u(2.6, 4.2) if z < 0.6 else u(2.2, 3.0)
    middle = smooth_max(middle, k.ellipse(0.3, (top + y) / 2, wide, (y - top) / 2 - 1.2, 0, 0.08), 1.5)
    shapes: list[tuple[str, Field, float]] = []
    if z > 0.42:
        shapes.append(("heart", _heart_level(k, trunk, z), 0.95))
    for _, level, _ in shapes:
        middle = smooth_max(middle, level + np.float32(0.4), 1.0)
    k.fill(cage, fat + 6 * k.bumps(2), soft=0.9)
    lungs = smooth_min(cage, -middle, 0.8)
    if z < 0.15:
        small = np.float32(3.5 * (0.15 - z) / 0.15)
        lungs = lungs - small * (1 + 0.2 * k.bumps(6))
        k.fill(cage, u(30, 60), soft=1.2)
        k.fill(smooth_min(smooth_max(lungs, middle, 0.5) + 0.6, cage, 0.5), fat, soft=1.5)
    for name, level, share in shapes:
        inside = k.fill(level, u(35, 60) if blood < 60 else 70, soft=1.0, name=name)
        rooms = k.covered(level - np.float32(u(0.5, 0.9))) * np.clip(0.8 + k.bumps(4), 0, 1)
        k.paint(rooms * inside, share * blood + 8 * k.bumps(2))
    _draw_vessels(k, trunk, z, blood, fat)
    return ChestMiddle(np.asarray(lungs, np.float32), 0.3, blood)


def _heart_level(k: Scene, trunk: Trunk, z: float) -> Field:
    """Return the level of the heart, its apex to the front and the picture's right."""
    u = k.rng.uniform
    s = float(np.interp(z, (0.42, 0.6, 0.85, 1.0), (0.6, 1.0, 1.05, 0.75)))
    x, y = u(0.8, 2.2), u(-0.38, -0.2) * trunk.deep
    body = k.ellipse(x, y, u(5.2, 6.6) * s, u(3.8, 4.8) * s, u(0.35, 0.75), 0.05, 2.2)
    back = k.ellipse(x - 0.6, y + 2.6 * s, u(3.2, 4.2) * s, u(2.0, 2.8) * s, u(-0.1, 0.3), 0.06)
    return smooth_min(smooth_max(body, back, 1.5), trunk.inner - 0.5, 1.0)


def _draw_vessels(k: Scene, trunk: Trunk, z: float, blood: float, fat: float) -> None:
    """Draw windpipe or its two branches, gullet, aorta with its arch, and the other great vessels."""
    u, y = k.rng.uniform, trunk.spine
    soft, front = 40 if blood < 60 else 60, 0.35 * blood + 30
    low = z > 0.3
    vessels = []
    if z < 0.18:
        vessels = [(side * u(1.6, 2.8), y - u(4.5, 7.0), u(0.4, 0.75)) for side in (-1, -1, 1, 1, 1)]
    elif not low:
        arch = k.path(
            [(-0.6, y - 7.2), (1.2, y - 6.0), (2.3, y - 3.0)], [u(1.1, 1.4), u(1.15, 1.4), u(1.1, 1.35)], 0.06
        )
        k.occlude(k.fill(arch, blood + 6 * k.bumps(2), soft=0.9, name="aorta"), keep=("aorta",))
        vessels = [(-2.2, y - u(6.0, 7.4), u(0.8, 1.1))]
    elif z < 0.62:
        vessels = [(-2.4, y - u(6.0, 7.2), u(0.75, 1.05))]
        rising = k.ellipse(-0.6, y - u(7.2, 8.4), u(1.4, 1.8), u(1.4, 1.8), 0, 0.04)
        trunk_line = k.path([(1.9, y - 8.0), (1.0, y - 5.4), (-2.8, y - 4.4)], [1.3, 1.15, 0.9], 0.08)
        k.fill(trunk_line, blood * u(0.85, 1.15) if blood > 60 else blood, soft=0.9)
        k.fill(rising, blood + 6 * k.bumps(2), soft=0.9)
    for x, y0, r in vessels:
        k.fill(k.ellipse(x, y0, r, r * u(0.85, 1.1), 0, 0.06), blood * u(0.8, 1.2) if blood > 60 else blood, soft=0.9)
    if low:
        r = u(1.05, 1.45)
        aorta = k.ellipse(u(1.9, 2.8), y - u(0.9, 1.8), r, r * u(0.93, 1.05), 0, 0.03)
        k.fill(aorta + np.float32(0.2), fat, soft=1.0)
        k.occlude(k.fill(aorta, blood + 5 * k.bumps(2), soft=0.9, name="aorta"), keep=("aorta",))
    gullet = k.ellipse(u(0.2, 1.0), y - u(2.4, 3.2), u(0.7, 1.1), u(0.5, 0.8), 0, 0.12)
    k.fill(gullet, soft, soft=1.0)
    if u() < 0.3:
        k.fill(gullet - np.float32(0.45), -900, soft=0.9)
    airways = [(u(-0.3, 0.2), y - u(4.0, 5.2), u(0.8, 1.05))]
    if z > 0.32:
        airways = [(-u(1.6, 2.4), y - u(3.4, 4.4), u(0.6, 0.8)), (u(1.5, 2.4), y - u(3.4, 4.4), u(0.55, 0.75))]
    for x, y0, r in airways if z < 0.6 else ():
        tube = k.ellipse(x, y0, r, r * u(0.8, 1.1), 0, 0.05)
        k.occlude(k.fill(tube + np.float32(0.15), front * 0 + 20, soft=0.9))
        k.fill(tube, -985, soft=0.8, name="trachea" if len(airways) == 1 else None)


def draw_diaphragm(k: Scene, chest: ChestMiddle, z: float) -> None:
    """Draw the domes of liver and stomach that rise into the lungs in the lowest slices."""
    u = k.rng.uniform
    if z < 0.86:
        return
    for side, value in ((-1, u(60, 115)), (1, u(-60, 60))):
        if u() < 0.75:
            r = u(2.0, 7.0) * (1.2 if side < 0 else 0.8)
            dome = k.ellipse(side * u(5, 7.5), u(-3, 2), r, r * u(0.7, 1.1), u(0, 3), 0.1)
            k.occlude(k.fill(smooth_min(dome, chest.lungs, 0.5), value + 3 * k.bumps(2), soft=1.5))


def draw_lung_vessels(k: Scene, middle: float, lungs: Field, value: float) -> None:
    """Draw the vessels that branch out of both hila into the lungs."""
    u, rng, trees = k.rng.uniform, k.rng, []
    for side in (-1, 1):
        root = (middle + side * u(2.6, 3.8), u(-1.2, 2.4))
        for turn in np.linspace(-1.4, 1.4, 5) + rng.normal(0, 0.2, 5):
            way = turn if side > 0 else np.pi - turn
            trees.append(k.grow_tree(root, way, u(0.16, 0.3), u(1.9, 3.4), 5, 0.55))
    x, y, r = np.concatenate(trees, axis=1)
    k.paint(k.stamp(x, y, 0.85 * r, 0.8) * lungs * np.clip(0.75 + 0.35 * k.bumps(3), 0, 1), value)


def draw_fat(k: Scene, trunk: Trunk, fat: float) -> Field:
    """Fill the cage with fat, and return the level of both lungs around a middle that a heart is drawn on."""
    u, y = k.rng.uniform, trunk.spine
    cage = trunk.inner - np.float32(0.15)
    k.fill(cage, fat + 6 * k.bumps(2), soft=0.9)
    strap = np.asarray(u(0.5, 1.3) - np.abs(k.X - u(0, 1.5)) + 0.2 * k.bumps(4), np.float32)
    middle = smooth_max(strap, np.asarray(2.4 - np.hypot(k.X, k.Y - y), np.float32), 1.0)
    return smooth_min(cage, -middle, 0.8)


def draw_behind_heart(
    k: Scene, trunk: Trunk, blood: float, fat: float, *, soft_tissue: float = 50.0, air: float = -900.0
) -> None:
    """Draw the aorta that descends beside the spine, and the gullet, sometimes with ``air`` in it."""
    u, y = k.rng.uniform, trunk.spine
    r, share = u(1.0, 1.4), 1 + 0.1 * k.bumps(2)
    aorta = k.ellipse(u(1.9, 2.8), y - u(0.6, 1.5), r, r * u(0.93, 1.05), 0, 0.03)
    k.fill(aorta + np.float32(0.2), fat, soft=1.2)
    k.occlude(k.fill(aorta, blood * share, soft=1.0))
    gullet = k.ellipse(u(0.2, 1.0), y - u(2.3, 2.9), u(0.6, 0.9), u(0.4, 0.7), 0, 0.12)
    k.occlude(k.fill(gullet, soft_tissue, soft=1.0))
    if u() < 0.3:
        k.fill(gullet - np.float32(0.35), air, soft=0.9)
