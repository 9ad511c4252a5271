"""An axial slice of the head in MR, in centimetres: scalp, skull, folded cortex, white and grey matter, ventricles."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ibisagent.training.phantoms.canvas import Field
from ibisagent.training.phantoms.scene import Scene

__all__ = ["BrainSlice", "draw_brain_slice"]

Tissue = Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class BrainSlice:
    """Levels in centimetres: the ``brain``, the ``ribbon`` (how deep under grey matter), the ``ventricles``."""

    brain: Field
    ribbon: Field
    ventricles: Field


def draw_brain_slice(k: Scene, tissue: Tissue, z: float, stripped: bool) -> BrainSlice:
    """Draw a slice from the basal ganglia (z 0) up to the vertex (z 1), with or without what lies outside the brain."""
    u = k.rng.uniform
    shrink = 1 - 0.3 * max(z - 0.55, 0) ** 1.2
    rx, ry = u(6.1, 7.0) * shrink, u(7.8, 8.9) * shrink
    brain = k.ellipse(0, 0, rx, ry, 0, 0.012, u(2.0, 2.35), margin=3)
    brain = brain - np.float32(0.12) * np.exp(-((k.X / 0.5) ** 2))
    if not stripped:
        _draw_outside(k, tissue, brain)
    old = u() ** 1.6
    ribbon = _fold_cortex(k, brain, z, old)
    inside = k.fill(brain, tissue["white"] * (1 + 0.015 * k.bumps(2.5) + 0.01 * k.bumps(0.5)), soft=1.2)
    grey = tissue["grey"] * (1 + 0.03 * k.bumps(1.2))
    _draw_deep(k, tissue, grey, z, inside)
    thick = np.float32(u(0.24, 0.36)) * (1 + 0.2 * k.bumps(1.5))
    k.paint(k.covered(thick - ribbon, 1.5) * inside, grey)
    k.paint(k.covered(-ribbon, 1.2) * inside * np.clip(0.85 + 0.25 * k.bumps(2), 0, 1), tissue["fluid"])
    if tissue["vessel"] > tissue["white"]:
        spots = np.clip(k.bumps(0.35) - 1.2, 0, 1) * k.covered(0.05 - ribbon, 1.5) * inside
        k.paint(np.clip(1.5 * spots, 0, 1), tissue["vessel"])
    ventricles = _ventricles(k, z, 0.75 + 1.1 * old)
    k.fill(ventricles, tissue["fluid"], soft=1.2, name="ventricles", clip=inside)
    if z < 0.6 and u() < 0.7:
        for side in (-1, 1):
            plexus = k.ellipse(side * u(1.9, 2.6), u(2.4, 3.4), u(0.15, 0.3), u(0.4, 0.8), -side * 0.4, 0.2)
            k.fill(np.minimum(plexus, ventricles), tissue["vessel"], soft=1.5)
    if not (k.masks["ventricles"]).any():
        k.masks.pop("ventricles")
    k.masks["brain"] = inside > 0.5
    return BrainSlice(brain, np.asarray(ribbon, np.float32), ventricles)


def _draw_outside(k: Scene, tissue: Tissue, brain: Field) -> None:
    """Draw scalp with skin, temporal muscles, skull with marrow, and the fluid under it."""
    u = k.rng.uniform
    bone, scalp = u(0.45, 0.8) + 0.08 * k.bumps(4), u(0.35, 0.9) + 0.1 * k.bumps(6)
    gap = u(0.1, 0.3)
    fat = tissue["fat"] * u(0.75, 1.1) * (1 + 0.08 * k.bumps(0.8))
    head = brain + np.asarray(gap + bone + scalp, np.float32)
    k.fill(head, tissue["muscle"], soft=1.0)
    k.fill(head - np.float32(0.15), fat, soft=1.0)
    temples = np.clip((np.abs(k.X) - 5.2) / 1.2, 0, 1) * np.clip((2.5 - np.abs(k.Y + 2.2)) / 1.5, 0, 1)
    k.paint(k.covered(head - 0.3) * temples.astype(np.float32) * np.float32(u(0.3, 1)), tissue["muscle"])
    k.fill(brain + np.asarray(gap + bone, np.float32), tissue["bone"], soft=1.0)
    marrow = np.exp(-(((brain + gap + 0.5 * bone) / (0.22 * bone)) ** 2)) * np.clip(0.6 + 0.5 * k.bumps(3), 0, 1)
    k.paint(np.asarray(marrow, np.float32), tissue["marrow"])
    k.fill(brain + np.float32(gap), tissue["fluid"], soft=1.2)
    if tissue["vessel"] > tissue["white"]:
        sinus = np.where(k.Y > 0, np.minimum(brain + np.float32(gap + 0.25), 0.45 - np.abs(k.X)), -9)
        k.fill(np.minimum(sinus, 0.3 - brain), tissue["vessel"], soft=1.2)


def _fold_cortex(k: Scene, brain: Field, z: float, old: float) -> Field:
    """Return the distance to the fluid over the cortex, < 0 in sulci, which wind between the lines of random fields."""
    u = k.rng.uniform
    depth = np.float32(u(1.6, 2.4)) * np.clip(1 + 0.5 * k.bumps(2.0), 0.2, 2)
    open_ = np.float32(0.03 + 0.13 * old)
    winding = k.bumps(u(1.1, 1.5)) + 0.3 * k.bumps(0.7)
    line = np.abs(winding) * np.float32(0.42)
    sulci = np.hypot(line, np.clip(brain - depth, 0, 9) * 0.9) - open_ * np.clip(1.3 - 0.3 * brain, 0.5, 1.5)
    second = np.hypot(np.abs(k.bumps(1.0)) * np.float32(0.36), np.clip(brain - 0.6 * depth, 0, 9)) - 0.5 * open_
    ribbon = np.minimum(np.minimum(brain, sulci), second)
    middle = np.abs(k.X + 0.06 * k.bumps(1.5))
    gap = 0.0 if z > 0.62 else u(2.6, 3.6)
    fissure = np.hypot(middle, np.clip(np.float32(gap) - np.abs(k.Y + 0.4), 0, 9)) - np.float32(0.06 + 0.1 * old)
    ribbon = np.minimum(ribbon, fissure)
    if z < 0.38:
        for side in (-1, 1):
            x, y = u(3.9, 4.4), u(-0.5, 0.3)
            points = [(side * 6.6, y - 1.5), (side * (x + 1), y - 1.7), (side * (x + 0.2), y - 1.2), (side * x, y),
                      (side * (x + 0.3), y + u(0.9, 1.8))]  # fmt: skip
            slit = k.path(points, [0.1 + 0.3 * old, 0.08 + 0.2 * old, 0.07 + 0.15 * old, 0.06 + 0.1 * old, 0.04], 0.6)
            ribbon = np.minimum(ribbon, -slit)
    return np.asarray(ribbon, np.float32)


def _draw_deep(k: Scene, tissue: Tissue, grey: Field, z: float, inside: Field) -> None:
    """Draw caudate, lentiform and thalamus low down, the tails of the caudate higher up."""
    u = k.rng.uniform
    if z < 0.38:
        for side in (-1, 1):
            for x, y, rx, ry, turn in (
                (1.3, -2.2, 0.55, 1.0, 0.35),
                (2.7, -0.5, 0.75, 1.6, -0.25),
                (1.1, 1.0, 0.85, 1.35, -0.3),
            ):
                shape = k.ellipse(side * x * u(0.93, 1.07), y + u(-0.2, 0.2), rx, ry, side * turn, 0.08)
                k.fill(shape, 0.75 * grey + 0.25 * tissue["white"], soft=2.5, clip=inside)
    elif z < 0.65:
        for side in (-1, 1):
            shape = k.ellipse(side * u(1.4, 1.7), u(-0.8, 0), 0.3, u(1.4, 2.0), side * 0.1, 0.1)
            k.fill(shape, grey, soft=2.5, clip=inside)


def _ventricles(k: Scene, z: float, wide: float) -> Field:
    """Return the level of the ventricles: horns, third and atria low down, long bodies higher, none at the vertex."""
    u = k.rng.uniform
    out = np.full_like(k.X, -9.0)
    if z > 0.66:
        return out
    for side in (-1, 1):
        w = wide * u(0.85, 1.15)
        if z < 0.38:
            horn = k.path(
                [(side * 1.1, -3.0), (side * 0.75, -2.0), (side * 0.35, -1.2)], [0.24 * w, 0.34 * w, 0.14 * w], 0.15
            )
            back = k.path(
                [(side * 1.6, 1.9), (side * 2.3, 2.7), (side * u(2.2, 2.7), u(3.6, 5.0))],
                [0.2 * w, 0.42 * w, 0.2 * w],
                0.15,
            )
            out = np.maximum(np.maximum(out, horn), back)
        else:
            points = [(side * u(0.9, 1.3), -2.8), (side * 0.7, -1.4), (side * 0.75, 0.0), (side * 1.1, 1.3)]
            points.append((side * u(1.7, 2.3), u(2.4, 4.0)))
            arc = k.path(points, [0.16 * w, 0.36 * w, 0.32 * w, 0.4 * w, 0.24 * w], 0.3)
            out = np.maximum(out, arc)
    if z < 0.38:
        third = k.path([(0, -0.9), (0.02, 1.5)], [0.12 * wide, 0.17 * wide], 0.1)
        out = np.maximum(out, third)
    return out
