"""Magnetic resonance of the head: T1, T1 after contrast, T2 and FLAIR, in three planes, with or without the skull."""

from collections.abc import Mapping

import numpy as np

from ibisagent.training.phantoms.canvas import Field, PhantomCanvas, coverage
from ibisagent.training.phantoms.generators.brain_parts import BrainPlane, cortex_distance
from ibisagent.training.phantoms.generators.brain_planes import PLANES
from ibisagent.training.phantoms.noise import gaussian_noise
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.visible_targets import find_absent, keep_visible

__all__ = ["generate"]

Tissue = dict[str, float]

SEQUENCES: Mapping[str, Mapping[str, float]] = {
    "t1": {"fat": 0.95, "bone": 0.07, "marrow": 0.5, "muscle": 0.4, "fluid": 0.13, "grey": 0.46, "white": 0.62,
           "vessel": 0.3, "core": 0.33, "rim": 0.38, "oedema": 0.47},
    "t1ce": {"fat": 0.95, "bone": 0.07, "marrow": 0.5, "muscle": 0.42, "fluid": 0.15, "grey": 0.4, "white": 0.46,
             "vessel": 0.85, "core": 0.6, "rim": 0.85, "oedema": 0.36},
    "t2": {"fat": 0.7, "bone": 0.06, "marrow": 0.35, "muscle": 0.2, "fluid": 0.95, "grey": 0.52, "white": 0.36,
           "vessel": 0.1, "core": 0.78, "rim": 0.68, "oedema": 0.74},
    "flair": {"fat": 0.55, "bone": 0.06, "marrow": 0.3, "muscle": 0.3, "fluid": 0.1, "grey": 0.48, "white": 0.4,
              "vessel": 0.15, "core": 0.72, "rim": 0.82, "oedema": 0.74},
}  # fmt: skip
"""Brightness by tissue as the sequences show it, 1 the brightest."""


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw one slice; ``difficulty`` takes contrast from lesion, fluid and bone and adds noise and bias."""
    sequence = str(rng.choice(list(SEQUENCES), p=(0.2, 0.35, 0.2, 0.25)))
    tissue = _tissue(rng, sequence, difficulty)
    stripped = rng.random() < 0.33
    c = PhantomCanvas(rng, size, warp=0.012, turn=0.09, shift=0.05, scale=0.05)
    _zoom(c, stripped)
    cut = PLANES[int(rng.choice(len(PLANES), p=[share for _, share in PLANES]))][0]
    plane = cut(c)
    view = coverage(plane.brain * np.float32(size / 2), max((1 + 2.5 * difficulty) * c.px, 0.5))
    if not stripped:
        _paint_outside(c, plane, tissue)
    elif rng.random() < difficulty:
        left = (plane.brain + 0.05) * np.float32(size / 2)
        c.paint(coverage(left) * np.clip(c.smooth_field(5) - 0.7, 0, 1), tissue["muscle"] * rng.uniform(0.6, 1.4))
    _paint_brain(c, plane, tissue, view, stripped)
    if rng.random() < 0.62:
        _paint_tumour(c, plane, tissue, sequence, difficulty)
    absent = find_absent((*plane.absent, "brain tumour"), c.masks)
    return GeneratedImage(
        _acquire(c, difficulty, stripped), keep_visible(c.masks), absent=absent, lesions=("brain tumour",)
    )


def _tissue(rng: np.random.Generator, sequence: str, difficulty: float) -> Tissue:
    """Vary a sequence's brightness; the harder, the nearer are fluid, grey and lesion to white matter."""
    values = {name: value + rng.normal(0, 0.035) for name, value in SEQUENCES[sequence].items()}
    white = values["white"]
    for name, share in (("fluid", 0.45), ("grey", 0.3), ("core", 0.6), ("rim", 0.6), ("oedema", 0.6), ("vessel", 0.3),
                        ("bone", 0.55)):  # fmt: skip
        values[name] = white + (values[name] - white) * (1.1 - share * difficulty * rng.uniform(0.8, 1.2))
    return {name: max(value, 0.02) for name, value in values.items()}


def _zoom(c: PhantomCanvas, stripped: bool) -> None:
    """Choose the field of view: the head in air, filling the picture, or a close-up off the centre."""
    rng = c.rng
    zoom = rng.uniform(0.9, 1.12) * (1.15 if stripped else 1.0)
    if rng.random() < 0.15:
        zoom *= rng.uniform(1.2, 1.7)
        c.X += np.float32(rng.uniform(-0.35, 0.35))
        c.Y += np.float32(rng.uniform(-0.35, 0.35))
    c.X, c.Y = c.X / np.float32(zoom), c.Y / np.float32(zoom)


def _paint_outside(c: PhantomCanvas, plane: BrainPlane, tissue: Tissue) -> None:
    """Paint scalp, what lies outside the brain, the skull with its marrow, and the fluid under it."""
    rng, pixels = c.rng, c.size / 2
    head = c.paint_shape(
        plane.head * pixels, tissue["fat"] * rng.uniform(0.7, 1.05) * (1 + 0.08 * c.fractal_field(6, 3)), 1.2
    )
    skin = np.exp(-(((plane.head - 0.006) / 0.008) ** 2))
    c.image *= 1 - 0.35 * skin
    for name, level in plane.outside:
        c.paint_shape(level * pixels, tissue[name] * (1 + 0.15 * c.fractal_field(9, 3)), 1.5, clip=head)
    thick = rng.uniform(0.045, 0.075)
    bone = c.paint_shape((plane.brain + thick) * pixels, tissue["bone"], 1.5, clip=head)
    diploe = np.exp(-(((plane.brain + thick * 0.55) / (thick * 0.2)) ** 2)) * np.clip(
        0.6 + 0.5 * c.smooth_field(6), 0, 1
    )
    c.image += np.asarray(diploe * (tissue["marrow"] * rng.uniform(0.1, 0.9)), np.float32) * bone
    c.paint_shape((plane.brain + rng.uniform(0.0, 0.02)) * pixels, tissue["fluid"], 1.5)


def _paint_brain(c: PhantomCanvas, plane: BrainPlane, tissue: Tissue, view: Field, stripped: bool) -> None:
    """Paint white matter and the folded cortex, with its vessels after contrast, then what lies in it."""
    rng, pixels = c.rng, np.float32(c.size / 2)
    distance = cortex_distance(c, plane, plane.lesion_sites[0][:2], float(rng.beta(1.3, 2.5)))
    white = tissue["white"] * (1 + 0.025 * c.fractal_field(8, 4))
    grey = tissue["grey"] * (1 + 0.03 * c.fractal_field(12, 3))
    ribbon = coverage((rng.uniform(0.032, 0.05) - distance) * pixels, max(2.5 * c.px, 0.5))
    matter = white + (grey - white) * ribbon
    c.paint(view, matter)
    sulci = coverage(-distance * pixels, max(1.6 * c.px, 0.5)) * view
    c.paint(sulci * np.clip(rng.uniform(0.4, 0.9) + 0.35 * c.smooth_field(6), 0, 1), tissue["fluid"])
    if tissue["vessel"] > tissue["white"]:
        near = coverage((0.012 - distance) * pixels, max(2 * c.px, 0.5)) * view
        c.paint(np.clip(c.smooth_field(34) - 1.3, 0, 1) * near, tissue["vessel"])
    c.masks["brain"] = view > 0.5
    _paint_named(c, plane, tissue, view, stripped)


def _paint_named(c: PhantomCanvas, plane: BrainPlane, tissue: Tissue, view: Field, stripped: bool) -> None:
    """Paint deep grey matter, tracts and fluid, and the targets that the plane names; no eyes without a skull."""
    rng, pixels, grey = c.rng, np.float32(c.size / 2), tissue["grey"] * (1 + 0.03 * c.fractal_field(12, 3))
    named = {name: level * pixels for name, level in plane.named.items()}
    if "cerebellum" in named:
        folia = np.abs(np.sin((np.hypot(c.X, c.Y * 1.4) + 0.02 * c.smooth_field(6)) * np.float32(rng.uniform(60, 80))))
        c.paint_shape(
            named["cerebellum"], grey + (tissue["fluid"] - grey) * 0.35 * (1 - folia) ** 2, 1.5, name="cerebellum"
        )
    if "eyes" in named and not stripped:
        eyes = c.paint_shape(named["eyes"], tissue["fluid"], 1.5, name="eyes", clip=1 - view)
        c.paint(
            eyes * np.exp(-(((c.Y + 0.72) / 0.03) ** 2)) * np.exp(-(((np.abs(c.X) - 0.28) / 0.06) ** 2)),
            tissue["muscle"],
        )
    for tone, level in plane.inside:
        c.paint_shape(level * pixels, tissue[tone] * (1 + 0.02 * c.smooth_field(12)), 2.0, clip=view)
    if "ventricles" in named:
        c.paint_shape(named["ventricles"], tissue["fluid"], rng.uniform(1.5, 3), name="ventricles", clip=view)
        for tone, level in plane.inside:
            if tone == "vessel" and tissue["vessel"] > tissue["white"]:
                c.paint_shape(level * pixels, tissue[tone], 1.5, clip=view)


def _paint_tumour(c: PhantomCanvas, plane: BrainPlane, tissue: Tissue, sequence: str, difficulty: float) -> None:
    """Paint a mass with a rim, a core and oedema; on T2 and FLAIR all that is bright counts, else the mass alone."""
    rng = c.rng
    x, y, rx, ry = plane.lesion_sites[int(rng.integers(len(plane.lesion_sites)))]
    angle, out = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 0.9)
    x, y = x + rx * out * np.cos(angle), y + ry * out * np.sin(angle)
    radius = float(np.exp(rng.uniform(np.log(0.07), np.log(0.24))))
    turn, wobble = rng.uniform(0, np.pi), rng.uniform(0.04, 0.12)
    mass = c.blob(x, y, radius, radius * rng.uniform(0.65, 1), turn, wobble)
    mass = mass + np.float32(c.size * 0.004) * c.smooth_field(18)
    brain = coverage(plane.brain * np.float32(c.size / 2))
    soft = 1.5 + 5 * difficulty
    swelling = rng.uniform(0.04, 0.16) if rng.random() < 0.7 else 0.0
    bright = sequence in ("t2", "flair")
    whole = mass
    if swelling:
        reach = radius + swelling
        whole = c.blob(x, y, reach, reach * rng.uniform(0.7, 1), turn, 0.1)
        whole = np.maximum(whole + np.float32(c.size / 8 * swelling) * c.smooth_field(7), mass)
        value = tissue["oedema"] * (1 + 0.05 * c.fractal_field(10, 3))
        c.paint_shape(whole, value, soft + 3, clip=brain * (1.0 if bright else 0.8))
    core = tissue["core"] * (1 + 0.1 * c.fractal_field(12, 3))
    if sequence == "t1ce" and rng.random() < 0.45:
        core = core * 0 + tissue["oedema"] * rng.uniform(0.5, 0.95)
    c.paint_shape(mass, tissue["rim"] * (1 + 0.08 * c.fractal_field(10, 3)), soft, clip=brain)
    width = radius * rng.uniform(0.18, 0.5) * (1 + 0.3 * c.smooth_field(6))
    c.paint_shape(mass - width * (c.size / 2), core, soft, clip=brain)
    outer = np.maximum(whole, mass) if bright else mass
    c.masks["brain tumour"] = (outer > 0) & (brain > 0.5)
    if "ventricles" in c.masks:
        c.masks["ventricles"] &= ~c.masks["brain tumour"]


def _acquire(c: PhantomCanvas, difficulty: float, stripped: bool) -> Field:
    """Add the coil's bias and Rician noise, none where a stripped picture is empty; scale to 0..255."""
    rng, size = c.rng, c.size
    image = c.image * np.exp(rng.uniform(0.02, 0.06 + 0.16 * difficulty) * c.smooth_field(2))
    matrix = int(rng.integers(140, 230))
    noise = rng.uniform(0.006, 0.015) + 0.032 * difficulty * rng.uniform(0.4, 1.2)
    real, imaginary = (np.float32(noise) * gaussian_noise(rng, size, matrix, matrix) for _ in range(2))
    noisy = np.hypot(image + real, imaginary) * rng.uniform(230, 310)
    return np.asarray(np.where(c.image > 0.01, noisy, 0) if stripped else noisy, np.float32)
