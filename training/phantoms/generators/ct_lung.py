"""CT of the chest, axial, in a lung's window or a soft one: nodules, infection, fluid; right is on the left."""

import numpy as np

from ibisagent.training.phantoms.canvas import Field
from ibisagent.training.phantoms.generators import chest_middle, trunk_wall
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.scanners import scan_ct
from ibisagent.training.phantoms.scene import Scene, smooth_min
from ibisagent.training.phantoms.visible_targets import find_absent, keep_visible, tell_lesions

__all__ = ["generate"]

_ORGANS = ("left lung", "right lung", "lungs", "heart", "aorta", "trachea", "vertebra")
_LESIONS = ("lung nodule", "lung infection", "pleural effusion")


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw a slice between the apices (z 0) and the domes of the diaphragm (z 1)."""
    u = rng.uniform
    z, wide = u(0, 1), u(14, 19.5)
    deep, fat = wide * u(0.58, 0.74), 0.3 + 2.6 * u() ** 2
    k = _lay_view(rng, size, wide, deep)
    trunk = trunk_wall.draw_wall(k, wide, deep, min(fat, 0.11 * deep), u(45, 62), chest=True)
    trunk_wall.draw_table(k, trunk)
    if u() < 0.08:
        trunk_wall.draw_arms(k, trunk)
    trunk_wall.draw_ribs(k, trunk, int(rng.integers(4, 8)), (1.5, 6.0), -1.3)
    if z < 0.6:
        trunk_wall.draw_shoulder_blades(k, trunk)
    contrast = u(110, 330) if u() < 0.6 else u(36, 48)
    chest = chest_middle.draw_middle(k, trunk, z, contrast)
    emphysema = u() < 0.18
    lungs = _draw_lungs(k, chest, emphysema)
    _draw_disease(k, chest, lungs, difficulty)
    chest_middle.draw_diaphragm(k, chest, z)
    k.occlude(trunk_wall.draw_spine(k, trunk, u(0.82, 0.98)), keep=("vertebra",))
    both = k.masks.pop("lungs")
    k.masks |= {"lungs": both, "right lung": both & (chest.middle > k.X), "left lung": both & (chest.middle <= k.X)}
    masks, absent = keep_visible(k.masks, crumb=1), find_absent(_ORGANS + _LESIONS, k.masks)
    lesions = tell_lesions(_LESIONS, masks, absent, other=emphysema)
    lung_window = u() < 0.72
    window = (u(-650, -480), u(1200, 1700)) if lung_window else (u(20, 70), u(320, 520))
    noise = (u(14, 40) if lung_window else u(6, 14)) + 26 * difficulty**2 * u()
    return GeneratedImage(scan_ct(k, window, noise, k.covered(trunk.outer, 30), sharp=0.35), masks, absent, lesions)


def _lay_view(rng: np.random.Generator, size: int, wide: float, deep: float) -> Scene:
    """Take the chest, cut its flanks, or look at one lung."""
    u, kind = rng.uniform, rng.random()
    if kind < 0.6:
        field, middle = 2 * wide * u(0.9, 1.12), (u(-1, 1), u(-1, 1.5))
    elif kind < 0.8:
        field, middle = 2 * wide * u(1.05, 1.25), (u(-2, 2), u(-2, 3))
    else:
        field, middle = u(13, 22), (float(rng.choice([-1, 1])) * u(0.3, 0.55) * wide, u(-0.2, 0.25) * deep)
    return Scene(rng, size, field, middle=middle, background=-1000, warp=u(0.1, 0.5), turn=0.04)


def _draw_lungs(k: Scene, chest: chest_middle.ChestMiddle, emphysema: bool) -> Field:
    """Fill the lungs with air, vessels that branch out of the hila, bronchi with walls, fissures, some emphysema."""
    u, rng = k.rng.uniform, k.rng
    value = u(-890, -790) + 18 * k.bumps(2.5) + 14 * np.clip(k.Y / 8, -1, 1) * u(0.5, 2.5) + 8 * k.bumps(0.6)
    lungs = k.fill(chest.lungs, value, soft=0.8, name="lungs")
    if emphysema:
        holes = np.clip(k.bumps(u(0.6, 1.4)) - u(0.3, 1.2), 0, 1) * np.clip(0.5 + k.bumps(6), 0, 1)
        k.paint(holes * lungs, -965)
    chest_middle.draw_lung_vessels(k, chest.middle, lungs, u(-160, 40))
    spots = int(rng.integers(120, 320))
    at = rng.uniform(-0.52, 0.52, (2, spots)).astype(np.float32) * np.float32(k.field)
    dots = k.stamp(
        at[0] + np.float32(k.middle[0]), at[1] + np.float32(k.middle[1]),
        rng.gamma(2.0, 0.03, spots).astype(np.float32) + np.float32(0.035), 0.9,
    )  # fmt: skip
    k.paint(dots * lungs * np.clip(0.7 + 0.4 * k.bumps(4), 0, 1), u(-300, -20))
    for side in (-1, 1):
        for _ in range(int(rng.integers(0, 4))):
            x0, y0, wide = chest.middle + side * u(3, 6.5), u(-2.5, 4), u(0.14, 0.4)
            tube = k.ellipse(x0, y0, wide, wide * u(0.7, 1.6), u(0, 3), 0.05)
            k.paint(k.covered(tube + np.float32(0.1)) * lungs, -150)
            k.paint(k.covered(tube) * lungs, -960)
        bend = k.Y - np.float32(u(-1, 4)) - np.float32(side * u(-0.2, 0.5)) * (k.X - chest.middle) + 0.5 * k.bumps(5)
        line = np.exp(-((bend / 0.07) ** 2)) * (side * (k.X - chest.middle) > 0) * u(0, 0.4)
        k.paint(np.asarray(line, np.float32) * lungs, -400)
    return lungs


def _draw_disease(k: Scene, chest: chest_middle.ChestMiddle, lungs: Field, difficulty: float) -> None:
    """Draw infection, then nodules, then fluid behind; what is consolidated is lung still, fluid is not."""
    u, rng = k.rng.uniform, k.rng
    if u() < 0.4:
        _draw_infection(k, chest, lungs, difficulty)
    if u() < 0.5:
        found = np.zeros_like(lungs)
        for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
            place = k.pick_inside(chest.lungs, 0.35)
            if place is not None:
                found = np.maximum(found, _draw_nodule(k, place, lungs, difficulty))
        k.masks["lung nodule"] = found > 0.5
    if u() < 0.25:
        fluid = np.zeros_like(lungs)
        for side in ((-1,), (1,), (-1, 1))[int(rng.integers(3))]:
            here = 1 / (1 + np.exp(-(k.Y - np.float32(u(-1, 3.5))) / np.float32(u(0.6, 2.5))))
            thick = np.float32(u(0.8, 5.0)) * here * (1 + 0.12 * k.bumps(4)) - 0.25
            level = smooth_min(
                np.asarray(thick - chest.lungs, np.float32), side * (k.X - np.float32(chest.middle)), 0.5
            )
            fluid = np.maximum(fluid, k.covered(level) * lungs)
        k.paint(fluid, u(4, 24))
        k.occlude(fluid)
        k.masks["pleural effusion"] = fluid > 0.5


def _draw_nodule(k: Scene, place: tuple[float, float], lungs: Field, difficulty: float) -> Field:
    """Draw a solid, part-solid or ground-glass nodule, smooth, lobed or with spikes; return its coverage."""
    u, r = k.rng.uniform, float(np.exp(k.rng.uniform(np.log(0.4), np.log(2.2))))
    level = k.ellipse(*place, r, r * u(0.75, 1), u(0, 3), u(0.04, 0.22))
    if r > 0.7 and u() < 0.45:
        angle = np.arctan2(k.Y - place[1], k.X - place[0])
        beams = np.sin(angle * k.rng.integers(5, 9) + u(0, 6)) * np.sin(angle * k.rng.integers(9, 16) + u(0, 6))
        level = level + np.float32(u(0.15, 0.5) * r) * np.clip(beams, 0, 1) ** 2 * (1 + 0.5 * k.bumps(0.6 * r))
    here = k.covered(np.asarray(level, np.float32), 1.2) * lungs
    kind = u()
    if kind < 0.7:
        k.paint(here, u(-30, 60) - 150 * difficulty * u() + 12 * k.bumps(0.4))
    else:
        k.paint(here * np.float32(u(0.55, 0.9)), u(-560, -380) + 60 * k.bumps(0.4))
        if kind < 0.85:
            k.paint(k.covered(level - np.float32(0.5 * r)) * lungs, u(-60, 40))
    if kind < 0.08:
        k.paint(k.covered(level - np.float32(0.55 * r)) * lungs, -950)
    return here


def _draw_infection(k: Scene, chest: chest_middle.ChestMiddle, lungs: Field, difficulty: float) -> None:
    """Draw ground glass in patches under the pleura, mostly behind, with consolidated parts and open bronchi."""
    u = k.rng.uniform
    near = np.exp(-np.clip(chest.lungs, 0, 9) / np.float32(u(0.8, 3.5)))
    field = k.bumps(u(2.5, 6)) + 0.5 * k.bumps(1.3) + u(0.3, 1.8) * near + u(-0.1, 0.9) * np.clip(k.Y / 6, -1, 1)
    one = (k.X - chest.middle) * float(k.rng.choice([-1, 1]))
    if u() < 0.3:
        field = field - 2.5 * (one > 0)
    threshold = float(u(0.9, 2.0))
    share = np.clip((field - np.float32(threshold)) / np.float32(u(0.25, 0.9)) + 0.5, 0, 1) * lungs
    k.masks["lung infection"] = share > 0.5
    glass = np.float32(u(0.45, 0.85) * (1 - 0.35 * difficulty)) * (1 + 0.12 * k.bumps(0.5))
    level = u(-480, -250) + 40 * k.bumps(0.7)
    dense = np.maximum(k.image, level)
    k.image = np.asarray(k.image * (1 - share * glass) + dense * share * glass, np.float32)
    solid = np.clip((field - np.float32(threshold + u(0.5, 1.6))) * 2, 0, 1) * lungs
    k.paint(solid, u(0, 45) + 15 * k.bumps(0.6))
    if u() < 0.5:
        x, y, r = k.grow_tree(k.pick_inside(chest.lungs, 1.0) or (0.0, 0.0), u(0, 6), 0.14, 1.6, 3, 0.5)
        k.paint(k.stamp(x, y, r, 0.8) * solid, -900)
