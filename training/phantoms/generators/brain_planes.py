"""The planes of a head for `brain_mr`: where bone, cortex, ventricles and deep grey lie. Lengths in canvas units."""

import numpy as np

from ibisagent.training.phantoms.canvas import PhantomCanvas
from ibisagent.training.phantoms.generators.brain_parts import BrainPlane, blob, mirrored_blobs, segment_distance, skull

__all__ = ["PLANES"]


def cut_axial(c: PhantomCanvas) -> BrainPlane:
    """Cut the cerebrum: from the basal ganglia (frontal horns, third ventricle) up to above the ventricles."""
    rng, height = c.rng, c.rng.uniform(0.0, 1.0)
    shrink = 1 - 0.25 * max(height - 0.6, 0)
    rx, ry = rng.uniform(0.66, 0.76) * shrink, rng.uniform(0.84, 0.93) * shrink
    head, brain = skull(c, rx, ry)
    wide, swollen = (rx - 0.11) / 0.6, rng.uniform(0.75, 1.0) if rng.random() < 0.6 else rng.uniform(1.0, 1.9)
    midline = c.X + 0.006 * c.smooth_field(6)
    plane = BrainPlane(head, brain, [(0.0, 0.0, rx - 0.15, ry - 0.15)], np.full_like(head, 9.0))
    ax = np.asarray(np.abs(midline) / np.float32(wide), np.float32)
    if height > 0.7:
        plane.grooves = ax
        plane.absent = ("ventricles", "cerebellum", "eyes")
        return plane
    plane.absent = ("cerebellum", "eyes")
    gap = rng.uniform(0.3, 0.42)
    plane.grooves = np.minimum(np.hypot(ax, np.maximum(gap - np.abs(c.Y), 0)), plane.grooves)
    if height > 0.4:
        body = mirrored_blobs(c, 0.095 * wide, rng.uniform(-0.04, 0.04), 0.055 * swollen, rng.uniform(0.2, 0.33), 0.06)
        back = mirrored_blobs(c, 0.17 * wide, 0.24, 0.055 * swollen, 0.13, -0.45)
        plane.inside = [("grey", mirrored_blobs(c, 0.16 * wide, -0.05, 0.03, 0.2, 0.05))]
        plane.named["ventricles"] = np.maximum(body, back)
        return plane
    bx, by = ax + 0.02 * c.smooth_field(9), c.Y + 0.02 * c.smooth_field(9)
    slit = np.minimum(
        segment_distance(bx, by, 0.4, -0.2, 0.45, 0.08), segment_distance(bx, by, 0.4, -0.18, 0.66, -0.26)
    )
    plane.grooves = np.minimum(plane.grooves, slit)
    plane.inside = [
        ("grey", mirrored_blobs(c, 0.15 * wide, -0.2, 0.055, 0.12, 0.35)),
        ("grey", mirrored_blobs(c, 0.28 * wide, -0.03, 0.06, 0.15, -0.2)),
        ("grey", mirrored_blobs(c, 0.1 * wide, 0.08, 0.075, 0.12, -0.3)),
    ]
    horns = mirrored_blobs(c, 0.09 * wide, -0.22, 0.046 * swollen, 0.14, 0.35)
    atria = mirrored_blobs(c, 0.23 * wide, 0.3, 0.052 * swollen, rng.uniform(0.11, 0.18), -0.4)
    third = blob(c, 0.0, 0.0, 0.016 * swollen, 0.13)
    plane.named["ventricles"] = np.maximum(np.maximum(horns, third), atria)
    plane.inside.append(("vessel", mirrored_blobs(c, 0.225 * wide, 0.28, 0.02, 0.05, -0.4, 0.2)))
    return plane


def cut_skull_base(c: PhantomCanvas) -> BrainPlane:
    """Cut low: eyes and nose in front, temporal lobes, pons, cerebellum around the fourth ventricle."""
    rng = c.rng
    rx, ry = rng.uniform(0.68, 0.76), rng.uniform(0.86, 0.95)
    head, _ = skull(c, rx, ry, 2.3)
    back = rng.uniform(0.28, 0.36)
    cerebellum = blob(c, 0.0, back, rng.uniform(0.44, 0.54), rng.uniform(0.26, 0.32), 0.0, power=2.5)
    temporal = mirrored_blobs(c, 0.37, rng.uniform(-0.2, -0.12), 0.19, 0.25, rng.uniform(-0.4, -0.1))
    pons = blob(c, 0.0, back - 0.28, 0.17, 0.14)
    fourth = blob(c, 0.0, back - 0.13, rng.uniform(0.05, 0.09), rng.uniform(0.03, 0.05))
    brain = np.asarray(np.maximum(np.maximum(cerebellum, temporal), pons), np.float32)
    eyes = mirrored_blobs(c, 0.28, rng.uniform(-0.66, -0.6), 0.115, 0.115, wobble=0.02)
    plane = BrainPlane(
        head, brain, [(0.0, back, 0.4, 0.22), (0.37, -0.15, 0.16, 0.2), (-0.37, -0.15, 0.16, 0.2)], brain
    )
    plane.grooves = np.full_like(head, 9.0)
    plane.outside = [
        ("muscle", head - 0.06),
        ("fat", mirrored_blobs(c, 0.27, -0.5, 0.18, 0.26, 0.3)),
        ("muscle", mirrored_blobs(c, 0.22, -0.42, 0.03, 0.15, 0.3)),
        ("bone", blob(c, 0.0, -0.5, 0.16, 0.32, 0.0, 0.12)),
        ("muscle", blob(c, 0.0, -0.55, 0.02, 0.25, 0.0, 0.12)),
        ("muscle", mirrored_blobs(c, 0.075, -0.5, 0.025, 0.17, 0.0, 0.15)),
        ("marrow", blob(c, 0.0, -0.13, 0.16, 0.08, 0.0, 0.12)),
        ("bone", mirrored_blobs(c, 0.42, 0.07, 0.28, 0.1, -0.5, 0.15)),
    ]
    plane.named = {"cerebellum": np.minimum(cerebellum, -pons), "eyes": np.minimum(eyes, head)}
    plane.inside = [("white", pons), ("fluid", fourth)]
    plane.absent = ("ventricles",)
    return plane


def cut_coronal(c: PhantomCanvas) -> BrainPlane:
    """Cut from ear to ear: hemispheres over the temporal lobes, slender ventricles, brain stem or cerebellum below."""
    rng = c.rng
    wide, swollen = rng.uniform(0.9, 1.05), rng.uniform(0.8, 1.8)
    dome = blob(c, 0.0, -0.22, 0.62 * wide, rng.uniform(0.5, 0.56), wobble=0.015, power=2.2)
    lobes = mirrored_blobs(c, 0.36 * wide, 0.16, 0.23, 0.2)
    rear = rng.random() < 0.4
    stem = blob(c, 0.0, 0.42, 0.45, 0.2) if rear else blob(c, 0.0, 0.38, 0.11, 0.33)
    brain = np.asarray(np.maximum(np.maximum(dome, lobes), stem), np.float32)
    scalp = np.maximum(dome + rng.uniform(0.11, 0.14), blob(c, 0.0, -0.08, 0.74 * wide, 0.66, power=2.4))
    neck = blob(c, 0.0, 0.8, rng.uniform(0.5, 0.64), 0.75, power=3.0)
    plane = BrainPlane(np.maximum(scalp, neck), brain, [(0.0, -0.2, 0.5, 0.4)], np.full_like(brain, 9.0))
    ax = np.abs(c.X + 0.006 * c.smooth_field(6)) / np.float32(wide)
    bx, by = ax + 0.02 * c.smooth_field(9), c.Y + 0.02 * c.smooth_field(9)
    slit = np.minimum(
        segment_distance(bx, by, 0.38, 0.02, 0.64, -0.06), segment_distance(bx, by, 0.38, -0.12, 0.41, 0.04)
    )
    plane.grooves = np.minimum(np.hypot(ax, np.maximum(c.Y + rng.uniform(0.25, 0.35), 0)), slit)
    plane.outside = [
        ("muscle", np.maximum(neck, scalp) - 0.07),
        ("bone", mirrored_blobs(c, 0.42, 0.42, 0.2, 0.1, 0.4, 0.15)),
    ]
    plane.inside = [
        ("grey", mirrored_blobs(c, 0.15, -0.17, 0.05, 0.08, 0.4)),
        ("grey", mirrored_blobs(c, 0.27, -0.05, 0.06, 0.1, 0.2)),
        ("grey", mirrored_blobs(c, 0.09, -0.01, 0.075, 0.08)),
    ]
    if not rear:
        plane.inside.append(("white", np.minimum(stem, -np.maximum(dome, lobes) + 0.1)))
    horns = mirrored_blobs(c, 0.09, -0.2, 0.05 * swollen, 0.12, 0.6)
    plane.named["ventricles"] = np.maximum(horns, blob(c, 0.0, -0.03, 0.018 * swollen, 0.11))
    if rear:
        plane.named["cerebellum"] = np.minimum(stem, -np.maximum(dome, lobes))
    else:
        plane.absent = ("cerebellum",)
    return plane


def cut_sagittal(c: PhantomCanvas) -> BrainPlane:
    """Cut between the hemispheres: the face to one side, corpus callosum, brain stem and cerebellum."""
    rng = c.rng
    if rng.random() < 0.3:
        c.X = -c.X
    dome = blob(c, 0.0, -0.25, 0.7, rng.uniform(0.46, 0.52), 0.05, wobble=0.02, power=2.2)
    below = blob(c, -0.25, 0.55, 0.42, 0.42, 0.0, power=2.5) + 0.03
    dome = np.minimum(dome, -below)
    cerebellum = blob(c, 0.38, 0.28, 0.25, rng.uniform(0.17, 0.21), 0.3)
    stem = np.maximum(blob(c, 0.1, 0.22, 0.1, 0.17, 0.2), blob(c, 0.16, 0.55, 0.055, 0.4, -0.05))
    brain = np.asarray(np.maximum(np.maximum(dome, cerebellum), stem), np.float32)
    face = np.maximum(blob(c, -0.4, 0.45, 0.45, 0.6, -0.15, 0.1), blob(c, 0.2, 0.85, 0.5, 0.6, power=3.0))
    head = np.maximum(np.maximum(dome, cerebellum) + rng.uniform(0.1, 0.13), face)
    plane = BrainPlane(head, brain, [(0.0, -0.3, 0.55, 0.32)], np.full_like(brain, 9.0))
    ring = blob(c, 0.02, -0.1, 0.3, 0.17, 0.05)
    arc = np.minimum(np.minimum(ring, 0.06 - ring), -0.02 - c.Y + 0.12 * np.abs(c.X))
    plane.outside = [
        ("muscle", np.asarray(face - 0.05, np.float32)),
        ("bone", blob(c, -0.52, 0.3, 0.2, 0.09, 0.2, 0.15)),
        ("marrow", blob(c, -0.05, 0.38, 0.07, 0.12, -0.5, 0.1)),
        ("fluid", blob(c, 0.17, 0.6, 0.09, 0.42, -0.05)),
        ("bone", blob(c, -0.3, 0.62, 0.25, 0.03, 0.2, 0.2)),
    ]
    hollow = np.asarray(np.minimum(ring - 0.06, -0.06 - c.Y), np.float32)
    plane.inside = [("fluid", hollow), ("grey", blob(c, 0.05, -0.02, 0.11, 0.08))]
    plane.inside += [("white", stem), ("fluid", blob(c, 0.2, 0.22, 0.025, 0.07, 0.3)), ("white", arc)]
    plane.named = {"cerebellum": np.minimum(cerebellum, -stem)}
    return plane


PLANES = ((cut_axial, 0.66), (cut_skull_base, 0.12), (cut_coronal, 0.12), (cut_sagittal, 0.1))
"""The planes and how often each is cut."""
