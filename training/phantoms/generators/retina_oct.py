"""Optical coherence tomography of the macula: layers around a pit, speckle, shadows, and fluid in, under and below."""

import numpy as np
from scipy import ndimage

from ibisagent.training.phantoms.canvas import Field, blur
from ibisagent.training.phantoms.noise import gaussian_noise
from ibisagent.training.phantoms.phantom import GeneratedImage
from ibisagent.training.phantoms.scene import Scene
from ibisagent.training.phantoms.visible_targets import find_absent, keep_visible, tell_lesions

__all__ = ["generate"]

_FLUIDS = ("intraretinal fluid", "subretinal fluid", "pigment epithelial detachment")
_INNER = ((0.16, 0.74), (0.3, 0.5), (0.13, 0.33), (0.08, 0.52))
_OUTER = ((0.22, 0.25), (0.02, 0.42), (0.06, 0.3), (0.05, 0.78), (0.05, 0.5))
"""Thickness, in shares of the retina, and brightness of the layers, those that the pit lacks first."""


def generate(rng: np.random.Generator, size: int, difficulty: float) -> GeneratedImage:
    """Draw a section, flat or bent, of a healthy macula or one with up to three kinds of fluid."""
    u = rng.uniform
    k = Scene(rng, size, 2.0, turn=0.0)
    x = k.X[:1]
    sick = u() < 0.72
    inner, under, below = sick and u() < 0.6, sick and u() < 0.42, sick and u() < 0.4
    pit, wide = u(-0.35, 0.35), u(0.2, 0.42) * (1.6 if u() < 0.2 else 1.0)
    if u() < 0.15:
        pit = float(rng.choice([-1, 1])) * u(1.0, 2.0)
    thick = u(0.26, 0.52)
    floor = u(-0.05, 0.45) + u(-0.25, 0.25) * x + u(-0.28, 0.1) * x**2 + _wave(k, 0.7) * u(0, 0.02)
    lumps = sick and u() < 0.5
    floor = np.asarray(floor + _drusen(k, x) * lumps, np.float32)
    detached = _dome(k, x, pit, u(0.05, 0.22), u(0.15, 0.55)) if below else np.zeros_like(x)
    lifted = _dome(k, x, pit, u(0.04, 0.2), u(0.2, 0.75)) if under else np.zeros_like(x)
    pigment = floor - detached
    bottom = pigment - lifted
    swelling = 1 + (u(0.1, 0.7) * np.exp(-(((x - pit) / u(0.3, 0.7)) ** 2)) if inner else 0)
    edges = _layers(
        k, x, pit, wide, np.asarray(thick * swelling + 0 * x, np.float32), bottom, 0.35 if inner and u() < 0.6 else 1.0
    )
    apart = 1 - 0.35 * difficulty * u()
    _paint_layers(k, edges, apart)
    _paint_choroid(k, floor, thick)
    clear = u(0.04, 0.12)
    if below:
        content = clear + u(0, 0.35) + 0.04 * k.bumps(0.08)
        k.masks[_FLUIDS[2]] = _band(k, pigment + 0.04, floor, content) > 0.5
    if under:
        k.masks[_FLUIDS[1]] = _band(k, bottom, pigment, clear + u(0, 0.06)) > 0.5
    _band(k, pigment - np.float32(0.012), pigment + np.float32(u(0.03, 0.04)), u(0.85, 1.0))
    whole = k.covered(np.minimum(k.Y - edges[0], pigment + 0.035 - k.Y)) > 0.5
    k.masks["retina"] = whole & ~k.masks.get(_FLUIDS[1], np.zeros_like(whole))
    if inner:
        _draw_cysts(k, edges, pit, thick, clear)
    _draw_shadows(k, edges[0])
    image = _speckle(k, difficulty)
    masks, absent = keep_visible(k.masks, crumb=1), find_absent(("retina", *_FLUIDS), k.masks)
    return GeneratedImage(image, masks, absent, tell_lesions(_FLUIDS, masks, absent, other=lumps))


def _wave(k: Scene, length: float) -> Field:
    """Draw a smooth random curve over x, (1, W)."""
    return k.bumps(length)[:1]


def _dome(k: Scene, x: Field, pit: float, high: float, wide: float) -> Field:
    """Return the height of a lens of fluid near the pit, with an uneven roof, 0 beside it."""
    at = pit * 0.5 + k.rng.normal(0, 0.25)
    arch = np.clip(1 - np.abs((x - np.float32(at)) / np.float32(wide)) ** k.rng.uniform(1.6, 3.0), 0, 1)
    return np.asarray(high * arch * np.clip(1 + 0.3 * _wave(k, 0.3), 0.3, 2), np.float32)


def _drusen(k: Scene, x: Field) -> Field:
    """Return how far lumps under the pigment layer lift it, negative upwards."""
    out = np.zeros_like(x)
    for _ in range(int(k.rng.integers(2, 9))):
        at, wide = k.rng.uniform(-0.9, 0.9), k.rng.uniform(0.03, 0.1)
        out -= np.float32(k.rng.uniform(0.01, 0.05)) * np.exp(-(((x - np.float32(at)) / np.float32(wide)) ** 2))
    return out


def _layers(k: Scene, x: Field, pit: float, wide: float, thick: Field, bottom: Field, depth: float) -> list[Field]:
    """Return the upper edges of the layers, (1, W) each, and the last one's lower edge; ``depth`` of the pit, to 1."""
    u = k.rng.uniform
    hollow = depth * np.exp(-(((x - np.float32(pit)) / np.float32(wide)) ** 2))
    rim = 0.12 * np.exp(-(((np.abs(x - np.float32(pit)) - 1.7 * wide) / np.float32(wide)) ** 2))
    nerve = np.clip(1 + u(-0.9, 0.9) * x, 0.3, 2.2)
    shares = [share * u(0.8, 1.2) * np.clip(1 + rim - 0.97 * hollow, 0.02, 2) * (nerve if not index else 1)
              for index, (share, _) in enumerate(_INNER)]  # fmt: skip
    shares += [
        share * u(0.85, 1.15) * (1 + (0.25 * hollow if not index else 0)) for index, (share, _) in enumerate(_OUTER)
    ]
    calm = ndimage.gaussian_filter1d(bottom, 0.035 * k.size, axis=1, mode="nearest")
    edges, above = [bottom], np.zeros_like(bottom)
    for share in reversed(shares):
        above = above + thick * share * (1 + 0.04 * _wave(k, 0.25))
        far = np.clip(above / (0.6 * thick), 0, 1)
        edges.append(np.asarray(bottom + (calm - bottom) * far - above, np.float32))
    return edges[::-1]


def _band(k: Scene, top: Field, base: Field, value: object) -> Field:
    """Paint what lies between two curves; return its coverage."""
    return k.fill(np.asarray(np.minimum(k.Y - top, base - k.Y), np.float32), value, soft=1.0)


def _paint_layers(k: Scene, edges: list[Field], apart: float) -> None:
    """Paint the vitreous, sometimes with its skin, and the layers of the retina."""
    u = k.rng.uniform
    k.image[:] = u(0.04, 0.12)
    if u() < 0.3:
        skin = edges[0] - np.float32(u(0.02, 0.15)) * (1 + 0.5 * _wave(k, 1.2)) - 0.01
        _band(k, np.asarray(skin - 0.008, np.float32), np.asarray(skin, np.float32), u(0.2, 0.4))
    for (_, value), top, base in zip((*_INNER, *_OUTER), edges[:-1], edges[1:], strict=True):
        tone = 0.45 + (value * u(0.88, 1.12) - 0.45) * apart
        _band(k, top, base, tone * (1 + 0.06 * k.bumps(0.3)))


def _paint_choroid(k: Scene, floor: Field, thick: float) -> None:
    """Paint what lies below the pigment layer: small vessels, large ones, and light that fades."""
    u = k.rng.uniform
    under = k.Y - floor
    fade = np.exp(-np.clip(under, 0, 9) / np.float32(u(0.15, 0.5)))
    holes = np.clip(1.2 * k.bumps(u(0.07, 0.16)) - 0.1, 0, 1) * np.clip(under / 0.08, 0, 1)
    tone = u(0.45, 0.68) * fade * (1 - 0.5 * holes) + u(0.04, 0.12)
    k.fill(under.astype(np.float32), tone, soft=1.0)
    if u() < 0.5:
        border = under - np.float32(thick * u(0.6, 1.3)) * (1 + 0.15 * _wave(k, 0.8))
        k.image += np.asarray(u(0, 0.15) * np.exp(-((border / 0.05) ** 2)), np.float32)


def _draw_cysts(k: Scene, edges: list[Field], pit: float, thick: float, clear: float) -> None:
    """Draw cysts in the inner and the outer nuclear layer, more of them near the pit; and bright dots."""
    u, rng = k.rng.uniform, k.rng
    found = np.zeros_like(k.X)
    inside = k.covered(np.minimum(k.Y - edges[0] - 0.02, edges[-4] - 0.005 - k.Y))
    for _ in range(int(rng.integers(1, 11))):
        at = float(np.clip(pit + rng.normal(0, 0.3), -0.95, 0.95))
        column = int(np.argmin(np.abs(k.X[0] - at)))
        layer, share = (2, 0.13) if u() < 0.35 else (4, 0.22)
        middle = float(edges[layer][0, column] + edges[layer + 1][0, column]) / 2
        tall = max(thick * share * u(0.4, 1.3), 0.015)
        level = k.ellipse(at, middle, tall * u(0.6, 1.6), tall, u(-0.2, 0.2), 0.12)
        here = k.covered(level, 1.2) * inside
        k.paint(here, clear + u(0, 0.08))
        found = np.maximum(found, here)
    k.masks[_FLUIDS[0]] = found > 0.5
    count = int(rng.integers(0, 25))
    where = rng.normal(pit, 0.4, count).astype(np.float32), rng.uniform(-1, 1, count).astype(np.float32)
    dots = k.stamp(*where, rng.uniform(0.006, 0.014, count).astype(np.float32))
    k.paint(dots * inside * (1 - found), 0.9)


def _draw_shadows(k: Scene, top: Field) -> None:
    """Draw retinal vessels, bright and round in the nerve fibres, and the dark columns below them."""
    u = k.rng.uniform
    for _ in range(int(k.rng.integers(0, 7))):
        at, wide, dark = u(-1, 1), u(0.012, 0.035), u(0.2, 0.7)
        column = np.exp(-(((k.X - np.float32(at)) / np.float32(wide)) ** 2))
        under = np.clip((k.Y - top - 0.03) / 0.05, 0, 1)
        k.image = np.asarray(k.image * (1 - dark * column * under), np.float32)
    haze = 1 - np.clip(u(-0.4, 0.5) * (0.5 + 0.5 * k.bumps(0.9)[:1]), 0, 0.7)
    k.image = np.asarray(k.image * haze, np.float32)


def _speckle(k: Scene, difficulty: float) -> Field:
    """Return the picture, 0..255, with the grain of coherent light, averaged over more or fewer frames."""
    u, rng, size = k.rng.uniform, k.rng, k.size
    rows, columns = int(rng.integers(170, 330)), int(rng.integers(110, 220))
    frames = u(0.03, 0.09) + 0.12 * difficulty**2 * u()
    image = blur(k.image, u(0.4, 0.9) * k.px)
    grain = gaussian_noise(rng, size, rows, columns) + 0.5 * gaussian_noise(rng, size, rows // 2, columns // 2)
    image = image * (1 + np.float32(1.6 * frames) * grain) + np.float32(0.45 * frames) * gaussian_noise(
        rng, size, rows, columns
    )
    image = np.clip(image, 0, None) ** np.float32(u(0.8, 1.25)) * u(200, 255) + u(-15, 15)
    if u() < 0.12:
        edge = np.abs(k.X + np.float32(u(-0.12, 0.12)) * k.Y) > u(0.9, 0.98)
        image = np.where(edge, 250, image)
        for name, mask in k.masks.items():
            k.masks[name] = mask & ~edge
    return np.asarray(image, np.float32)
