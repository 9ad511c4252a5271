"""Changes of a training picture: what other scanners, staining, noise and positions would make of it."""

import numpy as np
from PIL import Image
from scipy import ndimage

from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.segmenters.base import Pixels
from ibisagent.tools.segmenters.features import Field

__all__ = ["change_colours", "fill_with_texture", "resize", "turn"]

_DEGREES = 25.0


def resize(picture: Pixels, truth: Mask, longer: int) -> tuple[Pixels, Mask]:
    """Bring a picture, (H, W) or (H, W, 3) uint8, and a mask, (H, W) bool, to a longer side in pixels."""
    scale = longer / max(truth.shape)
    size = (max(1, round(truth.shape[1] * scale)), max(1, round(truth.shape[0] * scale)))
    how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    cover = Image.fromarray(truth.astype(np.float32)).resize(size, how)
    return np.asarray(Image.fromarray(picture).resize(size, how)), np.asarray(cover) >= 0.5


def turn(picture: Pixels, truth: Mask, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """Flip and turn both alike, in a quarter of the draws by a few degrees as well."""
    quarter, flip = int(rng.integers(4)), bool(rng.integers(2))
    both = [np.rot90(each, quarter) for each in (picture, truth)]
    both = [each[:, ::-1] if flip else each for each in both]
    if rng.random() < 0.25:
        degrees = float(rng.uniform(-_DEGREES, _DEGREES))
        turned = (Image.fromarray(np.ascontiguousarray(both[0])), Image.fromarray(both[1].astype(np.uint8)))
        how = (Image.Resampling.BILINEAR, Image.Resampling.NEAREST)
        both = [np.asarray(each.rotate(degrees, way)) for each, way in zip(turned, how, strict=True)]
    return np.ascontiguousarray(both[0]), np.ascontiguousarray(both[1]).astype(np.bool_)


def fill_with_texture(picture: Pixels, truth: Mask, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Fill the target with another picture's texture, its mean moved to a random distance from its surroundings."""
    height, width = truth.shape
    grey = picture.ndim == 2
    texture = Image.fromarray(other).convert("L" if grey else "RGB").resize((width, height))
    values, filling = picture.astype(np.float32), np.asarray(texture, np.float32)
    ring = ndimage.binary_dilation(truth, iterations=6) & ~truth
    around = values[ring].mean(axis=0) if ring.any() else values.mean(axis=(0, 1))
    spread = float(rng.uniform(0.2, 1.0))
    filling = (filling - filling[truth].mean(axis=0)) * spread + around
    filling = filling + rng.choice([-1.0, 1.0]) * rng.uniform(10, 70) * (1 if grey else rng.uniform(0.2, 1.0, 3))
    soft = ndimage.gaussian_filter(truth.astype(np.float32), float(rng.uniform(0.4, 1.5)))
    soft = soft if grey else soft[..., None]
    return np.asarray(np.clip(values * (1 - soft) + filling * soft, 0, 255) + 0.5, np.uint8)


def change_colours(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Change brightness, contrast, colours, sharpness and noise, each in some of the draws."""
    values = picture.astype(np.float32) / np.float32(255)
    if values.ndim == 3:
        values = _change_channels(values, rng)
    if rng.random() < 0.15:
        values = 1 - values
    if rng.random() < 0.6:
        values = np.clip(values, 0, 1) ** np.float32(np.exp(rng.uniform(-0.6, 0.6)))
    if rng.random() < 0.5:
        values = (values - 0.5) * np.float32(rng.uniform(0.5, 1.4)) + np.float32(0.5 + rng.uniform(-0.15, 0.15))
    if rng.random() < 0.25:
        values = values * _shade(values.shape[:2], rng).reshape(*values.shape[:2], *[1] * (values.ndim - 2))
    values = _change_sharpness(values, rng)
    if rng.random() < 0.3:
        values = values + rng.normal(0, rng.uniform(0.005, 0.08), values.shape).astype(np.float32)
    if rng.random() < 0.15:
        strength = rng.uniform(0.02, 0.25)
        values = values * rng.gamma(1 / strength, strength, values.shape).astype(np.float32)
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def _change_channels(values: Field, rng: np.random.Generator) -> Field:
    if rng.random() < 0.2:
        return np.asarray(np.repeat(values.mean(axis=2, keepdims=True), 3, axis=2))
    if rng.random() < 0.3:
        values = values[..., rng.permutation(3)]
    if rng.random() < 0.5:
        values = values * rng.uniform(0.75, 1.25, 3).astype(np.float32)
    return values


def _shade(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """Return a smooth field, (h, w), of brightness, as a coil or a light from one side would make it."""
    coarse = Image.fromarray(rng.uniform(0.5, 1.3, (3, 3)).astype(np.float32))
    return np.asarray(coarse.resize(shape[::-1], Image.Resampling.BICUBIC))


def _change_sharpness(values: Field, rng: np.random.Generator) -> Field:
    drawn = rng.random()
    if drawn < 0.15:
        sigma = float(rng.uniform(0.5, 2.0))
        return ndimage.gaussian_filter(values, (sigma, sigma, *[0] * (values.ndim - 2)))
    if drawn < 0.3:
        height, width = values.shape[:2]
        pixels = Image.fromarray(np.asarray(np.clip(values, 0, 1) * 255, np.uint8))
        small = pixels.resize((max(1, width // 2), max(1, height // 2)), Image.Resampling.BOX)
        return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR), np.float32) / np.float32(255)
    return values
