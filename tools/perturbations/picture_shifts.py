"""Shifts of a picture as other scanners, settings and exports make them, each of severities from 1, the mildest, to 5.

The kinds and their severities follow ImageNet-C (Hendrycks and Dietterich, ICLR 2019), for medical pictures: what turns
or flips the picture takes its true mask along. What is drawn at random is drawn from the caller's generator, alike at
each severity, so that a severer shift is the milder one, only more of it.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask, make_read_only
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.open_image import open_image

__all__ = ["SHIFTS", "PictureShift", "apply_shift", "shift_picture"]

Pixels = NDArray[np.uint8]
_Change = Callable[[Pixels, float, np.random.Generator], Pixels]

_REFERENCE = 256  # pixels of the longer side for which blur is given; it grows with the picture
_LETTERS = 18  # lines of text that would fill a picture
_TEXT = (
    "DEMO HOSPITAL",
    "SERIES 4  IMAGE 17",
    "W 400  L 40",
    "ZOOM 100%  ANGLE 0",
    "SUPINE  HFS",
    "R   NOT FOR DIAGNOSIS",
)


@dataclass(frozen=True, slots=True)
class PictureShift:
    """A kind of `SHIFTS` and a severity, 1 up to the number of its levels."""

    kind: str
    severity: int

    def __post_init__(self) -> None:
        """Refuse a kind or a severity that there is none of with `InputError`."""
        levels = SHIFTS[self.kind].levels if self.kind in SHIFTS else ()
        if not 1 <= self.severity <= len(levels):
            known = ", ".join(f"{kind} 1 to {len(shift.levels)}" for kind, shift in SHIFTS.items())
            raise InputError(f"got a shift {self.kind[:40]!r} of {self.severity}, expected one of {known}; choose one")

    def __str__(self) -> str:
        """Return kind, severity and level, on which results depend."""
        return f"{self.kind} {self.severity} ({SHIFTS[self.kind].levels[self.severity - 1]:g})"


@dataclass(frozen=True, slots=True)
class _Shift:
    """``levels``: by severity; ``change``: of the pixels, (H, W) or (H, W, 3); ``move``: of a mask, (H, W) bool."""

    levels: Sequence[float]
    change: _Change
    move: Callable[[Mask, float, np.random.Generator], Mask] | None = None


def shift_picture(
    image: MedicalImage, truth: Mask, shift: PictureShift, rng: np.random.Generator
) -> tuple[MedicalImage, Mask]:
    """Return the picture, shifted, without a file, and its true mask, (H, W) bool; `InputError` if the target is lost.

    Size, spacing and modality stay. Values before windowing and the patient's axes are not kept.
    """
    level = SHIFTS[shift.kind].levels[shift.severity - 1]
    masks = [truth] if image.padding is None else [truth, image.padding]
    pixels, (there, *padding) = apply_shift(shift.kind, level, image.pixels, masks, rng)
    if truth.any() and not there.any():
        raise InputError(f"shift {shift}: got nothing of the target left in the picture, expected some of it")
    shown = open_image(np.ascontiguousarray(pixels))
    shifted = replace(shown, spacing=image.spacing, modality=image.modality, padding=padding[0] if padding else None)
    return shifted, make_read_only(np.ascontiguousarray(there))


def apply_shift(
    kind: str, level: float, pixels: Pixels, masks: Sequence[Mask], rng: np.random.Generator
) -> tuple[Pixels, list[Mask]]:
    """Return pixels, (H, W) or (H, W, 3) uint8, shifted by a kind of `SHIFTS` at any level, and masks, (H, W) bool.

    What turns or flips the picture takes the masks along. One number is drawn from ``rng``.
    """
    shift, seed = SHIFTS[kind], int(rng.integers(2**63))
    changed = shift.change(pixels, level, np.random.default_rng(seed))
    if shift.move is None:
        return changed, list(masks)
    return changed, [shift.move(mask, level, np.random.default_rng(seed)) for mask in masks]


def _to_pixels(values: NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(values, 0, 255) + 0.5, np.uint8)


def _add_noise(pixels: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    return _to_pixels(pixels + deviation * rng.normal(size=pixels.shape))


def _lower_contrast(pixels: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    del rng
    mean = pixels.mean(axis=(0, 1))
    return _to_pixels((pixels - mean) * share + mean)


def _bend_levels(pixels: Pixels, gamma: float, rng: np.random.Generator) -> Pixels:
    """Darken or, in half of the draws, brighten."""
    power = gamma if rng.random() < 0.5 else 1 / gamma
    return _to_pixels(255 * (pixels / 255) ** power)


def _blur(pixels: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    del rng
    sigma = deviation * max(pixels.shape[:2]) / _REFERENCE
    return _to_pixels(ndimage.gaussian_filter(pixels.astype(np.float32), (sigma, sigma, *[0] * (pixels.ndim - 2))))


def _turn(array: Image.Image, degrees: float, rng: np.random.Generator, how: Image.Resampling) -> Image.Image:
    return array.rotate(degrees if rng.random() < 0.5 else -degrees, how)


def _turn_pixels(pixels: Pixels, degrees: float, rng: np.random.Generator) -> Pixels:
    return np.asarray(_turn(Image.fromarray(pixels), degrees, rng, Image.Resampling.BILINEAR))


def _turn_mask(mask: Mask, degrees: float, rng: np.random.Generator) -> Mask:
    return np.asarray(_turn(Image.fromarray(mask.astype(np.uint8)), degrees, rng, Image.Resampling.NEAREST)) > 0


def _flip(array: NDArray[np.uint8], level: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    del level, rng
    return array[:, ::-1]


def _flip_mask(mask: Mask, level: float, rng: np.random.Generator) -> Mask:
    del level, rng
    return mask[:, ::-1]


def _lose_resolution(pixels: Pixels, factor: float, rng: np.random.Generator) -> Pixels:
    """Reduce the picture by ``factor`` and enlarge it to its size again."""
    del rng
    picture = Image.fromarray(pixels)
    small = (max(1, round(picture.width / factor)), max(1, round(picture.height / factor)))
    return np.asarray(picture.resize(small, Image.Resampling.BOX).resize(picture.size, Image.Resampling.BILINEAR))


def _change_window(pixels: Pixels, width: float, rng: np.random.Generator) -> Pixels:
    """Show a part of the grey levels, of ``width`` of them, that lies up to half of the rest below or above the middle.

    What lies outside is black or white, as outside a narrower window.
    """
    centre = 127.5 + rng.uniform(-0.5, 0.5) * 255 * (1 - width)
    return _to_pixels((pixels - centre) / width + 127.5)


def _compress(pixels: Pixels, quality: float, rng: np.random.Generator) -> Pixels:
    del rng
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=int(quality))
    with Image.open(file) as read:
        return np.asarray(read)


def _burn_text(pixels: Pixels, lines: float, rng: np.random.Generator) -> Pixels:
    """Write lines of text, white on black bars, alternately from the top and from the bottom."""
    del rng
    picture = Image.fromarray(pixels)
    height = max(6, round(picture.height / _LETTERS))
    font, draw = ImageFont.load_default(max(6.0, 0.8 * height)), ImageDraw.Draw(picture)
    white, black = (255, 0) if pixels.ndim == 2 else ((255,) * 3, (0,) * 3)
    for number in range(int(lines)):
        row, below = divmod(number, 2)
        top = picture.height - (row + 1) * height if below else row * height
        left, _, right, _ = draw.textbbox((2, top), _TEXT[number], font=font)
        draw.rectangle((0, top, right + 2, top + height - 1), fill=black)
        draw.text((left, top), _TEXT[number], fill=white, font=font)
    return np.asarray(picture)


SHIFTS: Mapping[str, _Shift] = {
    "noise": _Shift((8, 16, 24, 36, 52), _add_noise),
    "contrast": _Shift((0.75, 0.6, 0.45, 0.3, 0.2), _lower_contrast),
    "gamma": _Shift((1.25, 1.5, 1.8, 2.2, 2.8), _bend_levels),
    "blur": _Shift((0.7, 1.2, 1.8, 2.6, 3.6), _blur),
    "rotation": _Shift((4, 8, 12, 16, 20), _turn_pixels, _turn_mask),
    "flip": _Shift((1,), _flip, _flip_mask),
    "down-sampling": _Shift((1.5, 2, 3, 4, 6), _lose_resolution),
    "window": _Shift((0.85, 0.7, 0.55, 0.45, 0.35), _change_window),
    "jpeg": _Shift((50, 30, 18, 10, 6), _compress),
    "text": _Shift((1, 2, 3, 4, 6), _burn_text),
}
"""Standard deviation in grey levels; share of the contrast; exponent; standard deviation in pixels of 256; degrees, to
either side; left and right exchanged; factor of reduction; share of the grey levels shown; JPEG quality; lines of text.
Chosen once, by their looks, before any policy was measured."""
