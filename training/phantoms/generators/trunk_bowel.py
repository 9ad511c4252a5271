"""Stomach and bowel in axial CT: walls, fluid, food, stool, contrast medium, gas in front; mesenteric fat."""

import numpy as np

from ibisagent.training.phantoms.canvas import Field
from ibisagent.training.phantoms.generators.trunk_wall import Trunk
from ibisagent.training.phantoms.scene import Scene, smooth_min

__all__ = ["draw_colon", "draw_mesentery", "draw_small_bowel", "draw_stomach"]

Values = dict[str, float]


def draw_mesentery(k: Scene, trunk: Trunk, hu: Values) -> None:
    """Fill the cavity with fat in which small vessels run."""
    inside = k.fill(trunk.inner, hu["fat"] + 5 * k.bumps(2), soft=0.9)
    dots = np.clip(1.6 * k.bumps(0.7) - 2.6, 0, 1) + 0.7 * np.exp(-((k.bumps(2.6) / 0.07) ** 2)) * np.clip(
        k.bumps(5), 0, 1
    )
    k.paint(np.clip(dots, 0, 1) * inside, hu["portal"] * 0.8)


def _fill_hollow(
    k: Scene, level: Field, wall: float, value: object, hu: Values, clip: Field, gas: Field | None
) -> Field:
    """Paint a hollow organ: wall, content, and gas where the level ``gas`` is inside; return what it covers."""
    covered = k.fill(level, hu["wall"], soft=0.9, clip=clip)
    lumen = level - np.float32(wall)
    k.fill(lumen, value, soft=0.9, clip=clip)
    if gas is not None:
        k.fill(np.minimum(lumen, gas), -960, soft=0.8, clip=clip)
    k.occlude(covered)
    return covered


def draw_stomach(k: Scene, trunk: Trunk, space: Field, z: float, hu: Values, soft: float) -> None:
    """Draw the stomach on the patient's left: folded wall, fluid, food or contrast medium, gas in front."""
    u, a, b = k.rng.uniform, trunk.wide, trunk.deep
    high = z < 0.36
    x, y = (u(0.42, 0.6) * a, u(-0.3, 0.05) * b) if high else (u(0.25, 0.5) * a, u(-0.5, -0.15) * b)
    large = 1.3 if high else 1.0
    level = k.ellipse(x, y, large * u(2.4, 5.0), large * u(2.0, 4.0), u(-0.7, 0.7), 0.13)
    if z > 0.35 and u() < 0.6:
        bend = k.path([(x, y), (u(-0.05, 0.1) * a, u(-0.5, -0.3) * b)], [2.0, u(1.0, 1.7)], 0.12)
        level = np.maximum(level, bend)
    level = smooth_min(level, space - 0.25, 0.8)
    kind = u()
    food = u(-5, 40) + 3 * k.bumps(1)
    if kind < 0.3:
        food = u(0, 40) + np.float32(u(30, 110)) * k.bumps(0.45) - 60 * np.clip(k.bumps(0.6), 0, 2)
    elif kind < 0.5:
        food = u(120, 420) + 12 * k.bumps(2)
    surface = np.asarray(y + u(-2.5, 1.5) - k.Y, np.float32) if u() < 0.75 else None
    thick = u(0.2, 0.6) * (1 + 0.45 * np.abs(k.bumps(0.9)))
    clip = k.covered(trunk.inner)
    whole = k.fill(level, hu["wall"] + 10, soft=soft, name="stomach", clip=clip)
    k.occlude(whole, keep=("stomach",))
    lumen = np.asarray(level - thick, np.float32)
    k.fill(lumen, food, soft=1.0, clip=clip)
    if surface is not None:
        k.fill(np.minimum(lumen, surface), -960, soft=0.8, clip=clip)


def draw_small_bowel(k: Scene, trunk: Trunk, z: float, hu: Values) -> None:
    """Draw loops cut along and across, in front of the kidneys: fluid, folds, contrast medium, a little gas."""
    u, rng = k.rng.uniform, k.rng
    count = int(np.interp(z, (0.3, 1.2), (2, 15)) + rng.integers(0, 5))
    oral = u() < 0.3
    clip = k.covered(trunk.inner - 0.2)
    for _ in range(count):
        x, y, turn = u(-0.55, 0.65) * trunk.wide, u(-0.55, 0.12) * trunk.deep, u(0, 2 * np.pi)
        r, long = u(0.8, 1.5), u(0.2, 4.5)
        bow = u(-0.8, 0.8)
        mid = (x + long / 2 * np.cos(turn), y + long / 2 * np.sin(turn))
        end = (mid[0] + long / 2 * np.cos(turn + bow), mid[1] + long / 2 * np.sin(turn + bow))
        level = k.path([(x, y), mid, end], [r, r * u(0.8, 1.1), r * u(0.7, 1)], 0.12)
        value = (
            u(8, 38) + 14 * np.abs(np.sin(6 * k.bumps(3))) if not oral or u() < 0.3 else u(120, 380) + 30 * k.bumps(0.6)
        )
        gas = np.asarray(y + u(-1.2, -0.2) * r - k.Y, np.float32) if u() < 0.2 else None
        _fill_hollow(k, level, u(0.14, 0.3), value, hu, clip, gas)


def draw_colon(k: Scene, trunk: Trunk, space: Field, z: float, hu: Values) -> None:
    """Draw the colon at the flanks and across the front: pouched, full of stool with bubbles, or of gas."""
    u = k.rng.uniform
    a, b = trunk.wide, trunk.deep
    clip = k.covered(space - 0.15)
    places = [(u(0.62, 0.78) * a, u(-0.1, 0.4) * b, 1)] if z > 0.25 else []
    if z > 0.65:
        places.append((u(-0.78, -0.62) * a, u(-0.2, 0.35) * b, 1))
    if z > 0.3 and u() < 0.75:
        y = u(-0.72, -0.52) * b
        places += [(x * a, y + u(-0.8, 1.0), 1) for x in np.arange(u(-0.5, 0.0), 0.62, u(0.13, 0.22))]
    if z < 0.45 and u() < 0.65:
        places.append((u(0.35, 0.6) * a, u(-0.65, -0.3) * b, 1))
    stool, gassy, oral = u(-20, 70), u(), u() < 0.12
    for x, y, _ in places:
        r = u(1.2, 2.3)
        level = k.ellipse(x, y, r * u(0.9, 1.3), r, u(0, 3), 0.16)
        value = stool + 25 * k.bumps(0.5) - np.float32(600) * np.clip(k.bumps(0.32) - u(0.3, 1.3), 0, 1.2)
        if oral:
            value = value + 300
        gas = (
            np.asarray(y + u(-0.9, 1.1) * r * (2 * gassy - 0.6) - k.Y, np.float32) if u() < 0.3 + 0.6 * gassy else None
        )
        _fill_hollow(k, level, u(0.12, 0.28), value, hu, clip, gas)
