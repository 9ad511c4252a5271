"""Colour photographs of the eye's back: disc with cup, macula, vessels, haemorrhage, in left and right eyes."""

import numpy as np

from ibisagent.training.phantoms.canvas import FAR, Field, PhantomCanvas, blur, coverage
from ibisagent.training.phantoms.generators.fundus_vessels import grow_vessel_tree, vessel_coverage
from ibisagent.training.phantoms.noise import gaussian_noise
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.visible_targets import find_absent, keep_visible

__all__ = ["generate"]

TARGETS = ("optic disc", "optic cup", "macula", "haemorrhage")


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw one eye; ``difficulty`` fades disc, cup, macula and haemorrhage into the ground and adds look-alikes."""
    c = PhantomCanvas(rng, size, channels=3, warp=0.008, turn=0.06, shift=0.0, scale=0.0)
    scale = 2 / rng.uniform(30, 50)
    mirror = int(rng.choice([-1, 1]))
    disc, macula, turn = _choose_view(rng, scale, mirror)
    colour, fade = _ground(c, difficulty), 1.1 - 0.64 * difficulty * rng.uniform(0.8, 1.2)
    _paint_macula(c, macula, scale, colour, fade, difficulty)
    _paint_spots(c, macula, scale, int(rng.poisson(4 + 10 * difficulty)) if rng.random() < 0.5 else 0)
    cup = _paint_disc(c, disc, scale, mirror, colour, fade, difficulty)
    arteries, veins = vessel_coverage(grow_vessel_tree(rng, rng.uniform(32, 50)), size, disc, scale, turn, mirror)
    _paint_vessels(c, arteries, veins, cup, rng.uniform(0.3, 0.55) * (1 - 0.3 * difficulty))
    if rng.random() < 0.6:
        _paint_haemorrhage(c, disc, scale, fade, difficulty)
    view = _photograph(c, difficulty)
    absent = find_absent(TARGETS, c.masks, view > 0.5)
    return GeneratedImage(c.image, keep_visible(c.masks, view > 0.5), absent=absent, lesions=("haemorrhage",))


def _choose_view(
    rng: np.random.Generator, scale: float, mirror: int
) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Choose what the field is centred on; return disc and macula on the canvas and the turn between them."""
    turn = rng.normal(0.06, 0.06)
    apart = rng.uniform(14.0, 16.5) * scale
    along = rng.choice([0.0, 0.5, 1.0, 1.45], p=[0.27, 0.3, 0.33, 0.1]) + rng.normal(0, 0.08)
    dx, dy = mirror * apart * np.cos(turn), apart * np.sin(turn)
    x, y = -along * dx + rng.normal(0, 0.04), -along * dy + rng.normal(0, 0.07)
    return (x, y), (x + dx, y + dy), turn


def _ground(c: PhantomCanvas, difficulty: float) -> Field:
    """Paint the retina with the choroid shining through; return its mean colour."""
    rng = c.rng
    red = rng.uniform(130, 235)
    green = red * rng.uniform(0.3, 0.55)
    colour = np.array([red, green, green * rng.uniform(0.2, 0.8)], np.float32)
    light = 1 + 0.07 * c.smooth_field(3) + 0.025 * c.fractal_field(10, 4)
    choroid = np.exp(-((c.smooth_field(8) + 0.5 * c.smooth_field(14)) ** 2) / 0.12) * rng.uniform(
        0, 0.12 + 0.1 * difficulty
    )
    tint = 1 + choroid[..., None] * np.array([0.4, 1.2, 0.8], np.float32) * rng.choice([-1, 1])
    c.image = np.asarray(colour * light[..., None] * tint, np.float32)
    return colour


def _paint_macula(
    c: PhantomCanvas, place: tuple[float, float], scale: float, colour: Field, fade: float, difficulty: float
) -> None:
    """Darken the macula: a plateau with a wide soft border, darkest in the middle, with a reflex at times."""
    rng = c.rng
    radius = rng.uniform(2.3, 3.4) * scale
    level = c.blob(*place, radius, radius * rng.uniform(0.85, 1.05), 0.0, 0.03)
    pixels = np.float32(c.size / 2)
    dip = coverage(level, float(radius * pixels * (0.2 + 0.5 * difficulty)))
    centre = np.exp(-(((c.X - place[0]) ** 2 + (c.Y - place[1]) ** 2) / (0.45 * radius) ** 2))
    dark = np.array([0.25, 0.42, 0.45], np.float32) * (fade**1.3 * rng.uniform(0.8, 1.2))
    c.image *= 1 - dip[..., None] * dark * 0.75 - centre[..., None] * dark * 0.55
    if rng.random() < 0.3:
        c.paint_shape(c.blob(*place, 0.012, 0.012), colour * 1.25, 3)
    c.masks["macula"] = level > 0


def _paint_disc(
    c: PhantomCanvas,
    place: tuple[float, float],
    scale: float,
    mirror: int,
    colour: Field,
    fade: float,
    difficulty: float,
) -> Field:
    """Paint the disc, at times with a pale crescent or a pigmented rim, and the cup; return the cup's coverage."""
    rng = c.rng
    x, y = place
    ry = rng.uniform(2.6, 3.4) * scale
    rx = ry * rng.uniform(0.82, 0.98)
    level = c.blob(x, y, rx, ry, rng.normal(0, 0.15), 0.02)
    pixels = c.size / 2
    halo = np.exp(-((np.clip(-level / pixels, 0, None) / (1.6 * scale)) ** 2)) * rng.uniform(0, 0.12)
    c.image *= 1 + halo[..., None] * np.array([0.5, 1, 1], np.float32)
    if rng.random() < 0.45:
        crescent = c.blob(x + mirror * rng.uniform(0.08, 0.2) * rx, y, rx * 1.06, ry * 1.04, 0.0, 0.03)
        tone = colour * (np.array([1.1, 1.45, 1.4]) if rng.random() < 0.6 else np.array([0.55, 0.5, 0.5]))
        c.paint(coverage(crescent, 3 * c.px) * rng.uniform(0.3, 0.8), tone)
    pale = np.array([rng.uniform(225, 255), rng.uniform(165, 205), rng.uniform(95, 150)]) * (
        0.4 + 0.6 * colour[0] / 200
    )
    pink = colour * 0.5 + pale * 0.5
    tone = colour + (pink - colour) * min(1.15 * fade + 0.15, 1)
    rim = c.paint_shape(
        level, tone * (1 + 0.04 * c.smooth_field(9)[..., None]), 1.5 + 4 * difficulty, name="optic disc"
    )
    ratio = float(rng.choice([rng.uniform(0.3, 0.5), rng.uniform(0.5, 0.75)]))
    bowl = c.blob(
        x + mirror * rng.uniform(-0.02, 0.12) * rx, y + rng.normal(0, 0.04) * ry, rx * ratio, ry * ratio, 0.0, 0.04
    )
    return c.paint_shape(
        bowl, tone + (pale * 1.03 - tone) * min(fade**1.3, 1), 2 + 4 * difficulty, name="optic cup", clip=rim
    )


def _paint_vessels(c: PhantomCanvas, arteries: Field, veins: Field, cup: Field, strength: float) -> None:
    """Darken by vessels: veins more, with a light streak along arteries; they dive where they enter the cup."""
    sigma = 0.5 * c.px
    for tree_covered, red, rest in ((veins, 0.3, 0.95), (arteries, 0.1, 0.8)):
        shade = blur(tree_covered, sigma) * (1 - 0.45 * cup) * np.float32(strength)
        c.image *= 1 - shade[..., None] * np.array([red, rest, rest * 0.9], np.float32)
    streak = np.clip(blur(arteries, 1.5 * c.px) - 0.6, 0, 1)
    c.image *= 1 + 0.3 * streak[..., None]


def _paint_spots(c: PhantomCanvas, macula: tuple[float, float], scale: float, count: int) -> None:
    """Scatter small exudates and microaneurysms around the macula: nobody's target, alike to some."""
    rng = c.rng
    spots = [np.full((c.size, c.size), FAR, np.float32) for _ in range(2)]
    for _ in range(count):
        x, y = np.asarray(macula) + rng.normal(0, 7 * scale, 2)
        radius = rng.uniform(0.15, 0.7) * scale
        kind = int(rng.random() < 0.55)
        level = c.blob(x, y, radius, radius * rng.uniform(0.6, 1), rng.uniform(0, 3), 0.12)
        spots[kind] = np.maximum(spots[kind], level)
    for level, tint in zip(spots, ((0.72, 0.5, 0.5), (1.15, 1.6, 1.3)), strict=True):
        change = (np.asarray(tint, np.float32) - 1) * np.float32(rng.uniform(0.5, 0.95))
        c.image *= 1 + coverage(level, c.px * 1.5)[..., None] * change


def _paint_haemorrhage(
    c: PhantomCanvas, disc: tuple[float, float], scale: float, fade: float, difficulty: float
) -> None:
    """Paint one dark red blot or flame off the disc."""
    rng = c.rng
    angle, out = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.75)
    x, y = out * np.cos(angle), out * np.sin(angle)
    gap = float(np.hypot(x - disc[0], y - disc[1])) + 1e-6
    clear = rng.uniform(7, 9) * scale
    if gap < clear:
        x, y = disc[0] + (x - disc[0]) * clear / gap, disc[1] + (y - disc[1]) * clear / gap
    radius = float(np.exp(rng.uniform(np.log(0.05), np.log(0.17))))
    flame = rng.random() < 0.35
    turn = np.arctan2(y - disc[1], x - disc[0]) if flame else rng.uniform(0, 3)
    level = c.blob(x, y, radius * (1.2 if flame else 1), radius * rng.uniform(*((0.35, 0.6) if flame else (0.6, 1.0))),
                   turn, rng.uniform(0.05, 0.11), waves=9)  # fmt: skip
    level = level + np.float32(c.size * 0.006) * c.smooth_field(22)
    depth = np.array([0.42, 0.68, 0.65], np.float32) * min(fade * rng.uniform(0.85, 1.1), 1)
    mottled = 1 + 0.12 * c.fractal_field(14, 3)
    shade = coverage(level, (1.5 + 5 * difficulty) * c.px) * mottled
    c.image *= 1 - np.clip(shade[..., None] * depth, 0, 0.95)
    c.masks["haemorrhage"] = level > 0
    c.masks["macula"] &= ~c.masks["haemorrhage"]


def _photograph(c: PhantomCanvas, difficulty: float) -> Field:
    """Add uneven light, sensor noise and the round aperture, whole, cut above and below or filling the picture."""
    rng, size = c.rng, c.size
    axis = (np.arange(size, dtype=np.float32) + 0.5) / np.float32(size / 2) - 1
    radius = np.hypot(axis[None], axis[:, None])
    fall = rng.uniform(0, 0.35) * (radius / 1.1) ** 2 + rng.uniform(0, 0.12) * axis[None] * rng.choice([-1, 1])
    c.image *= (1 - fall)[..., None]
    amount = 1.0 + 4.5 * difficulty * rng.uniform(0.5, 1.2)
    light, tint = gaussian_noise(rng, size, 240, 240), gaussian_noise(rng, size, 170, 170)
    c.image += np.float32(amount) * np.stack([light + tint * 0.6, light - tint * 0.3, light + tint], axis=-1)
    form = rng.random()
    if form < 0.18:
        return np.ones_like(radius)
    view = coverage((rng.uniform(0.93, 1.0) - radius) * np.float32(size / 2), max(1.5 * c.px, 0.5))
    if form < 0.45:
        view = view * coverage((rng.uniform(0.75, 0.9) - np.abs(axis[:, None])) * np.float32(size / 2))
    c.image = c.image * view[..., None] + rng.uniform(0, 6)
    return view
