"""What the planes of a head are made of: levels in canvas units inside a border, one-sided, paired, folded."""

from dataclasses import dataclass, field

import numpy as np

from ibisagent.training.phantoms.canvas import Field, PhantomCanvas

__all__ = ["BrainPlane", "blob", "cortex_distance", "mirrored_blobs", "segment_distance", "skull"]

Ellipse = tuple[float, float, float, float]


@dataclass(slots=True)
class BrainPlane:
    """Levels of one cut, in canvas units inside the border, and (tissue, level) pairs to paint in their order.

    ``lesion_sites``: (x, y, rx, ry) of brain where a lesion may sit; ``grooves``: distance to deep fissures;
    ``named``: levels of targets; ``absent``: targets out of this cut.
    """

    head: Field
    brain: Field
    lesion_sites: list[Ellipse]
    grooves: Field
    outside: list[tuple[str, Field]] = field(default_factory=list)
    inside: list[tuple[str, Field]] = field(default_factory=list)
    named: dict[str, Field] = field(default_factory=dict)
    absent: tuple[str, ...] = ()


def blob(
    c: PhantomCanvas,
    x: float,
    y: float,
    rx: float,
    ry: float,
    angle: float = 0.0,
    wobble: float = 0.04,
    power: float = 2.0,
) -> Field:
    """Return a wobbling superellipse's level in canvas units."""
    return np.asarray(c.blob(x, y, rx, ry, angle, wobble, power) * np.float32(2 / c.size), np.float32)


def mirrored_blobs(
    c: PhantomCanvas, x: float, y: float, rx: float, ry: float, angle: float = 0.0, wobble: float = 0.05
) -> Field:
    """Return a level on both sides, the two alike but not equal; ``angle`` is that of the picture's right one."""
    sides = [
        blob(c, s * x, y + c.rng.normal(0, 0.008), rx * c.rng.uniform(0.9, 1.1), ry, s * angle, wobble=wobble)
        for s in (-1, 1)
    ]
    return np.asarray(np.maximum(*sides), np.float32)


def segment_distance(x: Field, y: Field, ax: float, ay: float, bx: float, by: float) -> Field:
    """Return the distance of points to a segment."""
    dx, dy = bx - ax, by - ay
    along = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
    return np.asarray(np.hypot(x - ax - along * dx, y - ay - along * dy), np.float32)


def cortex_distance(c: PhantomCanvas, plane: BrainPlane, centre: tuple[float, float], atrophy: float) -> Field:
    """Return the distance to the nearest cerebrospinal fluid of the cortex, < 0 inside sulci: what makes gyri."""
    x, y = c.X - centre[0], c.Y - centre[1]
    theta, radius = np.arctan2(y, x) * np.float32(1 / (2 * np.pi)), np.hypot(x, y)
    bend = 0.5 * c.smooth_field(5) + 0.26 * c.smooth_field(12)
    distance = plane.brain
    for count, depths in ((int(c.rng.integers(14, 22)), (0.08, 0.3)), (int(c.rng.integers(28, 40)), (0.02, 0.13))):
        phase = theta * count + bend * np.float32(count / 22)
        nearest = np.floor(phase)
        depth = c.rng.uniform(*depths, count + 24).astype(np.float32)[(nearest.astype(np.int32) + 12) % (count + 24)]
        across = np.abs(phase - nearest - 0.5) * (2 * np.pi / count) * radius
        beyond = np.maximum(plane.brain - depth, 0)
        distance = np.minimum(distance, np.hypot(across, beyond) - np.float32(0.004 + 0.012 * atrophy))
    return np.asarray(np.minimum(distance, plane.grooves - np.float32(0.004 + 0.012 * atrophy)), np.float32)


def skull(c: PhantomCanvas, rx: float, ry: float, power: float = 2.15) -> tuple[Field, Field]:
    """Return the levels of an oval head and of the brain in it, behind scalp and bone of their own thickness."""
    head = blob(c, 0.0, 0.0, rx, ry, 0.0, wobble=0.014, power=power)
    scalp = c.rng.uniform(0.03, 0.075) + 0.006 * c.smooth_field(3)
    bone = c.rng.uniform(0.045, 0.075) + 0.006 * c.smooth_field(4)
    return head, np.asarray(head - scalp - bone, np.float32)
