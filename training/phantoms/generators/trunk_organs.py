"""The solid organs of the belly in axial CT, packed against each other and the wall; Hounsfield units, centimetres."""

import numpy as np

from ibisagent.training.phantoms.canvas import Field
from ibisagent.training.phantoms.generators.trunk_wall import Trunk
from ibisagent.training.phantoms.scene import Point, Scene, smooth_max, smooth_min

__all__ = ["draw_kidney", "draw_liver", "draw_lung_bases", "draw_pancreas", "draw_renal_lesion", "draw_spleen",
           "draw_tumours", "draw_vessels"]  # fmt: skip

Values = dict[str, float]


def draw_lung_bases(k: Scene, trunk: Trunk, z: float) -> Field:
    """Fill the rim of the cavity with lung; return the level of the domes under the diaphragm."""
    u = k.rng.uniform
    low = np.clip(z / 0.34, 0, 1)
    rim = np.float32(u(2.2, 3.4) * (1 - low)) * (0.12 + 1.1 * np.clip((k.Y + 4) / 7, 0, 1.3))
    dome = trunk.inner - rim - np.float32(0.3) * k.bumps(6)
    middle = np.asarray(u(2.6, 3.6) - np.abs(k.X - 0.6), np.float32)
    dome = smooth_max(dome, smooth_min(middle, trunk.inner - 0.3, 1.0), 1.0)
    air = k.fill(trunk.inner - 0.1, u(-880, -820) + 25 * k.bumps(3))
    lungs = np.clip(k.bumps(0.9) - 1.7, 0, 1) + np.clip(k.bumps(0.5) - 2.0, 0, 1)
    k.paint(np.clip(lungs, 0, 1) * air, 10)
    return np.asarray(dome, np.float32)


def draw_liver(k: Scene, trunk: Trunk, space: Field, z: float, hu: Values, soft: float) -> Field:
    """Draw the liver with vessels, fissure and gallbladder against the wall; return its level."""
    u, a, b = k.rng.uniform, trunk.wide, trunk.deep
    at = (0, 0.25, 0.5, 0.8, 1.1)
    big = float(np.interp(z, at, (0.4, 0.47, 0.45, 0.35, 0.2))) * u(0.88, 1.12)
    right = k.ellipse(-0.47 * a, u(-0.12, 0.08) * b, big * a, 0.95 * b, u(-0.25, 0.05), 0.05, 2.4)
    if z > 0.62:
        slant, edge = np.float32(u(-0.05, 0.5)), np.float32(u(0.32, 0.55) * a * (z - 0.15))
        inward = -k.X - slant * (k.Y + np.float32(0.1 * b)) - edge + np.float32(0.5) * k.bumps(5)
        right = smooth_min(right, np.asarray(inward, np.float32), 2.5)
    level = right
    wing = float(np.interp(z, at, (0.42, 0.46, 0.36, 0.12, 0))) * u(0.65, 1.15)
    if wing > 0.14:
        left = k.ellipse(u(-0.06, 0.06) * a, u(-0.6, -0.45) * b, wing * a, u(0.27, 0.42) * b, u(-0.1, 0.3), 0.07)
        level = smooth_max(level, left, 1.8)
    if 0.15 < z < 0.7:
        caudate = k.ellipse(u(-2.6, -1.4), trunk.spine - u(4.2, 5.0), u(1.2, 2.2), u(1.0, 1.7), 0.3, 0.08)
        level = smooth_max(level, caudate, 0.8)
    spine = np.hypot(k.X, (k.Y - np.float32(trunk.spine + 0.5)) * 0.9) - np.float32(u(3.1, 3.9))
    level = smooth_min(smooth_min(level, space - np.float32(u(0.15, 0.4)), 0.9), np.asarray(spine, np.float32), 1.2)
    level = level + np.float32(0.12) * k.bumps(3.5)
    k.fill(level + np.float32(0.14), hu["fat"], soft=1.0, clip=k.covered(trunk.inner))
    inside = k.fill(level, hu["liver"] + 2.5 * k.bumps(1.0) + 2 * k.bumps(5), soft=soft, name="liver")
    k.occlude(inside, keep=("liver",))
    _paint_liver_vessels(k, trunk, z, hu, inside)
    if 0.2 < z < 0.7 and u() < 0.75:
        x = u(-0.16, -0.02) * a
        cut = k.path([(x, -0.75 * b), (x + u(-1.5, 0.5), -0.75 * b + u(2.5, 5.5))], [u(0.12, 0.4), u(0.05, 0.2)], 0.3)
        k.occlude(k.fill(cut, hu["fat"] + 15, soft=1.0, clip=inside))
    if 0.4 < z < 0.85 and u() < 0.7:
        _draw_gallbladder(k, trunk, hu, soft)
    return level


def _paint_liver_vessels(k: Scene, trunk: Trunk, z: float, hu: Values, inside: Field) -> None:
    """Paint hepatic veins towards the cava high up, portal branches out of the hilum lower down."""
    u, a = k.rng.uniform, trunk.wide
    parts = []
    if z < 0.4:
        root = (-2.6, trunk.spine - 3.2)
        turns = np.pi * u(0.98, 1.12), np.pi * u(1.18, 1.3), np.pi * u(1.42, 1.6)
        parts += [k.grow_tree(root, turn, u(0.22, 0.55), u(2.5, 4.5), 3, 0.4) for turn in turns if u() < 0.85]
    if z > 0.2:
        root = (u(-0.2, -0.1) * a, trunk.spine - u(5, 6.5))
        turns = np.pi * u(0.9, 1.1), np.pi * u(1.1, 1.35), np.pi * u(1.45, 1.7)
        parts += [k.grow_tree(root, turn, u(0.2, 0.5), u(1.8, 3.6), 4, 0.55) for turn in turns]
    if parts:
        x, y, r = np.concatenate(parts, axis=1)
        seen = np.clip(0.55 + 0.6 * k.bumps(4), 0, 1)
        k.paint(k.stamp(x, y, r, 1.2) * seen * inside, hu["portal"])


def _draw_gallbladder(k: Scene, trunk: Trunk, hu: Values, soft: float) -> None:
    u = k.rng.uniform
    x, y = u(-0.42, -0.22) * trunk.wide, u(-0.4, -0.12) * trunk.deep
    level = k.ellipse(x, y, u(1.1, 1.9), u(1.7, 3.0), u(-0.7, 0.5), 0.08)
    k.occlude(k.fill(level + np.float32(0.2), hu["wall"], soft=1.0, clip=k.covered(trunk.inner)))
    k.fill(level, u(2, 22), soft=soft, name="gallbladder", clip=k.covered(trunk.inner))
    if u() < 0.15:
        stone = k.ellipse(x + u(-0.4, 0.4), y + 0.9, u(0.25, 0.6), u(0.25, 0.5), 0, 0.1)
        k.fill(stone, u(80, 400), clip=k.covered(level))


def draw_tumours(k: Scene, liver: Field, step: float, soft: float) -> None:
    """Draw one to several tumours into the liver: ragged, some with a bright rim, a dark core, or a dim halo."""
    u, rng = k.rng.uniform, k.rng
    inside = k.covered(liver) * k.masks["liver"]
    found = np.zeros_like(inside)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3, 5]))):
        place = k.pick_inside(liver, 0.6)
        if place is None:
            continue
        r = float(np.exp(u(np.log(0.7), np.log(3.2))))
        level = k.ellipse(*place, r, r * u(0.65, 1), u(0, 3), u(0.06, 0.2))
        here = k.covered(level, soft + 1) * inside
        k.image += np.float32(step) * here * (1 + 0.15 * k.bumps(0.5 * r) + 0.1 * k.bumps(0.3))
        if u() < 0.35:
            k.image += np.float32(u(0.4, 1.2) * abs(step)) * np.exp(-(((level - 0.15) / 0.16) ** 2)) * inside
        if u() < 0.4:
            core = k.covered(level - np.float32(r * u(0.35, 0.6)) + np.float32(0.15 * r) * k.bumps(0.6 * r), 3)
            k.image -= np.float32(u(0.2, 0.8) * abs(step)) * core * inside
        found = np.maximum(found, here)
    k.masks["liver tumour"] = found > 0.5


def draw_spleen(k: Scene, trunk: Trunk, space: Field, z: float, hu: Values, soft: float) -> None:
    """Draw the spleen, a crescent along the left wall."""
    u, a, b = k.rng.uniform, trunk.wide, trunk.deep
    s = float(np.interp(z, (0, 0.15, 0.3, 0.6, 0.95), (0.7, 1.1, 1.12, 0.95, 0.45))) * u(0.8, 1.25)
    x, y = u(0.66, 0.74) * a, u(0.0, 0.25) * b
    outer = k.ellipse(x, y, 4.2 * s, 5.4 * s, u(-0.5, 0.1), 0.06)
    hollow = k.ellipse(x - 4.4 * s, y - u(0, 1.5), 3.4 * s, u(3.5, 5.0) * s, u(-0.4, 0.4), 0.12)
    level = smooth_min(smooth_min(outer, space - np.float32(0.2), 0.8), -hollow, 1.2) + np.float32(0.08) * k.bumps(2)
    k.fill(level + np.float32(0.14), hu["fat"], soft=1.0, clip=k.covered(trunk.inner))
    value = hu["spleen"] + np.float32(hu["mottled"]) * np.sin(2.2 * k.bumps(2.2)) + 2 * k.bumps(1)
    whole = k.fill(level, value, soft=soft, name="spleen")
    k.occlude(whole, keep=("spleen",))


def draw_kidney(k: Scene, trunk: Trunk, side: int, z: float, hu: Values, soft: float) -> tuple[Point, float] | None:
    """Draw a kidney in its fat, hilum forward and inward; ``side`` -1: the picture's left. Return place and radius."""
    u = k.rng.uniform
    name = "right kidney" if side < 0 else "left kidney"
    s = float(np.interp(z, (0.26, 0.36, 0.5, 0.95, 1.2), (0.0, 0.5, 1.0, 1.0, 0.5))) * u(0.9, 1.15)
    if s < 0.5:
        return None
    x, y = side * u(5.4, 7.4), trunk.spine + u(-1.2, 1.2)
    rx, ry, turn = u(2.3, 2.8) * s, u(2.8, 3.4) * s, side * u(0.2, 0.9)
    bed = k.ellipse(x + side * 0.2, y, rx * u(1.15, 1.5), ry * u(1.15, 1.45), turn, 0.08)
    k.occlude(k.fill(bed, hu["fat"] + 6 * k.bumps(1), soft=1.0, clip=k.covered(trunk.inner - 0.1)))
    strands = np.exp(-((k.bumps(1.4) / 0.12) ** 2)) * k.covered(bed)
    k.paint(strands * np.float32(u(0, 0.35)), 10)
    level = k.ellipse(x, y, rx, ry, turn, 0.05)
    sinus = np.full_like(level, -99.0)
    if 0.45 < z < 1.05:
        sx, sy = x - side * rx * u(0.45, 0.75), y - ry * u(0.1, 0.35)
        sinus = k.path(
            [(sx - side * rx * 0.7, sy - 0.4), (sx, sy), (x, y)], [u(0.5, 0.9), u(0.6, 1.0), u(0.3, 0.6)], 0.25
        )
        level = smooth_min(level, -(sinus - np.float32(0.25 * u())), 0.35)
    depth = np.float32(u(0.45, 0.75))
    pyramids = np.clip(0.5 + 1.4 * k.bumps(1.0), 0, 1) * k.covered(level - depth, 2.0)
    whole = k.fill(level, hu["cortex"] + (hu["medulla"] - hu["cortex"]) * pyramids, soft=soft, name=name)
    k.occlude(whole, keep=(name,))
    if 0.45 < z < 1.05:
        pelvis = k.path(
            [(x - side * rx * 1.1, y - ry * 0.45), (x - side * 0.3 * rx, y - 0.1)], [u(0.25, 0.5), u(0.2, 0.5)], 0.3
        )
        k.fill(np.minimum(pelvis, sinus + 0.2), hu["urine"] if u() < 0.6 else hu["fat"], soft=1.2)
        vein = k.path([(side * 1.2, trunk.spine - u(1.8, 2.8)), (x - side * rx * 0.7, y - ry * 0.3)], [0.5, 0.38], 0.15)
        k.occlude(k.fill(vein, hu["cava"], soft=soft, clip=1 - whole))
    return (x, y), rx


def draw_renal_lesion(k: Scene, trunk: Trunk, place: Point, radius: float, hu: Values, soft: float, cyst: bool) -> None:
    """Draw a cyst, or a solid tumour, at the border of a kidney."""
    u = k.rng.uniform
    turn, r = u(0, 2 * np.pi), float(np.exp(u(np.log(0.6), np.log(2.4))))
    x, y = place[0] + np.sign(place[0]) * abs(np.cos(turn)) * radius * 0.9, place[1] + np.sin(turn) * radius
    level = k.ellipse(float(x), float(y), r, r * u(0.85, 1), 0, 0.03 if cyst else 0.1)
    name = "kidney cyst" if cyst else "kidney tumour"
    value = hu["cyst"] if cyst else hu["mass"] + 14 * k.bumps(0.5) - 25 * np.clip(k.bumps(1.2), 0, 2)
    covered = k.fill(level, value, soft=soft, name=name, clip=k.covered(trunk.inner))
    k.occlude(covered, keep=(name,) if cyst else (name, "left kidney", "right kidney"))
    if not cyst:
        for kidney in ("left kidney", "right kidney"):
            if kidney in k.masks:
                k.masks[kidney] &= ~k.masks[name]


def draw_pancreas(k: Scene, trunk: Trunk, z: float, hu: Values, soft: float) -> None:
    """Draw the pancreas across the vessels, lobed, with the vein of the spleen behind it."""
    u = k.rng.uniform
    y = trunk.spine - u(5.2, 6.8)
    head, tail = (-u(2.5, 4.2), y + u(-0.4, 1.2)), (u(5, 8.5), y + u(-0.6, 2.0))
    lean = (z - 0.45) / 0.4
    points: list[Point] = [head, (-0.8, y - u(0.2, 1.0)), (u(1.5, 3), y - u(0.2, 1.2)), tail]
    if lean > 0.6:
        points = points[:2]
    elif lean < 0.15:
        points = points[1:]
    radii = [u(1.1, 1.7), u(0.6, 1.0), u(0.6, 1.0), u(0.6, 1.1)][4 - len(points) :] if lean < 0.15 else [
        u(1.1, 1.7), u(0.6, 1.0), u(0.6, 1.0), u(0.6, 1.1)][: len(points)]  # fmt: skip
    behind = [(x + 0.1, y0 + 0.85) for x, y0 in points]
    if len(behind) > 2:
        k.occlude(k.fill(k.path(behind[-3:], [0.45, 0.4, 0.32], 0.1), hu["portal"], soft=soft))
    level = k.path(points, radii, 0.22) + np.float32(0.12) * k.bumps(0.6)
    lobes = np.clip(-k.bumps(0.5) - 0.6, 0, 1)
    value = hu["pancreas"] + (hu["fat"] - hu["pancreas"]) * np.float32(u(0, 0.8)) * lobes
    k.occlude(k.fill(level, value, soft=soft, name="pancreas", clip=k.covered(trunk.inner)), keep=("pancreas",))


def draw_vessels(k: Scene, trunk: Trunk, z: float, hu: Values, soft: float) -> None:
    """Draw aorta and vena cava before the spine, crura or psoas beside it, and the arteries of the gut before them."""
    u, y = k.rng.uniform, trunk.spine
    wide = u(1.2, 2.0) if z > 0.6 else u(0.5, 0.9)
    for side in (-1, 1):
        x = side * (2.2 + wide * u(0.6, 0.9))
        level = k.ellipse(x, y + u(-0.2, 1.0), wide, wide * u(1.1, 1.5) + 0.4, side * 0.2, 0.1)
        k.occlude(k.fill(level, hu["muscle"] + 4 * k.bumps(1), soft=1.0))
    r = u(0.85, 1.4)
    ax, ay = u(0.2, 1.5), y - 1.75 - r - u(0.0, 0.5)
    if z < 0.6:
        crus = k.path([(ax + 1.5, y + 0.6), (ax + r + 0.3, ay), (ax + 0.2, ay - r - 0.1), (-1.4, ay + 0.3), (-2.3, y)],
                      [0.45, 0.3, 0.25, 0.35, 0.5], 0.2)  # fmt: skip
        k.occlude(k.fill(crus, hu["muscle"], soft=1.0))
    flat = u(0.45, 1.0)
    cava = k.ellipse(-u(1.7, 2.8), y - u(1.6, 2.8), u(1.1, 1.5), 1.3 * flat, u(-0.5, 0.3), 0.08)
    k.occlude(
        k.fill(cava, hu["cava"] + 6 * k.bumps(1.2), soft=soft, name="inferior vena cava"), keep=("inferior vena cava",)
    )
    aorta = k.ellipse(ax, ay, r, r * u(0.93, 1), 0, 0.02)
    k.occlude(k.fill(aorta, hu["aorta"], soft=soft, name="aorta"), keep=("aorta",))
    if u() < 0.3:
        plaque = np.exp(-(((aorta - 0.1) / 0.1) ** 2)) * np.clip(2 * k.bumps(0.9) - 1.6, 0, 1)
        k.paint(np.asarray(plaque, np.float32), 650)
    if z > 0.35:
        inner = np.maximum.reduce([k.masks.get(name, np.zeros_like(k.X)) for name in ("liver", "stomach")])
        for x, r, value in ((u(0.3, 1.0), 0.38, hu["aorta"]), (-u(0.6, 1.5), 0.55, hu["portal"])):
            dot = k.ellipse(x, ay - u(1.9, 2.8), r, r * u(0.9, 1.2), 0, 0.05)
            if u() < 0.4:
                k.fill(dot + np.float32(0.25), hu["fat"], soft=2.5, clip=1 - inner)
            k.fill(dot, value, soft=soft)
