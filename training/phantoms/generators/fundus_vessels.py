"""The vessel tree of a retina: arcades around the macula, branches, drawn with Pillow at a multiple of the size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ibisagent.training.phantoms.canvas import Field

__all__ = ["Vessel", "grow_vessel_tree", "vessel_coverage"]

STEP = 0.5
"""Degrees of visual field from one point of a vessel to the next."""


@dataclass(frozen=True, slots=True)
class Vessel:
    """A course (N, 2) of x towards the macula and y down, in degrees from the disc; width in degrees at its start."""

    course: NDArray[np.floating]
    heading: NDArray[np.floating]
    width: float
    vein: bool


def grow_vessel_tree(rng: np.random.Generator, reach: float) -> list[Vessel]:
    """Grow artery and vein pairs above and below, towards the macula and away from it, with their branches."""
    vessels: list[Vessel] = []
    calibre = rng.uniform(0.85, 1.5)
    for side in (-1, 1):
        for vein in (False, True):
            width = calibre * (0.62 if vein else 0.45) * rng.uniform(0.85, 1.15)
            start = side * rng.uniform(1.35, 1.75)
            _grow(rng, vessels, (0.0, side * 0.6), start, side * rng.uniform(-0.25, 0.02), rng.uniform(5, 9), reach,
                  width, vein, 0)  # fmt: skip
            start = side * rng.uniform(1.7, 2.6)
            _grow(rng, vessels, (-0.2, side * 0.4), start, start + side * rng.uniform(-0.2, 0.5), 6, reach * 0.6,
                  width * 0.7, vein, 1)  # fmt: skip
        if rng.random() < 0.8:
            _grow(rng, vessels, (0.5, side * 0.4), side * rng.uniform(0.5, 0.9), side * rng.uniform(-0.2, 0.1), 4, 13,
                  0.2 * calibre, bool(rng.random() < 0.5), 2)  # fmt: skip
    return vessels


def _grow(
    rng: np.random.Generator,
    vessels: list[Vessel],
    origin: tuple[float, float],
    start: float,
    end: float,
    turn: float,
    length: float,
    width: float,
    vein: bool,
    order: int,
) -> None:
    """Append a vessel whose heading goes from ``start`` to ``end`` over about ``turn`` degrees, and its branches."""
    steps = max(int(length / STEP), 4)
    along = np.arange(steps) * STEP
    wander = np.cumsum(rng.normal(0, 0.06, steps))
    wave = rng.uniform(0.05, 0.22) * np.sin(along * rng.uniform(0.7, 1.5) + rng.uniform(0, 6))
    heading = end + (start - end) * np.exp(-along / turn) + wave + wander - wander.mean() * (along / length)
    course = np.asarray(origin) + STEP * np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
    vessels.append(Vessel(course, heading, width, vein))
    if order > 1 or width < 0.1:
        return
    place, side = rng.uniform(2.5, 5), rng.choice([-1, 1])
    while place < length * 0.85:
        at = min(int(place / STEP), steps - 1)
        rest = 1 - place / length
        inward = side == -np.sign(start) and order == 0
        angle = heading[at] + side * rng.uniform(0.45, 0.9)
        far = length * rest * rng.uniform(0.4, 0.8) * (0.45 if inward else 1) + 1.5
        share = rng.uniform(0.45, 0.75) * (0.5 if inward else 0.55 + 0.45 * rest)
        _grow(rng, vessels, (course[at, 0], course[at, 1]), angle, angle - side * rng.uniform(0.1, 0.8),
              6, far, width * share, vein, order + 1)  # fmt: skip
        side = -side if rng.random() < 0.8 else side
        place += rng.uniform(3.0, 6.5) * (1 + 0.5 * order)


def vessel_coverage(
    vessels: list[Vessel], size: int, disc: tuple[float, float], scale: float, turn: float, mirror: int
) -> tuple[Field, Field]:
    """Return the coverage, (size, size), by arteries and by veins.

    ``disc``: its centre and ``scale``: canvas units ([-1, 1]) a degree; ``mirror`` -1: the macula is to the left.
    """
    finer = 4 if size <= 256 else 2
    side = size * finer
    c, s = np.cos(turn), np.sin(turn)
    turned = np.array([[c * mirror, s * mirror], [-s, c]])
    sheets = [Image.new("L", (side, side)) for _ in range(2)]
    pens = [ImageDraw.Draw(sheet) for sheet in sheets]
    for vessel in vessels:
        points = (vessel.course @ turned * scale + np.asarray(disc) + 1) * (side / 2)
        if (np.abs(points - side / 2).max(axis=1) > side / 2).all():
            continue
        pieces = max(1, len(points) // 8)
        for k, part in enumerate(np.array_split(np.arange(len(points)), pieces)):
            width = vessel.width * (1 - 0.75 * k / pieces) * scale * side / 2
            run = points[part[0] : part[-1] + 2].ravel().tolist()
            strength = 255 if width >= finer * 0.8 else int(255 * max(width / (finer * 0.8), 0.15))
            pens[vessel.vein].line(run, fill=strength, width=max(round(width), round(finer * 0.8)), joint="curve")
    return tuple(np.asarray(sheet.reduce(finer), np.float32) / 255 for sheet in sheets)  # type: ignore[return-value]
