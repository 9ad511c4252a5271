"""Pictures of any size resized to a sheet's tile, and the map of a mask's errors."""

import numpy as np
from PIL import Image

from ibisagent.agent.overlay import GREEN
from ibisagent.evals.contact_sheets.text import Color
from ibisagent.tools.errors import InputError
from ibisagent.tools.segmenters.base import Mask, Pixels

__all__ = [
    "FALSE_NEGATIVE",
    "FALSE_POSITIVE",
    "TRUE_POSITIVE",
    "draw_error_map",
    "error_map",
    "fit_size",
    "resize_picture",
]

# The overlay's green and the two colours furthest from it and from each other under all three colour blindnesses.
TRUE_POSITIVE: Color = GREEN
FALSE_NEGATIVE: Color = (240, 228, 66)
FALSE_POSITIVE: Color = (204, 121, 167)


def error_map(pixels: Pixels, mask: Mask, truth: Mask) -> Pixels:
    """Draw where a mask is right and wrong, (H, W, 3), over the picture in dimmed grey.

    The colours are `TRUE_POSITIVE`, `FALSE_NEGATIVE` and `FALSE_POSITIVE`. ``pixels``: (H, W) or (H, W, 3) uint8;
    ``mask``, ``truth``: (H, W). Elsewhere the grey value falls to 6/10; a coloured pixel is 3/10 grey and 7/10 colour,
    rounded. Raises `InputError` when the shapes differ.
    """
    if not pixels.shape[:2] == mask.shape == truth.shape:
        shapes = f"picture {pixels.shape[:2]}, mask {mask.shape}, truth {truth.shape}"
        raise InputError(f"{shapes}: expected one shape (H, W); resample them to the displayed picture")
    grey = pixels if pixels.ndim == 2 else np.asarray(Image.fromarray(pixels).convert("L"))
    kind = mask + 2 * truth.astype(np.uint8)  # 0 neither, 1 mask alone, 2 truth alone, 3 both
    parts = np.array([(0, 0, 0), FALSE_POSITIVE, FALSE_NEGATIVE, TRUE_POSITIVE])[:, None] * 7
    weights = np.array([6, 3, 3, 3])[:, None, None]
    table = (parts + weights * np.arange(256)[None, :, None] + 5) // 10
    shown: Pixels = table.astype(np.uint8)[kind, grey]
    return shown


def fit_size(size: tuple[int, int], tile: tuple[int, int]) -> tuple[int, int]:
    """Scale (width, height) to fit a tile of (width, height), at least one pixel each way."""
    scale = min(tile[0] / size[0], tile[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def resize_picture(pixels: Pixels, size: tuple[int, int]) -> Image.Image:
    """Resize to (width, height), RGB: pixels stay squares where much enlarged, none is skipped where reduced."""
    picture = Image.fromarray(pixels)
    if size[0] >= 2 * picture.width:
        return picture.resize(size, Image.Resampling.NEAREST).convert("RGB")
    way = Image.Resampling.BICUBIC if size[0] > picture.width else Image.Resampling.LANCZOS
    return picture.resize(size, way, reducing_gap=2.0).convert("RGB")


def _subsample(mask: Mask, size: tuple[int, int]) -> Mask:
    """Sample the pixel in the middle of each of (width, height) equal fields."""
    rows = (2 * np.arange(size[1]) + 1) * mask.shape[0] // (2 * size[1])
    columns = (2 * np.arange(size[0]) + 1) * mask.shape[1] // (2 * size[0])
    return mask[np.ix_(rows, columns)]


def draw_error_map(pixels: Pixels, mask: Mask, truth: Mask, size: tuple[int, int]) -> Image.Image:
    """Draw the `error_map` at (width, height), RGB; one much larger is drawn at twice the size, then reduced."""
    height, width = mask.shape
    if pixels.shape[:2] == mask.shape == truth.shape and width > 2 * size[0]:
        twice = (2 * size[0], min(2 * size[1], height))
        pixels, mask, truth = (
            np.asarray(resize_picture(pixels, twice)),
            _subsample(mask, twice),
            _subsample(truth, twice),
        )
    return resize_picture(error_map(pixels, mask, truth), size)
