"""Draw stained tissue under a microscope: glands, a tumour nest, a vessel in stroma; in H&E or an antibody stain."""

import numpy as np

from ibisagent.tools.imaging.grids import Mask
from ibisagent.training.phantoms.canvas import Field, PhantomCanvas, blur, coverage
from ibisagent.training.phantoms.generators.histology_stroma import draw_stroma, lattice_points, paint_nuclei
from ibisagent.training.phantoms.noise import gaussian_noise
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.scatter import stamp_ellipses
from ibisagent.training.phantoms.visible_targets import keep_visible, name_by_quadrant

__all__ = ["generate"]

# Optical density in red, green and blue of a unit of nuclear stain, of counterstain, and of what marks epithelium.
HE = np.array([[1.0, 1.15, 0.5], [0.14, 0.95, 0.42], [0.12, 0.2, 0.02]], np.float32)
PALE_HE = np.array([[0.75, 0.95, 0.35], [0.1, 0.7, 0.25], [0.08, 0.2, 0.05]], np.float32)
ANTIBODY = np.array([[0.85, 0.62, 0.25], [0.13, 0.13, 0.1], [0.45, 0.85, 1.25]], np.float32)


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw stroma with up to four glands, a "tumour nest" in somewhat more than half of the pictures and a vessel."""
    k = PhantomCanvas(rng, size, channels=3, warp=rng.uniform(0.01, 0.05), turn=0, shift=0, scale=0)
    nest, vessel = rng.random() < 0.6, rng.random() < 0.4
    count = int(rng.choice([0, 1, 1, 2, 3])) if nest else int(rng.choice([1, 1, 2, 2, 3, 4]))
    places = _place_structures(rng, min(count + nest + vessel, 4))
    nucleus = float(rng.uniform(0.8, 1.4) * (0.02 if len(places) > 2 else 0.026))
    draw_stroma(k, nucleus, difficulty)
    if nest:
        k.masks["tumour nest"] = _nest(k, *places.pop(), nucleus, difficulty)
    discs, places = places[:count], places[count:]
    glands = [_gland(k, *disc, nucleus, difficulty) for disc in discs]
    if places:
        k.masks["blood vessel"] = _vessel(k, *places.pop(), nucleus, difficulty)
    inner = [(x, y, 0.9 * r) for x, y, r in discs]
    k.masks |= {"gland": glands[0]} if len(glands) == 1 else name_by_quadrant(glands, inner, "gland")
    masks = keep_visible(k.masks)
    wanted = ("tumour nest", "blood vessel", *(() if glands else ("gland",)))
    absent = tuple(name for name in wanted if name not in masks)
    return GeneratedImage(_render_stains(k, difficulty), masks, absent, ("tumour nest",))


def _place_structures(rng: np.random.Generator, count: int) -> list[tuple[float, float, float]]:
    """Return centres and radii of ``count`` structures that keep apart: one large, two across, or one a quarter."""
    if count == 1:
        r = float(rng.uniform(0.3, 0.85))
        x, y = (float(at) for at in rng.uniform(-0.9, 0.9, 2) * (0.95 - r))
        return [(x, y, r)]
    corners = np.array([(-0.5, -0.5), (0.5, 0.5), (0.5, -0.5), (-0.5, 0.5)])
    if count == 2:
        corners = corners[:2] if rng.random() < 0.5 else corners[2:]
    spots = rng.permutation(corners)[:count] * (0.9 if count == 2 else 1) + rng.normal(0, 0.05, (count, 2))
    radii = rng.uniform(0.28, 0.5 if count == 2 else 0.43, count)
    return [(float(x), float(y), float(r)) for (x, y), r in zip(spots, radii, strict=True)]


def _gland(k: PhantomCanvas, cx: float, cy: float, r: float, nucleus: float, difficulty: float) -> Mask:
    """Paint a gland: a rim of tall cells with nuclei at its foot, goblet cells, a lumen; return its mask."""
    rng, disc, unit = k.rng, (cx, cy, r * 1.1), r * k.size / 2
    level = k.blob(cx, cy, r, r * rng.uniform(0.55, 1), rng.uniform(0, 3), rng.uniform(0.02, 0.07))
    level = level + rng.uniform(0, 0.04) * unit * k.smooth_field(8)
    covered = coverage(level, (1 + 5 * difficulty * rng.random()) * k.px)
    if rng.random() < 0.45 - 0.3 * difficulty:
        k.paint(coverage(level + rng.uniform(0.03, 0.09) * unit, 2 * k.px), (0.02, 0.08, 0))
    tone = np.array([rng.uniform(0.15, 0.4), rng.uniform(0.25, 0.55), rng.uniform(0.45, 1.1)])
    tone += 0.85 * difficulty**0.7 * (k.image.mean(axis=(0, 1)) - tone)
    k.paint(covered, tone * (1 + 0.14 * k.fractal_field(12, 3)[..., None]))
    wall, folded = rng.uniform(0.25, 0.5), rng.uniform(0.02, 0.14)
    lumen = coverage(level - wall * unit + np.float32(folded * unit) * k.fractal_field(7, 2, 0.6), 1.2 * k.px)
    if rng.random() < 0.5:
        x, y = lattice_points(k, disc, r * 0.26, 0.15)
        mucus = stamp_ellipses(k.size, (x, y), r * 0.13, r * 0.08, np.arctan2(y - cy, x - cx), 0.85)
        k.paint(mucus * coverage(level - 0.45 * wall * unit, 0.05 * unit), (0.06, 0.1, 0.08))
    foot = coverage(0.42 * wall * unit - np.abs(level - 0.4 * wall * unit), 2 * k.px)
    foot = np.maximum(foot, np.float32(rng.uniform(0, 0.8)) * covered * (1 - lumen))
    paint_nuclei(k, foot, disc, nucleus * 2.1, nucleus, slim=rng.uniform(0.4, 0.7), dark=rng.uniform(0.7, 1.1))
    filled = rng.uniform(0.1, 0.2 + 0.5 * difficulty) if rng.random() < 0.6 else 0
    debris = coverage(k.fractal_field(8, 3) - rng.uniform(-0.5, 1.2), 0.6) * filled
    k.paint(lumen, np.stack([0.02 + 0.3 * debris, 0.03 + debris, 0.1 * debris], axis=-1))
    return np.asarray(covered > 0.5)


def _nest(k: PhantomCanvas, cx: float, cy: float, r: float, nucleus: float, difficulty: float) -> Mask:
    """Paint a solid, ragged nest of crowded dark nuclei; return its mask."""
    rng, unit = k.rng, r * k.size / 2
    level = k.blob(cx, cy, r, r * rng.uniform(0.65, 1), rng.uniform(0, 3), rng.uniform(0.04, 0.09), waves=10)
    for _ in range(int(rng.integers(0, 3))):
        turn = rng.uniform(0, 2 * np.pi)
        lobe = k.blob(cx + 0.6 * r * np.cos(turn), cy + 0.6 * r * np.sin(turn), 0.55 * r, 0.4 * r, turn, 0.1)
        level = np.maximum(level, lobe)
    level = level + rng.uniform(0.01, 0.06) * unit * k.smooth_field(14)
    covered = coverage(level, (1.5 + 5 * difficulty * rng.random()) * k.px)
    tone = np.array([rng.uniform(0.3, 0.6), rng.uniform(0.3, 0.6), rng.uniform(0.3, 1.1)])
    tone += 0.85 * difficulty**0.7 * (k.image.mean(axis=(0, 1)) - tone)
    k.paint(covered, tone * (1 + 0.14 * k.fractal_field(9, 4)[..., None]))
    larger, crowd = nucleus * rng.uniform(1.05, 1.5), rng.uniform(2.1, 2.7 + difficulty)
    dark = rng.uniform(0.85, 1.3) * (1.15 - 0.4 * difficulty)
    paint_nuclei(
        k, covered, (cx, cy, r * 1.3), larger * crowd, larger, way=rng.uniform(0, 3), dark=dark, brown=tone[2] / 2
    )
    if rng.random() < 0.3:
        dead = coverage(level - 0.5 * unit + 0.12 * unit * k.smooth_field(8), 3 * k.px)
        k.paint(dead * 0.85, (0.2, 0.75, 0.3))
    return np.asarray(covered > 0.5)


def _vessel(k: PhantomCanvas, cx: float, cy: float, r: float, nucleus: float, difficulty: float) -> Mask:
    """Paint a vessel: a thin wall with flat nuclei around red cells in a clear lumen; return its mask."""
    rng, r = k.rng, r * k.rng.uniform(0.5, 1)
    level, unit = k.blob(cx, cy, r, r * rng.uniform(0.55, 1), rng.uniform(0, 3), 0.04), r * k.size / 2
    covered, wall = coverage(level, (1 + 2 * difficulty) * k.px), rng.uniform(0.12, 0.4)
    k.paint(
        covered,
        np.array([0.15, rng.uniform(0.65, 0.95), rng.uniform(0, 0.15)])
        * (1 + 0.12 * k.fractal_field(12, 3)[..., None]),
    )
    rim = coverage(level, k.px) * coverage(wall * unit - level, k.px)
    paint_nuclei(k, rim, (cx, cy, r * 1.1), nucleus * 3.2, nucleus, slim=0.45)
    lumen = coverage(level - wall * unit, k.px)
    k.paint(lumen, (0.01, 0.04, 0))
    cell = max(nucleus * rng.uniform(0.75, 1), 0.07 * r)
    x, y = lattice_points(k, (cx, cy, r), cell * rng.uniform(1.8, 2.5), 0.3)
    cells = stamp_ellipses(k.size, (x, y), cell, cell * 0.9, 0, rng.uniform(0.7, 1, x.size), 0.8)
    k.paint(cells * lumen * coverage(k.smooth_field(6) + rng.uniform(0, 2.5), 0.2), (0.0, 1.25, 0.12))
    return np.asarray(covered > 0.5)


def _render_stains(k: PhantomCanvas, difficulty: float) -> Field:
    """Turn the stains' concentrations, the canvas' three channels, into light; thick and thin places, focus, grain."""
    rng = k.rng
    stains = (HE, HE, PALE_HE, ANTIBODY)[int(rng.integers(4))] * np.exp(rng.normal(0, 0.14, (3, 3)))
    amounts = np.exp(rng.normal(0, 0.25, 3)) * rng.uniform(0.65, 1.15)
    thickness = (1 + 0.08 * k.smooth_field(3) + (0.02 + 0.05 * difficulty) * gaussian_noise(rng, k.size, 180, 180))[
        ..., None
    ]
    density = np.maximum(k.image, 0) * thickness @ (stains * amounts[:, None]).astype(np.float32)
    image = rng.uniform(228, 250, 3).astype(np.float32) * np.exp(-density)
    return blur(image, rng.uniform(0.3, 0.7 + 0.5 * difficulty) * k.px)
