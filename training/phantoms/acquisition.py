"""Simulated acquisition: what acquisition, export and compression do to pictures of every modality."""

import io
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ibisagent.tools.imaging.grids import Mask
from ibisagent.training.phantoms.canvas import Field, blur, smooth_field

__all__ = ["AcquiredImage", "export_picture", "simulate"]

_INVERSION_RATE = 0.03
_LETTERBOX_RATE = 0.12
_JPEG_RATE = 0.4
_LOW_RESOLUTION_RATE = 0.15
_TEXT_RATE = 0.2
_EXPORT_TEXT_RATE = 0.08
_WORDS = ("R", "L", "AP", "SUPINE", "12 cm", "1.5T", "W400", "IM 42", "A", "GAIN 60", "x20", "FR 31")


class AcquiredImage(NamedTuple):
    """The picture, (H, W) or (H, W, 3) uint8, and its masks, moved as the picture was."""

    picture: NDArray[np.uint8]
    masks: dict[str, Mask]


def simulate(
    rng: np.random.Generator, image: NDArray[np.floating], masks: Mapping[str, Mask], difficulty: float
) -> AcquiredImage:
    """Simulate the acquisition of an image, 0 to 255: light, sharpness, noise, borders, burnt-in text, compression.

    ``difficulty`` in [0, 1] scales what hides a target: blur, noise, loss of contrast.
    """
    size, px = image.shape[0], image.shape[0] / 256
    grains = np.random.default_rng(rng.integers(2**63))  # its draws grow with the picture, the others must not
    seen = _illuminate(rng, np.asarray(image, np.float32), difficulty)
    seen = _vary_sharpness(rng, seen, difficulty, px)
    if rng.random() < 0.7:
        grain = grains.standard_normal((size, size) if rng.random() < 0.5 else seen.shape, np.float32)
        grain = grain if grain.ndim == seen.ndim else grain[..., None]
        seen = seen + grain * np.float32(rng.uniform(0, 3 + 12 * difficulty))
    return _export(rng, seen, dict(masks), text_rate=_TEXT_RATE, inversion_rate=_INVERSION_RATE)


def _export(
    rng: np.random.Generator, seen: Field, shown: dict[str, Mask], *, text_rate: float, inversion_rate: float
) -> AcquiredImage:
    """Round to bytes, and sometimes burn words in, put a frame around, invert, compress."""
    picture = np.clip(np.round(seen), 0, 255).astype(np.uint8)
    if picture.ndim == 2 and rng.random() < text_rate:
        picture = _burn_in_text(rng, picture)
    if rng.random() < _LETTERBOX_RATE:
        picture, shown = _letterbox(rng, picture, shown)
    if picture.ndim == 2 and rng.random() < inversion_rate:
        picture = 255 - picture
    if rng.random() < _JPEG_RATE:
        picture = _compress_jpeg(rng, picture)
    return AcquiredImage(picture, shown)


def export_picture(
    rng: np.random.Generator, image: NDArray[np.floating], masks: Mapping[str, Mask], difficulty: float
) -> AcquiredImage:
    """Export an image, 0 to 255, that already shows its scanner's faults: tone, resolution, text, borders, JPEG."""
    share = np.clip(np.asarray(image, np.float32) / 255, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.1)))
    seen = np.asarray(255 * ((share - 0.5) * rng.uniform(0.92, 1.06) + 0.5 + rng.normal(0, 0.015)), np.float32)
    if rng.random() < 0.35:
        seen = _vary_sharpness(rng, seen, 0.4 * difficulty, image.shape[0] / 256)
    return _export(rng, seen, dict(masks), text_rate=_EXPORT_TEXT_RATE, inversion_rate=0.0)


def _illuminate(rng: np.random.Generator, image: Field, difficulty: float) -> Field:
    """Change gamma, contrast, brightness, evenness of the light and, of a coloured picture, its white."""
    share = np.clip(image / 255, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.22)))
    contrast = rng.uniform(1 - 0.45 * difficulty, 1.1)
    share = (share - 0.5) * contrast + 0.5 + rng.normal(0, 0.05)
    uneven = 1 + rng.uniform(0, 0.04 + 0.16 * difficulty) * smooth_field(rng, image.shape[0], 2)
    if image.ndim == 3:
        white = np.exp(rng.normal(0, 0.07, 3))
        return np.asarray(share * uneven[..., None] * white * 255, np.float32)
    return np.asarray(share * uneven * 255, np.float32)


def _vary_sharpness(rng: np.random.Generator, image: Field, difficulty: float, px: float) -> Field:
    """Blur, sharpen, or lose resolution."""
    chance = rng.random()
    if chance < _LOW_RESOLUTION_RATE:
        side = max(16, round(image.shape[0] / rng.uniform(1.2, 1.6 + 1.4 * difficulty)))
        small = np.clip(image, 0, 255).astype(np.uint8)
        coarse = Image.fromarray(small).resize((side, side), Image.Resampling.BOX)
        return np.asarray(coarse.resize(image.shape[1::-1], Image.Resampling.BICUBIC), np.float32)
    if chance < 0.5:
        return blur(image, rng.uniform(0, 0.4 + 1.2 * difficulty) * px)
    if chance < 0.75:
        return np.asarray(image + rng.uniform(0.2, 1.0) * (image - blur(image, 1.5 * px)), np.float32)
    return image


def _burn_in_text(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Burn words into the corners, as consoles do."""
    size = picture.shape[0]
    page = Image.fromarray(picture)
    pen = ImageDraw.Draw(page)
    height = max(7, round(size * rng.uniform(0.03, 0.05)))
    for _ in range(rng.integers(1, 5)):
        word = str(rng.choice(_WORDS))
        across = size * rng.uniform(0.01, 0.2) if rng.random() < 0.5 else size * rng.uniform(0.72, 0.9)
        down = size * (rng.uniform(0.01, 0.12) if rng.random() < 0.5 else rng.uniform(0.85, 0.94))
        pen.text((across, down), word, fill=int(rng.integers(170, 256)), font_size=height)
    return np.asarray(page)


def _letterbox(
    rng: np.random.Generator, picture: NDArray[np.uint8], masks: dict[str, Mask]
) -> tuple[NDArray[np.uint8], dict[str, Mask]]:
    """Shrink the picture into a frame of another shape, as a letter box does, black or white around."""
    size = picture.shape[0]
    height, width = (max(8, round(size * rng.uniform(0.72, 1.0))) for _ in range(2))
    top, left = (int(rng.integers(0, size - length + 1)) for length in (height, width))
    inside = np.s_[top : top + height, left : left + width]
    framed = np.full_like(picture, 0 if rng.random() < 0.85 else 245)
    framed[inside] = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
    kept = {}
    for name, mask in masks.items():
        small = Image.fromarray(mask.astype(np.uint8) * 255).resize((width, height), Image.Resampling.BILINEAR)
        kept[name] = np.zeros_like(mask)
        kept[name][inside] = np.asarray(small) > 127
    return framed, kept


def _compress_jpeg(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Store as a JPEG and read it back."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=int(rng.integers(45, 96)))
    return np.asarray(Image.open(buffer))
