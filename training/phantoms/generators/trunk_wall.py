"""The wall of a trunk in axial CT, in Hounsfield units and centimetres: skin, fat, muscles, ribs, spine, table."""

from dataclasses import dataclass

import numpy as np

from ibisagent.training.phantoms.canvas import Field
from ibisagent.training.phantoms.scene import Scene, smooth_max, smooth_min

__all__ = ["Trunk", "draw_arms", "draw_ribs", "draw_shoulder_blades", "draw_spine", "draw_table", "draw_wall"]


@dataclass(frozen=True, slots=True, eq=False)
class Trunk:
    """Levels in centimetres: ``outer`` skin, ``wall`` under the fat, ``inner`` cavity; ``spine``: a vertebra's y.

    ``wide``, ``deep``: half axes of the skin; ``angle``: direction around the middle, radians, 0 to the right.
    """

    outer: Field
    wall: Field
    inner: Field
    wide: float
    deep: float
    spine: float
    thick: float
    angle: Field


def draw_wall(k: Scene, wide: float, deep: float, fat: float, muscle: float, *, chest: bool = False) -> Trunk:
    """Draw skin, fat, the muscles of the wall and of the back; a ``chest`` reaches further back beside the spine."""
    u = k.rng.uniform
    outer = k.ellipse(0, 0, wide, deep, 0, 0.012, u(2.1, 2.6))
    outer = outer - np.float32(u(0.2, 1.0)) * np.exp(-((k.X / 2.2) ** 2)) * np.clip(k.Y / deep, 0, 1) ** 3
    outer = outer + np.float32(0.25) * k.bumps(14)
    k.fill(outer, u(10, 50), soft=0.7)
    subcutis = k.covered(outer - np.float32(0.25))
    k.paint(subcutis, -105 + 5 * k.bumps(3))
    strands = np.exp(-((k.bumps(1.6) / 0.14) ** 2)) * np.clip(k.bumps(6), 0, 1)
    k.paint(strands * subcutis * np.float32(u(0.1, 0.5)), -30)
    around = np.asarray(np.arctan2(k.Y / deep, k.X / wide), np.float32)
    layer = np.float32(fat) * (1 + 0.25 * k.bumps(18) + 0.35 * np.clip(np.sin(around), 0, 1))
    wall = outer - np.float32(0.3) - np.maximum(layer, 0.15)
    k.fill(wall, muscle + 6 * k.bumps(1.2), soft=0.9)
    thick = u(0.6, 1.05) if chest else u(0.65, 1.4)
    plane = np.exp(-(((wall - np.float32(thick * u(0.3, 0.45))) / 0.09) ** 2))
    plane += 0.8 * np.exp(-(((wall - np.float32(thick * u(0.6, 0.75))) / 0.07) ** 2))
    k.paint(np.clip(plane, 0, 1) * np.float32(u(0, 0.7)) * np.clip(0.5 + k.bumps(5), 0, 1) * k.covered(wall), -80)
    spine = deep - fat * 1.2 - (u(5.2, 6.2) if chest else u(6.0, 7.2))
    inner = wall - np.float32(thick) * (1 + 0.15 * k.bumps(6))
    if not chest:
        _paint_straight_muscles(k, wall, thick, muscle)
    back = np.asarray(np.float32(u(3.2, 4.6) if chest else u(6.4, 8.0)) - np.abs(k.X), np.float32)
    back = smooth_min(back, np.asarray(k.Y - np.float32(spine + u(1.2, 2.0)), np.float32), 2.0 if chest else 3.0)
    back = smooth_max(back, np.asarray(1.9 - np.hypot(k.X / 1.15, k.Y - spine), np.float32), 1.2)
    _paint_back(k, wall, spine, muscle, 0.72 if chest else 1.0)
    return Trunk(outer, wall, smooth_min(inner, -back, 1.2), wide, deep, spine, thick, around)


def _paint_straight_muscles(k: Scene, wall: Field, thick: float, muscle: float) -> None:
    """Paint the two flat muscles beside the middle of the belly, in fat."""
    u = k.rng.uniform
    reach, side = u(5.5, 7.5), np.abs(k.X)
    ahead = smooth_min(np.asarray(reach + 1.2 - side, np.float32), np.asarray(-k.Y - 2, np.float32), 1.5)
    band = np.minimum(wall, np.float32(thick + 0.25) - wall)
    k.fill(smooth_min(band, ahead, 1.5), -95, soft=1.2)
    flat = smooth_min((side - np.float32(u(0.3, 1.1))) * 0.6, (np.float32(reach) - side) * 0.35, 0.6)
    straight = np.minimum(np.minimum(wall - 0.1, np.float32(thick * u(0.6, 0.85)) - wall), ahead)
    k.fill(smooth_min(straight, flat, 0.5), muscle + 5 * k.bumps(1), soft=1.0)


def _paint_back(k: Scene, wall: Field, spine: float, muscle: float, s: float) -> None:
    """Paint the erector muscles beside the spine, streaked with fat, in their sheath."""
    u = k.rng.uniform
    lean = u(-0.2, 1.1)
    sheath = smooth_min(
        np.asarray(s * u(6.6, 8.0) - np.abs(k.X), np.float32), np.asarray(k.Y - np.float32(spine + 1.4), np.float32), 2
    )
    k.fill(np.minimum(sheath, wall), -95, soft=1.0)
    streaks = np.clip(0.8 + lean + 0.9 * np.abs(k.bumps(0.9)) - 0.7 * np.abs(k.bumps(1.6)), 0, 1)
    for side in (-1, 1):
        main = k.ellipse(
            side * s * u(3.4, 3.9), spine + s * u(4.0, 4.6), s * u(2.9, 3.5), s * u(2.3, 2.9), side * 0.25, 0.08, 2.5
        )
        k.fill(np.minimum(main, wall - 0.1), -70 + (muscle + 70) * streaks, soft=1.0)
        small = k.ellipse(
            side * s * u(6.0, 7.2), spine + u(1.8, 2.8), s * u(1.5, 2.2), s * u(0.9, 1.3), side * 0.5, 0.1
        )
        k.fill(np.minimum(small, wall - 0.1), muscle + 5 * k.bumps(1), soft=1.0)


def draw_ribs(k: Scene, trunk: Trunk, count: int, length: tuple[float, float], lowest: float = -1.2) -> None:
    """Draw ribs cut aslant in the wall: long bright rims around marrow, cartilage in front."""
    u = k.rng.uniform
    theta = np.linspace(-np.pi, np.pi, 1441)
    long, bright = np.full(1441, -9.0), np.full(1441, 300.0)
    for side in (0, 1):
        for at in np.linspace(lowest + u(-0.1, 0.1), 1.12, count) + k.rng.normal(0, 0.07, count):
            place = at if side else np.pi - at
            place = (place + np.pi) % (2 * np.pi) - np.pi
            inside = (u(*length) / 2) - np.abs(theta - place) * (trunk.wide + trunk.deep) / 2
            new = inside > long
            bright[new] = u(90, 150) if at < -0.75 else u(380, 650)
            long = np.maximum(long, inside)
    index = ((trunk.angle + np.pi) * (1440 / (2 * np.pi))).astype(np.int32).clip(0, 1440)
    along, value = long.astype(np.float32)[index], bright.astype(np.float32)[index]
    half = np.float32(u(0.3, 0.44)) * (1 + 0.25 * k.bumps(2.5))
    slant = np.float32(0.16) * k.bumps(5) + np.float32(u(-0.12, 0.12)) * along
    off = np.abs(trunk.wall - np.float32(min(trunk.thick * 0.55, 0.75)) + slant)
    rib = smooth_min(along * 0.45, half - off, 0.5)
    k.fill(rib, value, soft=1.0)
    k.fill(rib - np.float32(0.14), np.minimum(value, u(120, 260)), soft=1.2)


def draw_spine(k: Scene, trunk: Trunk, size: float = 1.0) -> Field:
    """Draw a vertebra with its arch and processes, named; return its coverage, canal included."""
    u, y = k.rng.uniform, trunk.spine
    s = np.float32(size * u(0.9, 1.12))
    x, v = k.X / s + np.float32(0.05) * k.bumps(2), (k.Y - np.float32(y)) / s
    side = np.abs(x)
    rx, ry = u(2.0, 2.4), u(1.55, 1.85)
    hollow = np.float32(0.4) * np.exp(-((x / 1.1) ** 2)) * (v > 0)
    body = (
        np.asarray(1 - (np.abs(x / rx) ** 2.4 + np.abs(v / ry) ** 2.2) ** (1 / 2.3), np.float32) * np.float32(ry)
        - hollow
    )
    slope, reach = u(0.1, 0.8), u(2.6, 4.2)
    parts = [
        np.minimum(0.42 - np.abs(side - np.float32(1.35 + 0.1 * u())), 1.3 - np.abs(v - 2.1)),
        np.minimum(0.42 - np.abs(v - 3.5 + 0.55 * side), 1.75 - side),
        np.minimum(0.36 - np.abs(v - 2.3 - slope * (side - 1.5)), np.minimum(reach - side, side - 1.1)),
        np.minimum(0.36 - side - 0.05 * (v - 4), u(0.9, 2.0) - np.abs(v - 4.4)),
    ]
    if u() < 0.5:
        parts.append(0.75 - np.hypot(side - 1.75, (v - 2.9) * 0.8))
    arch = np.asarray(np.maximum.reduce(parts), np.float32)
    bone = smooth_max(body, arch, 0.3) + np.float32(0.07) * k.bumps(0.9)
    edge = u(380, 620)
    canal = np.asarray(1.05 - np.hypot(x, (v - 2.35) * 1.25), np.float32)
    whole = k.fill(bone, edge, soft=0.8)
    spongy = u(130, 280) + 45 * k.bumps(0.35) + 25 * k.bumps(1.2)
    k.fill(body - np.float32(0.2), spongy, soft=1.2)
    k.fill(arch - np.float32(0.22), np.maximum(spongy, 200), soft=1.2)
    inside = k.fill(canal, -40, soft=0.9)
    k.fill(np.asarray(0.75 - np.hypot(x, (v - 2.35) * 1.25), np.float32), u(20, 45), soft=0.9)
    k.masks["vertebra"] = (whole > 0.5) & (inside <= 0.5)
    return np.maximum(whole, inside)


def draw_shoulder_blades(k: Scene, trunk: Trunk) -> None:
    """Draw the blades behind the ribs, thin bright lines bent over muscle."""
    u = k.rng.uniform
    for side in (-1, 1):
        x, y = side * trunk.wide * u(0.42, 0.52), trunk.spine + u(2.0, 3.5)
        points = [(x, y), (x + side * u(2, 3), y - u(0.5, 1.8)), (x + side * u(4, 5.5), y - u(3.5, 6))]
        level = k.path(points, [0.2, u(0.2, 0.3), u(0.3, 0.8)], 0.2)
        k.fill(np.minimum(level + np.float32(u(0.4, 0.9)), trunk.outer - 0.4), 52 + 6 * k.bumps(1), soft=1.2)
        k.fill(np.minimum(level, trunk.outer - 0.8), u(450, 750), soft=0.9)


def draw_table(k: Scene, trunk: Trunk) -> None:
    """Draw the table's top under the body, and sometimes its lower shell, a pad or a sheet's fold."""
    u = k.rng.uniform
    if u() < 0.1:
        return
    top, bend, reach = trunk.deep + u(0.3, 1.6), u(0.0, 0.012), u(15, 24)
    line = k.Y - np.float32(top) + np.float32(bend) * k.X**2
    within = np.asarray(reach - np.abs(k.X), np.float32)
    air = k.covered(-trunk.outer)
    for at, half, value, rate in ((0.0, u(0.1, 0.24), u(-100, 400), 1.0), (u(1.5, 4.0), 0.12, u(-400, 150), 0.5)):
        if u() < rate:
            level = np.minimum(np.float32(half) - np.abs(line - np.float32(at)), within)
            k.fill(np.asarray(level, np.float32), value, soft=0.7, clip=air)
    if u() < 0.25:
        pad = np.minimum(np.minimum(-line, line + np.float32(u(0.8, 2.0))), within)
        k.fill(np.asarray(pad, np.float32), -930 + 25 * k.bumps(1), clip=air)


def draw_arms(k: Scene, trunk: Trunk) -> None:
    """Draw the arms beside the trunk."""
    u = k.rng.uniform
    air = k.covered(-trunk.outer)
    for side in (-1, 1):
        x, y, r = side * (trunk.wide + u(2.5, 4.5)), u(-2, 5), u(2.8, 4.0)
        arm = k.ellipse(x, y, r, r * u(0.9, 1.2), 0, 0.03)
        k.fill(arm, -100, clip=air)
        k.fill(arm - np.float32(u(0.4, 0.9)), 55 + 6 * k.bumps(1), soft=1.2, clip=air)
        for _ in range(int(k.rng.integers(1, 3))):
            bone = k.ellipse(x + u(-0.8, 0.8), y + u(-0.8, 0.8), 0.75, 0.8, 0, 0.06)
            k.fill(bone, 900, clip=air)
            k.fill(bone - np.float32(0.3), 80, clip=air)
