"""What the embedded segmenters see of a picture: denoised colours and gradients on a small working grid."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import color

from ibisagent.tools.cache import OnceCache
from ibisagent.tools.clicks import Pixel
from ibisagent.tools.segmenters.base import Mask, Pixels

Field = NDArray[np.float32]

__all__ = [
    "FINE_SIDE",
    "PICTURE_SIDE",
    "Features",
    "Field",
    "WorkingGrid",
    "extract_features",
    "measure_gradient",
    "normalize_channels",
    "split_channels",
    "square_distance",
]

FINE_SIDE = 1024  # larger pictures are refined at this size
PICTURE_SIDE = 384  # of what is kept of a picture for its appearance
_MAX_MAPS = 48  # geodesic maps and rankings kept for an image
_LAB_RANGE = np.array([100.0, 60.0, 60.0], np.float32)  # L*, a*, b* to about [0, 1] and [-1, 1]


class WorkingGrid(NamedTuple):
    """The displayed picture's size and the working size, each (rows, columns)."""

    full: tuple[int, int]
    work: tuple[int, int]

    @classmethod
    def of(cls, shape: tuple[int, ...], side: int) -> "WorkingGrid":
        """Return the grid for a picture of ``shape``: at most ``side`` pixels on the longer side, never enlarged."""
        height, width = shape[:2]
        scale = min(1.0, side / max(height, width))
        return cls((height, width), (max(1, round(height * scale)), max(1, round(width * scale))))

    def to_working_pixel(self, pixel: Pixel) -> Pixel:
        """Return the working pixel that a displayed pixel falls into."""
        return Pixel(pixel.row * self.work[0] // self.full[0], pixel.column * self.work[1] // self.full[1])

    def coverage(self, mask: Mask) -> Field:
        """Share of each working pixel, (h, w) in [0, 1], that a mask (H, W) covers."""
        return self._resize(mask.astype(np.float32), self.work, Image.Resampling.BOX)

    def to_full_size(self, values: Field) -> Field:
        """Bring a field from the working size to the displayed size, bilinear."""
        return self._resize(values, self.full, Image.Resampling.BILINEAR)

    @staticmethod
    def _resize(values: Field, size: tuple[int, int], how: Image.Resampling) -> Field:
        if values.shape == size:
            return values
        return np.asarray(Image.fromarray(values).resize(size[::-1], how), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """An embedding of the embedded segmenters.

    ``colours``: (h, w, c) float32, c = 1 (grey) or 3 (CIE Lab), denoised, one unit = the picture's grey range.
    ``gradient``: (h, w) float32, length of the colour gradient in units a pixel.
    ``fine``: (H', W', c) uint8, the picture at its displayed size, at most `FINE_SIDE`, grey or RGB, slightly blurred.
    ``picture``: the displayed picture, at most `PICTURE_SIDE` on its longer side, uint8; None where only the rest is
    needed. ``spread``: standard deviation of all colours; ``steepness``: the gradient's mean.
    """

    grid: WorkingGrid
    colours: Field
    gradient: Field
    fine: Pixels
    memo: OnceCache[Any] = field(default_factory=lambda: OnceCache(_MAX_MAPS))
    picture: Pixels | None = None
    spread: np.float32 = field(init=False)
    steepness: float = field(init=False)

    def __post_init__(self) -> None:
        """Measure the picture as a whole, once."""
        variances = self.colours.reshape(-1, self.colours.shape[2]).var(axis=0)
        object.__setattr__(self, "spread", np.sqrt(variances.sum()))
        object.__setattr__(self, "steepness", float(self.gradient.mean()))


def extract_features(pixels: Pixels, side: int) -> Features:
    """Shrink, denoise and normalise a picture, (H, W) or (H, W, 3) uint8."""
    grid = WorkingGrid.of(pixels.shape, side)
    channels = np.asarray(split_channels(_shrink(pixels, grid)), np.float32)
    colours = normalize_channels(_denoise(channels, max(grid.work)))
    gradient = measure_gradient(colours)
    fine = _blur(_shrink(pixels, WorkingGrid.of(pixels.shape, FINE_SIDE)))
    for array in (colours, gradient, fine):
        array.setflags(write=False)
    picture = _shrink(pixels, WorkingGrid.of(pixels.shape, PICTURE_SIDE))
    return Features(grid, colours, gradient, fine, picture=picture.copy() if picture is pixels else picture)


def _blur(pixels: Pixels, sigma: float = 0.7) -> Pixels:
    """Blur each channel, (h, w, c), one where the picture is grey."""
    grey = _drop_equal_channels(pixels)
    channels = grey[..., None] if grey.ndim == 2 else grey
    return np.asarray(ndimage.gaussian_filter(channels, (sigma, sigma, 0), truncate=3.0), np.uint8)


def _shrink(pixels: Pixels, grid: WorkingGrid) -> Pixels:
    if grid.work == grid.full:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(grid.work[::-1], Image.Resampling.BOX))


def _drop_equal_channels(pixels: Pixels) -> Pixels:
    """Return (h, w) of a grey picture stored as colour, any other as it is."""
    grey = pixels.ndim == 3 and int(np.ptp(pixels, axis=2).max()) <= 2
    return pixels[..., 0] if grey else pixels


def split_channels(pixels: Pixels) -> NDArray[np.floating]:
    """Return a picture's channels, (h, w, c): its grey in [0, 1], or CIE Lab in about that range."""
    pixels = _drop_equal_channels(pixels)
    channels = pixels[..., None] / np.float32(255) if pixels.ndim == 2 else color.rgb2lab(pixels) / _LAB_RANGE
    return np.asarray(channels)


def normalize_channels(channels: NDArray[np.floating]) -> Field:
    """Return channels, (h, w, c), in units of the range of the first one, its brightest and darkest 1 % left out."""
    low, high = np.percentile(channels[..., 0], [1, 99])
    return np.asarray(channels / max(float(high - low), 0.05), np.float32)


def measure_gradient(channels: Field) -> Field:
    """Return the length of the gradient over all channels, (h, w), at a scale of one pixel."""
    squares = [ndimage.gaussian_gradient_magnitude(channel, 1.0) ** 2 for channel in np.moveaxis(channels, 2, 0)]
    return np.asarray(np.sqrt(np.sum(squares, axis=0)), np.float32)


def square_distance(values: Field, others: Field) -> Field:
    """Return the squared distance of colours (..., c), broadcast against others; far faster than a sum over axis -1."""
    channels = [(values[..., c] - others[..., c]) ** 2 for c in range(values.shape[-1])]
    return np.asarray(sum(channels[1:], channels[0]), np.float32)


def _denoise(channels: Field, side: int) -> Field:
    """Median, then bilateral filter with a range that follows the noise (speckle, film grain) of each channel."""
    size = 5 if side > 160 else 3
    out = [
        _filter_bilateral(
            ndimage.median_filter(channel, size), max(0.03, 2 * _estimate_noise(channel)), max(0.5, 2.0 * side / 256)
        )
        for channel in np.moveaxis(channels, 2, 0)
    ]
    return np.stack(out, axis=2)


def _estimate_noise(channel: Field) -> float:
    return 1.4826 * float(np.median(np.abs(channel - ndimage.uniform_filter(channel, 3))))


def _filter_bilateral(channel: Field, value_sigma: float, space_sigma: float) -> Field:
    """Bilateral filter of one (h, w) channel (Tomasi and Manduchi 1998), over shifts of a padded copy."""
    radius = max(1, round(1.5 * space_sigma))
    padded = np.pad(channel, radius, mode="edge")
    height, width = channel.shape
    total, weights = np.zeros_like(channel), np.zeros_like(channel)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dy * dy + dx * dx > radius * radius:
                continue
            shifted = padded[radius + dy : radius + dy + height, radius + dx : radius + dx + width]
            nearness = -(dy * dy + dx * dx) / (2 * space_sigma**2)
            weight = np.exp(nearness - (shifted - channel) ** 2 / (2 * value_sigma**2))
            total += weight * shifted
            weights += weight
    return (total / weights).astype(np.float32)
