"""The body of an abdominal CT slice, in Hounsfield units: skin, fat, muscles, ribs, spine, bowel, table, arms."""

from dataclasses import dataclass

import numpy as np

from ibisagent.training.phantoms.canvas import Field, PhantomCanvas, coverage

__all__ = ["Body", "draw_body", "draw_bowel", "draw_spine", "draw_surroundings"]


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """Where things lie: ``cavity``, a coverage; ``wall``, its muscles' level; the spine's ``y``; half ``height``."""

    cavity: Field
    wall: Field
    y: float
    height: float


def draw_body(k: PhantomCanvas, level: float, fat: float, visceral: float, muscle: float) -> Body:
    """Draw skin, fat, muscles and ribs; ``level`` 0 (dome) to 1 (lower poles), ``fat`` under the skin in units."""
    u = k.rng.uniform
    height, half = u(0.56, 0.7), k.size / 2
    outer = k.blob(0, 0, 0.88, height, 0, 0.012, u(2.1, 2.6))
    outer = outer - np.float32(half * u(0.02, 0.06)) * np.exp(-((k.X / 0.1) ** 2)) * (k.Y > 0.25)
    k.paint_shape(outer, u(-20, 40), 0.8)
    k.paint_shape(outer - np.float32(u(1.6, 2.6) * k.px), -105 + 6 * k.smooth_field(10), 0.8)
    wall = k.blob(0, -0.15 * fat, 0.86 - fat, height - 0.02 - 0.85 * fat, 0, 0.012, u(2.1, 2.6))
    k.paint_shape(wall, muscle + 5 * k.smooth_field(20), 1.2)
    thick = u(0.035, 0.065)
    inner = wall - np.float32(thick * half)
    plane = np.exp(-(((wall - np.float32(thick * half * u(0.4, 0.6))) / (1.6 * k.px)) ** 2))
    k.paint(plane * np.float32(u(0, 0.7)) * (k.Y < 0.25), -70)
    cavity = k.paint_shape(inner, visceral + 8 * k.smooth_field(12), 1.2)
    y = height - fat - u(0.32, 0.37)
    if level < 0.9:
        _ribs(k, wall, thick * half, level, height)
    back = _back(k, y, muscle)
    return Body(cavity * (1 - back), wall, y, height)


def _ribs(k: PhantomCanvas, wall: Field, thick: float, level: float, height: float) -> None:
    """Cut ribs out of the wall at random angles; cartilage in front."""
    u = k.rng.uniform
    theta = np.linspace(-np.pi, np.pi, 721)
    length, value = np.full(721, -1.0), np.full(721, 400.0)
    for side in (0, 1):
        angle = u(-1.35, -1.0) if level < 0.6 else u(-0.6, 0)
        while angle < 1.15:
            at = angle if side else np.pi - angle
            at = (at + np.pi) % (2 * np.pi) - np.pi
            inside = u(0.04, 0.12) - np.abs(theta - at)
            value[inside > length] = u(90, 140) if angle < -0.75 else u(330, 480)
            length = np.maximum(length, inside)
            angle += u(0.3, 0.6)
    index = ((np.arctan2(k.Y / height, k.X / 0.88) + np.pi) * (720 / (2 * np.pi))).astype(np.int32).clip(0, 720)
    along = (length * 0.7 * k.size / 2).astype(np.float32)[index]
    wide = np.float32(thick * u(0.2, 0.36))
    rib = np.minimum(along, wide - np.abs(wall - np.float32(thick * 0.55)))
    k.paint_shape(rib, value.astype(np.float32)[index], 1)
    k.paint_shape(rib - np.float32(2.4 * k.px), np.minimum(value, 190).astype(np.float32)[index], 1.5)


def _back(k: PhantomCanvas, y: float, muscle: float) -> Field:
    """Draw the muscles beside the spine, streaked with fat; return what they cover."""
    u, half = k.rng.uniform, np.float32(k.size / 2)
    lean = u(0, 1)
    side = np.abs(k.X)
    both = np.float32(1) - np.hypot((side - 0.19) / u(0.19, 0.23), (k.Y - y - 0.2) / u(0.14, 0.17))
    around = k.blob(0, y + 0.2, u(0.36, 0.44), u(0.17, 0.2), 0, 0.02, 2.6)
    whole = k.paint_shape(around, -95, 1.2)
    streaks = np.clip(np.abs(k.smooth_field(18)) * (1.2 + 2 * lean), 0, 1)
    k.paint_shape(both * half * 0.16, -60 + (muscle + 60) * streaks, 1.2)
    low = np.float32(1) - np.hypot((side - u(0.36, 0.42)) / 0.1, (k.Y - y - u(0.09, 0.13)) / 0.06)
    k.paint_shape(low * half * 0.06, muscle, 1.2)
    return np.asarray(np.maximum(whole, coverage(low * half * 0.06, k.px)), np.float32)


def draw_spine(k: PhantomCanvas, body: Body, level: float, muscle: float) -> None:
    """Draw the vertebra with its arch, named, and the psoas or the crura beside it."""
    u, y, half = k.rng.uniform, body.y, k.size / 2
    s = u(0.85, 1.1)
    wide = u(0.05, 0.09) if level > 0.45 else u(0.025, 0.04)
    for sign in (-1, 1):
        k.paint_shape(
            k.blob(sign * (0.11 * s + wide), y + u(-0.04, 0.05), wide, wide * u(1.1, 1.6), 0, 0.06), muscle, 1.2
        )
    x = k.X / np.float32(s) + np.float32(0.006) * k.smooth_field(14)
    v = (k.Y - np.float32(y)) / np.float32(s)
    side = np.abs(x)
    tilt = u(0.1, 0.4)
    parts = [
        0.095 - np.hypot(side * 0.7, v) - 0.02 * np.exp(-((x / 0.06) ** 2)) * (v > 0),
        np.minimum(0.024 - np.abs(side - 0.066), 0.09 - np.abs(v - 0.12)),
        np.minimum(0.026 - np.abs(v - 0.215 + 0.2 * side), 0.09 - side),
        np.minimum(0.02 - np.abs(v - 0.14 - tilt * (side - 0.06)), np.minimum(u(0.12, 0.24) - side, side - 0.05)),
        np.minimum(0.02 - side - 0.03 * (v - 0.22), u(0.05, 0.1) - np.abs(v - 0.28)),
    ]
    bone = np.asarray(np.maximum.reduce(parts) * (s * half), np.float32)
    edge, marrow = u(320, 520), u(110, 260)
    covered = k.paint_shape(bone, edge, 1.2, name="vertebra")
    k.paint_shape(bone - np.float32(2.2 * k.px), marrow + 35 * k.smooth_field(36), 2, clip=covered)
    canal = k.paint_shape((0.05 - np.hypot(x, v - 0.145)) * np.float32(s * half), u(15, 45), 1.2)
    k.occlude(canal)


def draw_bowel(k: PhantomCanvas, body: Body, level: float, gut: float) -> None:
    """Fill the front of the cavity with packed loops: fluid, stool, contrast medium, gas that floats on top."""
    u, rng = k.rng.uniform, k.rng
    count = int(rng.integers(5, 10) + 8 * level)
    cx, cy = u(-0.62, 0.66, count), u(-0.42, body.y - 0.02, count)
    radius, content = u(0.06, 0.14, count), gut + rng.normal(0, 18, count)
    kind = rng.random(count)
    content[kind > 0.9] = u(120, 300)
    gas = np.where(rng.random(count) < 0.4, u(-0.7, 0.3, count), -2) * radius
    x = k.X + np.float32(0.03) * k.smooth_field(9)
    y = k.Y + np.float32(0.03) * k.smooth_field(9)
    first = np.full_like(x, 9)
    second, index = first.copy(), np.zeros(x.shape, np.int32)
    for i in range(count):
        distance = np.hypot(x - np.float32(cx[i]), y - np.float32(cy[i])) - np.float32(radius[i])
        second = np.minimum(second, np.maximum(first, distance))
        index[distance < first] = i
        first = np.minimum(first, distance)
    loop = np.minimum(-first, (second - first) / 2 - np.float32(0.006)) * np.float32(k.size / 2)
    loop = np.where(body.cavity > 0.5, loop, -9)
    stool = (kind < 0.25)[index]
    value = content.astype(np.float32)[index] + stool * (90 * k.smooth_field(30) - 90)
    k.paint_shape(loop, gut + 25, 1)
    k.paint_shape(loop - np.float32(2 * k.px), value, 1)
    height = (gas + cy).astype(np.float32)[index] - k.Y
    k.paint_shape(np.minimum(loop - np.float32(2 * k.px), height * np.float32(k.size / 2)), -880, 1)
    strands = np.clip(k.smooth_field(22) - 1.5, 0, 1) * body.cavity * (first > 0)
    k.paint(strands, gut + 20)


def draw_surroundings(k: PhantomCanvas, body: Body, arms: bool) -> None:
    """Draw the table under the body, and arms beside it."""
    u = k.rng.uniform
    if u() < 0.75:
        bend, top = u(-0.02, 0.16), body.height + u(0.05, 0.13)
        line = k.Y - np.float32(top) + np.float32(bend) * k.X**2
        within = np.abs(k.X) < u(0.6, 1.2)
        for at, value in ((0.0, u(-50, 500)), (u(0.06, 0.16), u(-400, 200))):
            k.paint_shape(
                np.float32(k.size / 2) * (0.009 - np.abs(line - np.float32(at))) * within - 9 * ~within, value, 0.8
            )
    if arms:
        for side in (-1, 1):
            x, y, r = side * u(1.06, 1.2), u(-0.1, 0.25), u(0.11, 0.16)
            arm = k.blob(x, y, r, r * u(1, 1.4), 0, 0.04)
            k.paint_shape(arm, -100)
            k.paint_shape(arm - np.float32(0.025 * k.size / 2), 55, 1.5)
            for _ in range(int(k.rng.integers(1, 3))):
                bone = k.blob(x + u(-0.04, 0.04), y + u(-0.05, 0.05), 0.03, 0.035, 0, 0.06)
                k.paint_shape(bone, 600)
                k.paint_shape(bone - np.float32(2.5 * k.px), 60)
