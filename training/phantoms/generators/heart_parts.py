"""The heart's chambers across the body (axial) and across its own axis; the values are those of the picture's scale."""

from dataclasses import dataclass

import numpy as np

from ibisagent.training.phantoms.canvas import Field
from ibisagent.training.phantoms.scene import Point, Scene, smooth_max, smooth_min

__all__ = ["AXIAL", "SHORT", "HeartTissue", "draw_axial_heart", "draw_short_axis_heart"]

AXIAL = ("left ventricle", "right ventricle", "left atrium", "right atrium", "myocardium", "ascending aorta",
         "pulmonary trunk")  # fmt: skip
"""The targets of an axial slice."""
SHORT = ("left ventricle", "right ventricle", "myocardium")
"""The targets of a short-axis slice."""


@dataclass(frozen=True, slots=True)
class HeartTissue:
    """Brightness of blood on the left and on the right, of muscle, fat and everything soft; ``soft`` edges, pixels."""

    left: float
    right: float
    muscle: float
    fat: float
    grain: float
    soft: float


def draw_axial_heart(k: Scene, at: Point, z: float, tissue: HeartTissue) -> Field:
    """Draw the heart in its fat around ``at``, four chambers (z 0) up to the great vessels (z 1); return its level."""
    u, (cx, cy) = k.rng.uniform, at
    s = u(0.9, 1.2)
    chambers: dict[str, Field] = {}
    muscle: Field | None = None
    if z < 0.62:
        lean = u(-0.85, -0.35)
        along = np.array([np.cos(lean), np.sin(lean)])
        base = np.array([cx + u(1.6, 2.4) * s, cy + u(-0.6, 0.2) * s])
        full = u(0.75, 1.1) if u() < 0.6 else u(0.5, 0.75)
        long, wall = s * u(3.2, 4.4) * (0.6 + 0.4 * full), s * (u(0.7, 1.0) + 0.9 * max(0.75 - full, 0))
        tip, middle = base + along * long, base + along * long * 0.5
        shape = k.path([tuple(base), tuple(middle), tuple(tip)], [1.7 * full * s, 1.9 * full * s, 0.8 * full * s], 0.06)
        outer = shape + np.float32(wall) * (1 + 0.1 * k.bumps(2))
        ahead = (k.X - base[0]) * along[0] + (k.Y - base[1]) * along[1] + 0.5
        muscle = smooth_min(outer, np.asarray(ahead, np.float32), 0.4)
        chambers["left ventricle"] = smooth_min(shape, np.asarray(ahead, np.float32), 0.3)
        across = np.array([along[1], -along[0]])
        hinge = base + across * u(3.0, 4.2) * s - along * u(1.5, 2.5) * s
        far = base + across * u(2.2, 3.0) * s + along * long * u(0.6, 0.95)
        right = k.path([tuple(hinge), tuple((hinge + far) / 2 + across * 0.4), tuple(far)],
                       [u(1.2, 1.9) * s, u(1.4, 2.2) * s, u(0.5, 0.9) * s], 0.1)  # fmt: skip
        chambers["right ventricle"] = smooth_min(right, -muscle - np.float32(0.05), 0.2)
        place = hinge - along * u(2.4, 3.2) * s - across * u(0.2, 1.0) * s
        atrium = k.ellipse(float(place[0]), float(place[1]), u(1.7, 2.5) * s, u(2.0, 2.8) * s, u(-0.4, 0.4), 0.08)
        chambers["right atrium"] = smooth_min(atrium, -right - np.float32(0.05), 0.4)
    lx, ly = cx - u(-0.6, 0.6), cy + u(2.4, 3.2) * s
    back = k.ellipse(lx, ly, u(2.4, 3.4) * s, u(1.4, 2.1) * s, u(-0.1, 0.35), 0.08, 2.3)
    for side in (-1, 1):
        if u() < 0.6:
            vein = k.path(
                [(lx + side * 1.8 * s, ly + 0.3), (lx + side * u(3.6, 4.6) * s, ly + u(-0.4, 1.2))], [0.75, 0.5], 0.1
            )
            back = smooth_max(back, vein, 0.6)
    chambers["left atrium"] = back
    if "left ventricle" in chambers and muscle is not None:
        chambers["left atrium"] = np.minimum(back, -np.maximum(muscle, chambers["right atrium"]) - np.float32(0.08))
    if z > 0.3:
        r = u(1.35, 1.9) * s
        x, y = cx - u(0.0, 0.9), cy - u(0.2, 1.0) - 1.5 * (z > 0.62)
        aorta = k.ellipse(x, y, r, r * u(0.93, 1.05), 0, 0.03)
        for name in chambers:
            chambers[name] = np.minimum(chambers[name], -aorta - np.float32(0.2))
        if muscle is not None:
            muscle = np.minimum(muscle, -aorta - np.float32(0.1))
        chambers["ascending aorta"] = aorta
        if z > 0.62:
            out = [(x + u(2.6, 3.3), y - u(0.2, 1.4)), (x + u(1.9, 2.8), y + 1.9), (x - u(0.8, 2.6), y + u(2.3, 2.9))]
            trunk = k.path(out[: 3 if z > 0.85 else 2], [u(1.2, 1.6), u(1.1, 1.4), u(0.8, 1.1)], 0.07)
            chambers["pulmonary trunk"] = np.minimum(trunk, -aorta - np.float32(0.25))
            if z > 0.85:
                chambers.pop("left atrium")
            else:
                chambers["left atrium"] = np.minimum(chambers["left atrium"], -trunk - np.float32(0.2))
            chambers["cava"] = k.ellipse(x - u(2.5, 3.2), y + u(0.3, 1.3), u(0.7, 1.1), u(0.8, 1.2), 0, 0.06)
    return _paint(k, chambers, muscle, tissue)


def _paint(k: Scene, chambers: dict[str, Field], muscle: Field | None, tissue: HeartTissue) -> Field:
    """Paint fat, walls, muscle and blood of the chambers, and name them; return the level of all."""
    u = k.rng.uniform
    whole = np.maximum.reduce([*chambers.values(), *([] if muscle is None else [muscle])])
    sac = whole + np.float32(u(0.25, 0.7)) + np.float32(0.2) * k.bumps(2.5)
    k.fill(sac, tissue.fat * (1 + 0.04 * k.bumps(1.5)), soft=tissue.soft)
    k.fill(whole + np.float32(0.16), tissue.muscle, soft=tissue.soft)
    if muscle is not None:
        k.fill(muscle, tissue.muscle * (1 + 0.05 * k.bumps(1)), soft=tissue.soft, name="myocardium")
    for name, level in chambers.items():
        left = name in ("left ventricle", "left atrium", "ascending aorta")
        blood = (tissue.left if left else tissue.right) * (1 + tissue.grain * (k.bumps(2) + 0.5 * k.bumps(0.8)))
        covered = k.fill(level, blood, soft=tissue.soft, name=name if name != "cava" else None)
        k.occlude(covered, keep=(name,))
        if name.endswith("ventricle"):
            cords = np.clip(k.bumps(0.7) - 1.1, 0, 1) * np.exp(-np.clip(level, 0, 9) / 0.5) * covered
            k.paint(cords * np.float32(u(0.3, 0.9)), tissue.muscle)
    return np.asarray(sac, np.float32)


def draw_short_axis_heart(k: Scene, at: Point, z: float, tissue: HeartTissue) -> Field:
    """Draw the ventricles cut across, from base (z 0) to apex (z 1); return the level of the heart in its fat."""
    u, (cx, cy) = k.rng.uniform, at
    full = u(0.45, 1.15)
    r = float(np.interp(z, (0, 0.5, 1), (2.7, 2.6, 1.2))) * full * u(0.9, 1.15)
    wall = u(0.75, 1.1) + 0.9 * max(0.85 - full, 0) + (u(0.2, 0.7) if u() < 0.12 else 0)
    left = k.ellipse(cx, cy, r, r * u(0.86, 1.1), u(0, 3), 0.05, margin=3.0)
    outer = left + np.float32(wall) * (1 + 0.1 * k.bumps(2.5))
    muscle = outer
    if z < 0.08 and u() < 0.6:
        muscle = smooth_min(
            outer, np.asarray((k.X - cx) * np.float32(u(-0.8, 0.2)) + cy + 0.8 * r - k.Y, np.float32), 0.4
        )
    size = float(np.interp(z, (0, 0.5, 0.9, 1), (1.15, 1.0, 0.55, 0.0))) * u(0.8, 1.2)
    total = r + wall
    chambers = {"left ventricle": left}
    if size > 0.3:
        x, y = cx - total * u(0.65, 0.95), cy - total * u(0.0, 0.45)
        right = k.ellipse(x, y, u(2.4, 3.3) * size, u(2.6, 3.6) * size, u(-0.5, 0.3), 0.1)
        nose = k.ellipse(x + u(-0.8, 0.6), y - u(1.2, 2.2) * size, 1.5 * size, 1.6 * size, 0, 0.12)
        right = smooth_max(right, nose, 1.0)
        chambers["right ventricle"] = smooth_min(right, -outer - np.float32(0.06), 0.35)
    sac = _paint(k, chambers, muscle, tissue)
    k.masks["myocardium"] = (k.covered(muscle, tissue.soft) > 0.5) & (k.covered(left, tissue.soft) <= 0.5)
    for way in (u(0.2, 0.9), u(2.2, 3.0)):
        if 0.15 < z < 0.9 and u() < 0.8:
            d = r * u(0.55, 0.8)
            knob = k.ellipse(cx + d * np.cos(way), cy + d * np.sin(way), r * u(0.16, 0.3), r * u(0.16, 0.3), 0, 0.15)
            k.paint(k.covered(knob, 1.5) * k.covered(left), tissue.muscle)
    return sac
