"""Changes of a picture's place: turned, cropped, flipped and fitted to a size, its masks along with it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.perturbations.picture_shifts import apply_shift

__all__ = ["MIN_KEPT", "Picture", "crop", "fit", "turn_by"]

Picture = tuple[NDArray[np.uint8], list[Mask]]
"""Pixels, (H, W) or (H, W, 3) uint8, and masks, (H, W) bool."""

MIN_KEPT = 0.5
"""The share of a target's area that a turn and a crop together leave in the picture."""

_DRAWS = 8  # of a crop, before there is none
_BRIGHT = 128
_MARGIN = 0.15  # of the longer side: what a turn by 12 degrees brings in from outside


def turn_by(picture: Picture, degrees: float, rng: np.random.Generator) -> Picture:
    """Turn to a side that is drawn, unless that loses over half of a target.

    What comes in from outside is black, in a picture with a bright edge of the edge's middle colour.
    """
    pixels, masks = picture
    height, width = pixels.shape[:2]
    margin = int(np.ceil(_MARGIN * max(height, width)))
    edge = np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]), axis=0)
    padded = np.zeros((height + 2 * margin, width + 2 * margin, *pixels.shape[2:]), np.uint8)
    if edge.mean() >= _BRIGHT:
        padded[:] = edge.astype(np.uint8)
    inside = slice(margin, margin + height), slice(margin, margin + width)
    padded[inside] = pixels
    turned, moved = apply_shift("rotation", degrees, padded, [np.pad(mask, margin) for mask in masks], rng)
    kept = [mask[inside] for mask in moved]
    return (turned[inside], kept) if _is_kept(kept, masks) else picture


def crop(picture: Picture, shares: tuple[float, float], whole: Sequence[Mask], rng: np.random.Generator) -> Picture:
    """Cut out a part, each side a share drawn between two, that keeps half of every target; else return the picture.

    ``whole``: the masks, of any shape, whose areas count as all of the targets.
    """
    pixels, masks = picture
    for _ in range(_DRAWS):
        sides = [max(1, round(side * rng.uniform(*shares))) for side in pixels.shape[:2]]
        starts = [int(rng.integers(side - cut + 1)) for side, cut in zip(pixels.shape[:2], sides, strict=True)]
        part = tuple(slice(start, start + cut) for start, cut in zip(starts, sides, strict=True))
        kept = [mask[part] for mask in masks]
        if _is_kept(kept, whole):
            return pixels[part], kept
    return picture


def fit(picture: Picture, longest: int) -> Picture:
    """Reduce a picture whose longer side has more pixels than ``longest``; of a target at least a pixel is left."""
    pixels, masks = picture
    scale = longest / max(pixels.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(pixels), [np.ascontiguousarray(mask) for mask in masks]
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BOX)
    return np.asarray(small), [_fit_mask(mask, size) for mask in masks]


def _fit_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    cover = np.asarray(Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX))
    return mask.any() & (cover >= min(0.5, float(cover.max())))


def _is_kept(parts: Sequence[Mask], whole: Sequence[Mask]) -> bool:
    pairs = zip(parts, whole, strict=True)
    return all(np.count_nonzero(part) >= MIN_KEPT * np.count_nonzero(all_of_it) for part, all_of_it in pairs)
