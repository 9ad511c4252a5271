"""Colonoscopy: wet mucosa lit by the scope, half-moon folds, lumen, vessels, shaded polyps, tools, black corners."""

import numpy as np
from PIL import Image, ImageDraw

from ibisagent.training.phantoms.canvas import Field, blur
from ibisagent.training.phantoms.generators.endoscopy_tools import field_of_view, paint_instrument, paint_residue
from ibisagent.training.phantoms.noise import gaussian_noise
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.scatter import pixel_grid, weight_channels
from ibisagent.training.phantoms.scene import Scene
from ibisagent.training.phantoms.visible_targets import find_absent, keep_visible, tell_lesions

__all__ = ["generate"]


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw a wall with up to three polyps under the name "polyp", in two pictures of three, and now and then a tool."""
    u = rng.uniform
    k = Scene(rng, size, 2.0, channels=3, warp=u(0.02, 0.08), turn=0)
    light, far = _light_wall(k)
    red = 0.1 * k.bumps(0.7) + 0.045 * k.bumps(0.25) + 0.025 * k.bumps(0.08)
    red = red + _vessels(k) * u(0.15, 0.7) * (1 - 0.4 * difficulty)
    relief = u(0.002, 0.01) * k.bumps(0.25) + u(0.0005, 0.003) * k.bumps(0.08)
    if u() < 0.74:
        for _ in range(int(rng.choice([1, 1, 1, 1, 2, 3]))):
            light, red, relief = _draw_polyp(k, far, light, red, relief, difficulty)
    slope_y, slope_x = np.gradient(relief, 2 / size)
    turn = u(0, 2 * np.pi)
    tilt = 1 - u(0.4, 1.1) * (slope_x * np.cos(turn) + slope_y * np.sin(turn))
    light = np.asarray(light * np.clip(tilt, 0.3, 1.7), np.float32)
    k.image = _colour(rng, light, red)
    paint_residue(k, 0.5 * difficulty)
    _paint_glints(k, light, relief)
    if u() < 0.16:
        k.occlude(paint_instrument(k, light), keep=("instrument",))
    image = _film(k, difficulty)
    frame = field_of_view(k)
    image = image * frame[..., None]
    k.occlude(1 - frame)
    if u() < 0.18:
        image = _paint_inset(k, image)
    masks, absent = keep_visible(k.masks), find_absent(("polyp", "instrument"), k.masks)
    return GeneratedImage(image, masks, absent, tell_lesions(("polyp",), masks, absent))


def _light_wall(k: Scene) -> tuple[Field, Field]:
    """Return the light on a tube's wall with its folds, and how far each place is from the lumen, 9 without one."""
    u, rng = k.rng.uniform, k.rng
    if u() < 0.3:
        slope = rng.normal(0, 0.25, 2)
        light = 0.72 + slope[0] * k.X + slope[1] * k.Y - 0.18 * (k.X**2 + k.Y**2) + 0.1 * k.bumps(1.0)
        return _folds(
            k, np.asarray(light, np.float32), 0.8 * k.bumps(1.2) + k.X * u(-2, 2) + k.Y * u(-2, 2), 2
        ), np.full_like(k.X, 9)
    cx, cy = rng.uniform(-0.65, 0.65, 2)
    angle = np.arctan2(k.Y - np.float32(cy), k.X - np.float32(cx))
    three = (
        1 + u(0, 0.16) * np.cos(3 * angle + u(0, 6)) + u(0, 0.15) * np.cos(2 * angle + u(0, 6)) + 0.08 * k.bumps(0.8)
    )
    far = np.asarray(np.hypot(k.X - np.float32(cx), k.Y - np.float32(cy)) / three, np.float32)
    near = far / (far + np.float32(u(0.25, 0.6)))
    light = np.clip(u(1.15, 1.5) * near ** u(1.0, 1.7) - 0.05, 0.015, 1.2)
    light = light * np.clip(1.1 - 0.25 * np.clip(far - 1.0, 0, 1), 0.5, 1.2)
    level = np.log(far + 0.03)
    for _ in range(int(rng.integers(2, 7))):
        at, where, wide = np.log(u(0.1, 1.2)), u(-np.pi, np.pi), u(0.5, 1.6)
        around = np.abs((angle - where + np.pi) % (2 * np.pi) - np.pi)
        part = np.clip(1.3 - around / wide, 0, 1)
        edge = level - np.float32(at) + 0.35 * (1 - part) + 0.05 * k.bumps(0.5)
        light = _shade_fold(
            k, np.asarray(light, np.float32), np.asarray(edge, np.float32), np.asarray(part, np.float32)
        )
    return blur(light, 0.8 * k.px), far


def _folds(k: Scene, light: Field, across: Field, count: int) -> Field:
    """Lay ``count`` folds at most across a wall without a lumen."""
    for _ in range(int(k.rng.integers(0, count + 1))):
        part = np.clip(0.7 + 0.8 * k.bumps(1.3), 0, 1)
        light = _shade_fold(k, light, np.asarray(across - np.float32(k.rng.uniform(-1.5, 1.5)), np.float32), part)
    return light


def _shade_fold(k: Scene, light: Field, edge: Field, part: Field) -> Field:
    """Shade a fold whose crest is at 0 of ``edge``: light before it (> 0), dark behind, where it hides the wall."""
    u = k.rng.uniform
    behind = np.exp(np.clip(edge, -9, 0) / np.float32(u(0.08, 0.3))) * (edge < 0)
    before = np.exp(-np.clip(edge, 0, 9) / np.float32(u(0.05, 0.16))) * (edge >= 0)
    return np.asarray(light * (1 - part * (u(0.35, 0.75) * behind - u(0.12, 0.35) * before)), np.float32)


def _vessels(k: Scene) -> Field:
    """Return the coverage of vessels that branch under the mucosa, seen here and there."""
    rng, trees = k.rng, []
    for _ in range(int(rng.integers(1, 6))):
        start = (float(rng.uniform(-1, 1)), float(rng.uniform(-1, 1)))
        trees.append(
            k.grow_tree(start, rng.uniform(0, 6.3), rng.uniform(0.008, 0.017), rng.uniform(0.25, 0.5), 5, 0.75)
        )
    x, y, r = np.concatenate(trees, axis=1)
    return np.asarray(k.stamp(x, y, r, 1.6) * np.clip(0.5 + 0.5 * k.bumps(0.7), 0, 1), np.float32)


def _draw_polyp(
    k: Scene, far: Field, light: Field, red: Field, relief: Field, difficulty: float
) -> tuple[Field, Field, Field]:
    """Draw a polyp, flat, domed or on a stalk; return light, redness and relief of the wall with it."""
    u, rng = k.rng.uniform, k.rng
    r = float(np.exp(u(np.log(0.12), np.log(0.55))))
    places = [k.pick_inside(far, 0.35, 12) or (0.0, 0.0) for _ in range(3)]
    x, y = min(places, key=lambda place: np.hypot(*place))
    turn = u(0, np.pi)
    level = k.ellipse(x, y, r, r * u(0.6, 1.0), turn, u(0.03, 0.12), u(1.9, 2.4))
    for _ in range(int(rng.choice([0, 0, 1, 2, 4]))):
        way, part = u(0, 6.3), u(0.35, 0.6) * r
        lobe = k.ellipse(x + 0.6 * r * np.cos(way), y + 0.6 * r * np.sin(way), part, part * u(0.8, 1), 0, 0.06)
        level = np.maximum(level, lobe)
    flat = u() < 0.3
    soft = 1.2 + 128 * r * (0.02 + 0.1 * difficulty * u()) * (2 if flat else 1)
    here = k.covered(level, soft)
    head = here > 0.5
    if not flat and r < 0.35 and u() < 0.25:
        way, long = u(0, 6.3), r * u(1.3, 2.2)
        stalk = k.path(
            [(x, y), (x + long * np.cos(way), y + long * np.sin(way))], [r * u(0.25, 0.4), r * u(0.3, 0.6)], 0.1
        )
        stem = k.covered(stalk, soft)
        light = np.asarray(light * (1 - 0.3 * stem * (1 - np.clip(stalk / (0.3 * r), 0, 1))), np.float32)
    k.masks["polyp"] = head | k.masks.get("polyp", np.zeros_like(head))
    depth = np.clip(level / np.float32(r * u(0.45, 0.9)), 0, 1)
    round_ = np.sqrt(1 - (1 - depth) ** 2)
    strength = (0.35 if flat else u(0.65, 1.0)) * (1 - 0.45 * difficulty)
    way = u(0, 6.3)
    side = ((k.X - x) * np.float32(np.cos(way)) + (k.Y - y) * np.float32(np.sin(way))) / np.float32(r)
    body = 1 + strength * (u(0.2, 0.5) * round_ - u(0.35, 0.6) * (1 - round_) + u(0.1, 0.35) * np.clip(side, -1, 1))
    shadow = np.exp(np.clip(level, -9, 0) / np.float32(0.16 * r)) * np.clip(0.55 - 0.6 * side, 0, 1) * (1 - here)
    base = light * (1 - here) + np.maximum(blur(light, 0.12 * r * k.size), blur(light, 0.3 * r * k.size)) * here
    lit = base * (1 - here) * (1 - u(0.3, 0.7) * strength * shadow) + base * here * body
    tone = rng.choice([-0.25, 0.25, 0.45]) * u(0.4, 1.2) * (1 - 0.7 * difficulty)
    pits = 0.06 * np.abs(k.bumps(0.06)) + 0.05 * k.bumps(0.15)
    redder = red * (1 - 0.7 * here) + here * (tone + pits)
    bumpy = relief + here * u(0.002, 0.012) * k.bumps(0.12)
    return np.asarray(lit, np.float32), np.asarray(redder, np.float32), np.asarray(bumpy, np.float32)


def _colour(rng: np.random.Generator, light: Field, red: Field) -> Field:
    """Return the wall's colour by light and redness, 0..255, in white or, rarely, narrow-band light."""
    u = rng.uniform
    base, taken, fall = np.array([u(0.8, 0.98), u(0.42, 0.68), u(0.28, 0.56)]), (0.12, 1.0, 0.9), (0.85, 1.15, 1.25)
    if rng.random() < 0.07:
        base, taken, fall = np.array([u(0.45, 0.6), u(0.5, 0.62), u(0.42, 0.6)]), (0.5, 1.0, 0.8), (1.1, 1.0, 1.05)
    lit = np.clip(light, 0.004, 1.35)
    channels = [255 * base[i] * lit ** fall[i] * np.exp(-taken[i] * red) for i in range(3)]
    return np.asarray(np.stack(channels, axis=-1), np.float32)


def _paint_glints(k: Scene, light: Field, relief: Field) -> None:
    """Paint the scope's reflections on wet bumps that face it: small white shapes in groups, each with a bloom."""
    u = k.rng.uniform
    field = k.bumps(u(0.035, 0.08)) + 0.6 * k.bumps(0.028) + 1.0 * k.bumps(0.5) + 25 * (relief - blur(relief, 6 * k.px))
    field = field + 1.6 * (np.clip(light, 0, 1.2) - 0.8)
    wet = np.clip((field - np.float32(u(2.8, 4.4))) / 0.35, 0, 1) * (light > 0.3)
    k.paint(np.clip(0.5 * blur(np.asarray(wet, np.float32), 2.2 * k.px), 0, 1), (255, 238, 225))
    k.paint(np.asarray(wet, np.float32), (255, 253, 250))


def _film(k: Scene, difficulty: float) -> Field:
    """Blur by focus, and sometimes by movement or weaving fields; add noise, more in one colour than in the others."""
    u, rng = k.rng.uniform, k.rng
    image = blur(k.image, (u(0.3, 0.9) + 0.7 * difficulty * u()) * k.px)
    if u() < 0.2:
        way, reach = u(0, np.pi), u(1, 4) * k.px
        shifts = [(round(t * reach * np.sin(way)), round(t * reach * np.cos(way))) for t in (-1, 0, 1)]
        image = np.mean([np.roll(image, shift, axis=(0, 1)) for shift in shifts], axis=0).astype(np.float32)
    noise = weight_channels(gaussian_noise(rng, k.size, 190, 190), rng.uniform(0.5, 1.2, 3))
    return np.asarray(image + noise * u(0.8, 2 + 3 * difficulty), np.float32)


def _paint_inset(k: Scene, image: Field) -> Field:
    """Paint what a console lays over the picture: a dark box with the scope's shape, or lines of text."""
    rng, size = k.rng, k.size
    page = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    pen, covered = ImageDraw.Draw(page), np.zeros((size, size), np.bool_)
    x, y = pixel_grid(size)
    wide, tall = rng.uniform(0.45, 0.75), rng.uniform(0.5, 0.75)
    if rng.random() < 0.6:
        covered = (x < -1 + wide) & (y > 1 - tall)
        box = (0, round(size * (1 - tall / 2)), round(size * wide / 2), size)
        pen.rectangle(box, fill=tuple(int(each) for each in rng.choice([[10, 70, 60], [0, 0, 0], [20, 90, 40]])))
        pen.arc(
            (box[0] + 3, box[1] + 3, box[2] - 4, size - 4), 30, 300, fill=(150, 220, 200), width=max(1, round(2 * k.px))
        )
    for line in range(int(rng.integers(1, 4))):
        pen.text((0.02 * size, (0.03 + 0.05 * line) * size), f"{rng.integers(10**5)}", fill=(235, 235, 235),
                 font_size=max(7, size * 0.035))  # fmt: skip
    k.occlude(covered.astype(np.float32))
    return np.asarray(page, np.float32)
