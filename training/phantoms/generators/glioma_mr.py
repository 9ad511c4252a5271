"""MR of a brain with a glioma, axial: T1, T1 after contrast medium, T2, FLAIR; right is on the picture's left."""

import numpy as np

from ibisagent.training.phantoms.generators.brain_mr import SEQUENCES
from ibisagent.training.phantoms.generators.brain_slice import BrainSlice, draw_brain_slice
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.scanners import receive_mr
from ibisagent.training.phantoms.scene import Point, Scene, smooth_min
from ibisagent.training.phantoms.visible_targets import find_absent, keep_visible, tell_lesions

__all__ = ["generate"]

_PARTS = {"t1": (), "t1ce": ("enhancing tumour",), "t2": ("tumour core",), "flair": ("tumour core",)}
"""The parts of a tumour that a sequence tells apart from all of it."""


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw a slice with, three times of four, a tumour that pushes what is around it."""
    u = rng.uniform
    sequence = str(rng.choice(list(SEQUENCES), p=(0.12, 0.33, 0.22, 0.33)))
    stripped, z = u() < 0.6, u(0, 1) ** 1.2
    field, middle = (u(17, 21), (u(-0.6, 0.6), u(-0.6, 0.6))) if stripped else (u(20, 25), (u(-1, 1), u(-1, 1)))
    if u() < 0.08:
        field, middle = u(10, 14), (u(-2.5, 2.5), u(-3, 3))
    k = Scene(rng, size, field, middle=middle, warp=0.1, turn=0.07)
    tissue = {name: max(value + rng.normal(0, 0.03), 0.02) for name, value in SEQUENCES[sequence].items()}
    apart = 1 - 0.45 * difficulty * u()
    tissue |= {
        name: tissue["white"] + (tissue[name] - tissue["white"]) * apart for name in ("grey", "core", "rim", "oedema")
    }
    there = u() < 0.75
    at, r = (float(rng.choice([-1, 1])) * u(1.8, 4.6), u(-4.8, 5.0)), float(np.exp(u(np.log(0.8), np.log(2.7))))
    plain = k.X, k.Y
    if there:
        _push(k, at, r)
    brain = draw_brain_slice(k, tissue, z, stripped)
    k.X, k.Y = plain
    if there:
        _draw_glioma(k, brain, at, r, tissue, sequence)
    masks, absent = keep_visible(k.masks), find_absent(("brain", "brain tumour", *_PARTS[sequence]), k.masks)
    if z > 0.66:
        absent += ("ventricles",)
    noise = u(0.008, 0.02) + 0.04 * difficulty**2 * u()
    air = k.image < 0.01
    image = receive_mr(k, noise, u(0.02, 0.1), white=u(0.75, 1.05) * (1 if stripped else 1.1))
    if stripped:
        image = np.where(air, 0, image).astype(np.float32)
    return GeneratedImage(image, masks, absent, tell_lesions(("brain tumour",), masks, absent))


def _push(k: Scene, at: Point, r: float) -> None:
    """Move what will be drawn away from the tumour: the midline bends, ventricles narrow."""
    dx, dy = k.X - np.float32(at[0]), k.Y - np.float32(at[1])
    force = np.float32(k.rng.uniform(0.05, 0.42)) * np.exp(-(dx * dx + dy * dy) / np.float32(2 * (1.4 * r + 0.8) ** 2))
    rim = np.clip(8 - np.hypot(k.X, k.Y * 0.8), 0, 2) / 2
    k.X, k.Y = np.asarray(k.X - force * rim * dx, np.float32), np.asarray(k.Y - force * rim * dy, np.float32)


def _draw_glioma(k: Scene, brain: BrainSlice, at: Point, r: float, tissue: dict[str, float], sequence: str) -> None:
    """Draw swelling that fingers through white matter, a ragged mass, its rim and its dead core; name the parts."""
    u = k.rng.uniform
    low = u() < 0.25
    mass = k.ellipse(*at, r, r * u(0.65, 1.0), u(0, 3), u(0.12, 0.28), margin=4)
    if u() < 0.35:
        mass = np.maximum(
            mass, k.ellipse(at[0] + u(-1.2, 1.2) * r, at[1] + u(-1.2, 1.2) * r, 0.5 * r, 0.45 * r, 0, 0.2, margin=4)
        )
    mass = smooth_min(smooth_min(mass, brain.brain - 0.05, 0.3), -brain.ventricles, 0.2)
    same = np.asarray(np.sign(at[0]) * k.X + u(-0.3, 0.6), np.float32)
    reach = u(0.3, 3.2) * (0.4 if low else 1)
    whole = mass + np.float32(reach) + np.float32(0.35 * reach) * k.bumps(1.8) + np.float32(0.15 * reach) * k.bumps(0.7)
    white = brain.ribbon - np.float32(u(0.05, 0.3))
    whole = smooth_min(smooth_min(whole, white, 0.3), smooth_min(same, -brain.ventricles - 0.05, 0.2), 0.5)
    whole = np.maximum(whole, mass)
    inside = k.covered(brain.brain)
    soft = u(2.0, 5.0)
    k.fill(whole, tissue["oedema"] * (1 + 0.05 * k.bumps(1.5)), soft=soft, clip=inside)
    body = tissue["core"] if low else tissue["rim"]
    texture = 1 + 0.07 * k.bumps(0.6) + 0.05 * k.bumps(0.25)
    if sequence == "t1ce":
        body = 0.5 * (tissue["oedema"] + tissue["core"]) * 0.8
    here = k.fill(mass, body * texture, soft=u(1.5, 3.5), clip=inside)
    lit = np.zeros_like(here)
    if not low:
        rim = np.float32(u(0.18, 0.5)) * (1 + 0.5 * k.bumps(0.9))
        shell = np.minimum(mass, rim - mass) + np.float32(0.03) * k.bumps(0.3)
        if u() < 0.25:
            shell = np.minimum(mass, np.asarray(0.25 * k.bumps(0.8) + 0.15, np.float32))
        core = mass - rim
        dead = tissue["fluid"] * 0.7 + tissue["core"] * 0.3 if u() < 0.6 else tissue["core"]
        if sequence == "t1ce":
            dead = tissue["fluid"] * 0.6 + tissue["white"] * 0.3
        k.fill(core, dead * (1 + 0.08 * k.bumps(0.5)), soft=2.5, clip=inside)
        if sequence == "t1ce":
            lit = k.fill(shell, tissue["vessel"] * u(0.85, 1.1) * (1 + 0.1 * k.bumps(0.35)), soft=1.6, clip=inside)
        if u() < 0.15:
            clot = np.clip(k.bumps(0.7) - 1.2, 0, 1) * k.covered(core)
            k.paint(clot, tissue["fat"] if sequence.startswith("t1") else tissue["vessel"] * 0.6)
    core_mask = here > 0.5
    seen = core_mask | (k.covered(whole) * inside > 0.5) if sequence in ("t2", "flair") else core_mask
    k.masks["brain tumour"] = seen
    if sequence in ("t2", "flair") and not low:
        k.masks["tumour core"] = core_mask
    if (lit > 0.5).any():
        k.masks["enhancing tumour"] = (lit > 0.5) & seen
    if "ventricles" in k.masks:
        k.masks["ventricles"] &= ~seen
