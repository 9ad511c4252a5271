"""Draw cell nuclei under a fluorescence microscope, one close up to a dense field, or a cell in phase contrast."""

from dataclasses import dataclass

import numpy as np

from ibisagent.tools.imaging.grids import Mask
from ibisagent.training.phantoms.canvas import Field, PhantomCanvas, blur, coverage
from ibisagent.training.phantoms.noise import gaussian_noise
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.scatter import Disc, pixel_grid, stamp_ellipses, stamp_strokes, weight_channels
from ibisagent.training.phantoms.visible_targets import MIN_AREA_SHARE, name_by_quadrant

__all__ = ["generate"]

GREY = (1.0, 1.0, 1.0)
DYES = (GREY, GREY, GREY, GREY, (0.3, 0.45, 1.25), (0.18, 0.25, 1.15), (0.2, 1.15, 0.3), (1.1, 0.25, 0.25))
OTHERS = ((0.1, 1, 0.15), (1, 0.15, 0.1), (0.9, 0.6, 0.1), (1, 0.1, 1))


@dataclass(frozen=True, slots=True, eq=False)
class _Nucleus:
    """``disc`` holds it; ``area`` is its outline's, in an arbitrary unit, hidden parts included."""

    mask: Mask
    disc: Disc
    area: float
    dividing: bool


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw one "nucleus", a few "nuclei" (also named by place), a field whose largest is sought, or one "cell"."""
    k = PhantomCanvas(rng, size, warp=0, turn=0, shift=0, scale=0)
    scene = rng.random()
    if scene < 0.14:
        return _draw_phase_contrast(k, difficulty)
    if scene < 0.36:
        count, r = 1, rng.uniform(0.16, 0.62)
    elif scene < 0.76:
        count = int(rng.integers(2, 8))
        r = rng.uniform(0.13, 0.55 / np.sqrt(count))
    else:
        count = int(rng.integers(15, 41))
        r = rng.uniform(0.28, 0.45) / np.sqrt(count)
    nuclei = _nuclei(k, count, r, difficulty)
    peak = rng.uniform(120, 240) * (1 - 0.3 * difficulty)
    haze = 0.05 + rng.random() ** 2 * (0.1 + difficulty) * (0.5 + 0.3 * k.fractal_field(3, 3, 0.45)).clip(0, 2)
    light = blur(k.image, rng.uniform(0.5, 1.2 + 1.6 * difficulty) * k.px) + haze
    if rng.random() < 0.6:
        light += rng.uniform(0.1, 0.35) * blur(k.image, rng.uniform(4, 14) * k.px)
    light += _specks(k, difficulty) + 2.4 * rng.random() ** 2 * difficulty * _cytoplasm(k, r)
    gain = rng.uniform(0.0006, 0.004) * (0.4 + 3 * difficulty)
    dye, ground = DYES[int(rng.integers(len(DYES)))], rng.uniform(0, 12)
    other = _cytoplasm(k, r) if dye != GREY and rng.random() < 0.5 else None
    light = light * (1 + 0.12 * k.smooth_field(2))
    shot = np.sqrt(np.clip(light, 0.01, None) * gain + (0.01 + 0.03 * difficulty) ** 2)
    light = light + shot * gaussian_noise(rng, size, 170, 170)
    image = ground + peak * (weight_channels(light, dye) if dye != GREY else light)
    if other is not None:
        image = image + rng.uniform(30, 130) * weight_channels(other, OTHERS[int(rng.integers(len(OTHERS)))])
    masks = {name: mask for name, mask in _name_targets(nuclei).items() if mask.mean() >= MIN_AREA_SHARE}
    return GeneratedImage(image, masks, tuple(name for name in ("mitotic cell",) if name not in masks))


def _nuclei(k: PhantomCanvas, count: int, r: float, difficulty: float) -> list[_Nucleus]:
    """Add up to ``count`` nuclei of about the radius ``r``, the closer together the harder."""
    rng, nuclei, hidden = k.rng, list[_Nucleus](), np.zeros((k.size, k.size), np.bool_)
    dividing = int(rng.integers(count)) if rng.random() < 0.3 and count > 1 else -1
    giant, spread = count > 7 and rng.random() < 0.6, rng.uniform(0.03, 0.27)
    wobble, ratio, crowd = rng.uniform(0.01, 0.05), rng.uniform(0.55, 0.95), rng.uniform(0.8, 1.15 - 0.3 * difficulty)
    texture = _chromatin(k, r, difficulty)
    for index in range(count):
        big = r * (rng.uniform(1.5, 2.1) if giant and index == 0 else float(np.exp(rng.normal(0, spread))))
        reach = max(0.96 - big, 0) if count < 8 or not index else 1.02
        disc = _find_free_disc(rng, [one.disc for one in nuclei], big, crowd, reach)
        if disc is None:
            continue
        angle, bright = rng.uniform(0, np.pi), float(np.exp(rng.normal(0, 0.12 + 0.25 * difficulty)))
        slim = ratio * rng.uniform(0.85, 1.1)
        if index == dividing:
            level, bright, slim = _plate(k, *disc, angle), bright * 1.9 + 0.2, 0.3
        else:
            level = k.blob(*disc, big * slim, angle, wobble)
        covered = coverage(level, max((1 + 8 * difficulty * rng.random()) * max(1.0, 6 * big) * k.px, 0.5))
        body = np.clip(0.7 + 0.3 * level / (big * k.size / 2), 0.6, 1)
        k.image = np.maximum(k.image, covered * bright * body * (texture if index != dividing else 1 + 0.1 * texture))
        mask = (covered > 0.5) & ~hidden
        hidden |= mask
        nuclei.append(_Nucleus(mask, disc, big * big * slim, index == dividing))
    return nuclei


def _find_free_disc(rng: np.random.Generator, discs: list[Disc], r: float, crowd: float, reach: float) -> Disc | None:
    """Find a disc of radius ``r`` away from the others by ``crowd`` of both radii; None after many tries."""
    for _ in range(60):
        x, y = (float(at) for at in rng.uniform(-reach, reach, 2))
        if all(np.hypot(x - other[0], y - other[1]) > (r + other[2]) * crowd for other in discs):
            return x, y, r
    return None


def _plate(k: PhantomCanvas, cx: float, cy: float, r: float, angle: float) -> Field:
    """Return the level of condensed chromosomes: a plate, or a rosette seen along the spindle."""
    rng = k.rng
    if rng.random() < 0.75:
        return k.blob(cx, cy, r * 0.85, r * rng.uniform(0.25, 0.4), angle, 0.07)
    return k.blob(cx, cy, r * 0.6, r * rng.uniform(0.45, 0.6), angle, 0.1, waves=13)


def _chromatin(k: PhantomCanvas, r: float, difficulty: float) -> Field:
    """Return the texture inside nuclei: clumps, dark nucleoli, bright spots; about 1."""
    rng = k.rng
    cells = int(np.clip(rng.uniform(1.5, 4) / r, 4, 48))
    texture = 1 + rng.uniform(0.03, 0.1 + 0.5 * difficulty) * k.smooth_field(cells)
    texture += rng.uniform(0.02, 0.06 + 0.35 * difficulty) * k.smooth_field(min(2 * cells, 64))
    texture -= rng.uniform(0, 0.6) * coverage(k.smooth_field(cells) - 1.2, 0.3)
    texture += rng.uniform(0, 0.7) * coverage(k.smooth_field(min(2 * cells, 64)) - 2.0, 0.3)
    return np.asarray(texture.clip(0.35, 2), np.float32)


def _name_targets(nuclei: list[_Nucleus]) -> dict[str, Mask]:
    """Name what can be asked for: all where they are few, by place, the clearly largest, the dividing one."""
    if len(nuclei) == 1:
        return {"nucleus": nuclei[0].mask}
    masks: dict[str, Mask] = {}
    if len(nuclei) < 8:
        masks["nuclei"] = np.logical_or.reduce([one.mask for one in nuclei])
        masks |= name_by_quadrant([one.mask for one in nuclei], [one.disc for one in nuclei], "nucleus")
    second, largest = sorted(nuclei, key=lambda one: one.area)[-2:]
    if (
        largest.area > (1.3 if len(nuclei) < 8 else 1.7) * second.area
        and max(map(abs, largest.disc[:2])) < 1 - largest.disc[2]
    ):
        masks["largest nucleus"] = largest.mask
    dividing = [one.mask for one in nuclei if one.dividing]
    return masks | ({"mitotic cell": dividing[0]} if dividing else {})


def _specks(k: PhantomCanvas, difficulty: float) -> Field:
    """Return debris and blurred light from other planes."""
    rng = k.rng
    count = int(rng.integers(0, 3 + round(25 * difficulty)))
    x, y = rng.uniform(-1, 1, (2, count))
    dust = stamp_ellipses(k.size, (x, y), rng.uniform(0.008, 0.03, count), strength=rng.uniform(0.2, 1, count))
    ghosts = stamp_ellipses(k.size, rng.uniform(-1, 1, (2, 3)), rng.uniform(0.1, 0.4, 3), softness=40)
    return np.asarray(dust + rng.uniform(0, 0.15 + 0.25 * difficulty) * ghosts, np.float32)


def _cytoplasm(k: PhantomCanvas, r: float) -> Field:
    """Return another dye: fibres of the cell body around the nuclei."""
    rng, near = k.rng, blur(k.image, min(r, 0.3) * k.size / 2).clip(0, 1)
    count = int(rng.integers(20, 70))
    t = np.linspace(-0.5, 0.5, 90)[None]
    angle = rng.uniform(0, np.pi) + rng.normal(0, 0.5, (count, 1))
    x, y = (rng.uniform(-1, 1, (count, 1)) for _ in range(2))
    bow = 0.3 * rng.normal(0, 1, (count, 1)) * t**2
    fibres = stamp_strokes(k.size, (x + t * np.cos(angle) + bow, y + t * np.sin(angle) - bow), 0.006, 1.5)
    return np.asarray(near * (0.5 + 0.2 * k.fractal_field(6, 3)).clip(0, 1) + 0.5 * fibres * near, np.float32)


def _draw_phase_contrast(k: PhantomCanvas, difficulty: float) -> GeneratedImage:
    """Draw one whole cell, bright in a dark halo or the other way round, on rippled grey."""
    rng, (x, y) = k.rng, pixel_grid(k.size)
    r = rng.uniform(0.14, 0.45)
    cx, cy = rng.uniform(-0.9 + r, 0.9 - r, 2)
    level = k.blob(cx, cy, r, r * rng.uniform(0.7, 1), rng.uniform(0, 3), rng.uniform(0.01, 0.06))
    covered = coverage(level, (1.2 + 10 * r * difficulty) * k.px)
    halo = blur(covered, rng.uniform(0.08, 0.25) * r * k.size) * (1 - covered)
    sign = rng.choice([-1, 1])
    body = 1 + 0.15 * k.fractal_field(int(4 / r), 3) + rng.uniform(-0.4, 0.4) * np.clip(level / (r * k.size / 2), 0, 1)
    body += rng.uniform(-0.5, 0.5) * coverage(k.blob(cx + 0.2 * r, cy, 0.45 * r, 0.4 * r), 3 * k.px)
    ripple = np.sin(rng.uniform(15, 40) * (x * np.cos(sign) + y) + 2 * k.smooth_field(3)) * rng.uniform(0, 0.05)
    light = ripple + rng.uniform(0.02, 0.07 + 0.13 * difficulty) * k.fractal_field(6, 4) + 0.1 * k.smooth_field(2)
    strength = rng.uniform(0.5, 1.0) * (1.1 - 0.65 * difficulty)
    light = light + sign * strength * (covered * body - rng.uniform(0.4, 2) * halo)
    count = int(rng.integers(0, 3 + round(10 * difficulty)))
    dust = stamp_ellipses(k.size, rng.uniform(-1, 1, (2, count)), rng.uniform(0.01, 0.05, count), softness=3)
    light = blur(light - 0.3 * sign * strength * dust, rng.uniform(0.4, 1.2) * k.px)
    image = rng.uniform(85, 165) + 75 * light
    image = image + gaussian_noise(rng, k.size, 160, 160) * np.float32(rng.uniform(1, 4 + 6 * difficulty))
    return GeneratedImage(image, {"cell": covered > 0.5})
