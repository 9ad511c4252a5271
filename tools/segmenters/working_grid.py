"""Between prompts and masks of the displayed picture and their counterparts on the working grid."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from ibisagent.tools.clicks import Box, Pixel, PixelBox, Prompt, box_to_pixel_box, click_to_pixel
from ibisagent.tools.segmenters.base import Mask
from ibisagent.tools.segmenters.features import Field, WorkingGrid

__all__ = ["GridClick", "GridPrompts", "fill_box", "enlarge_mask", "enforce_prompts", "to_grid_prompts", "compute_ellipse_prior", "clean_components"]


class GridClick(NamedTuple):
    """A click on the working grid."""

    pixel: Pixel
    positive: bool


class GridPrompts(NamedTuple):
    """Prompts on the working grid: at most one click a pixel, oldest first; the latest box, if any.

    ``fresh``: the latest prompt is a box, so no click is a correction of the mask so far.
    """

    clicks: list[GridClick]
    box: PixelBox | None
    fresh: bool


def to_grid_prompts(prompts: Sequence[Prompt], grid: WorkingGrid) -> GridPrompts:
    """Bring prompts to the working grid; a box without a positive click stands for one on its centre."""
    clicks: dict[Pixel, GridClick] = {}
    box = None
    for prompt in prompts:
        if isinstance(prompt, Box):
            box = box_to_pixel_box(prompt, grid.work)
            continue
        pixel = grid.shrunk(click_to_pixel(prompt, grid.full))
        clicks.pop(pixel, None)
        clicks[pixel] = GridClick(pixel, prompt.positive)
    marks = list(clicks.values())
    if box is not None and not any(mark.positive for mark in marks):
        centre = _find_centre(box)
        marks = [GridClick(centre, True), *(mark for mark in marks if mark.pixel != centre)]
    return GridPrompts(marks, box, bool(prompts) and isinstance(prompts[-1], Box))


def _find_centre(box: PixelBox) -> Pixel:
    return Pixel((box.top + box.bottom) // 2, (box.left + box.right) // 2)


def fill_box(box: PixelBox, shape: tuple[int, ...]) -> Mask:
    """Fill a box, (H, W) bool."""
    mask = np.zeros(shape[:2], np.bool_)
    mask[box.top : box.bottom + 1, box.left : box.right + 1] = True
    return mask


def compute_ellipse_prior(box: PixelBox, shape: tuple[int, ...]) -> Field:
    """Tell what a box alone says of pixels: 1 in the middle, 0 on the ellipse that fills it, below 0 in the corners."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    down = (2 * rows - box.top - box.bottom) / (box.bottom - box.top + 1)
    across = (2 * columns - box.left - box.right) / (box.right - box.left + 1)
    return np.asarray(1 - down**2 - across**2, np.float32)


def clean_components(label: Mask, clicks: Sequence[GridClick], given: Mask | None) -> Mask:
    """Keep components with a positive click or of a given mask; fill small holes without a negative click."""
    parts, count = ndimage.label(label)
    if count == 0:
        return label
    wanted = {int(parts[mark.pixel]) for mark in clicks if mark.positive}
    if given is not None:
        wanted |= set(np.unique(parts[given]).tolist())
    wanted -= {0}
    if wanted:
        label = np.isin(parts, list(wanted))
    holes, count = ndimage.label(~label)
    if count > 1:
        small = np.bincount(holes.ravel()) < 0.02 * label.sum() + 9
        small[[0, *(int(holes[mark.pixel]) for mark in clicks if not mark.positive)]] = False
        label = label | small[holes]
    return label


def enlarge_mask(grid: WorkingGrid, label: Mask, before: tuple[Mask, Mask] | None) -> Mask:
    """Bring a working mask to the displayed size, (H, W), its contour smoothed.

    ``before``: somebody's mask at the displayed and the working size; only what has changed of it is redrawn.
    """
    if before is None:
        return _smooth(grid, label)
    full, work = before
    return np.asarray((full | _smooth(grid, label & ~work)) & ~_smooth(grid, work & ~label))


def _smooth(grid: WorkingGrid, label: Mask) -> Mask:
    return np.asarray(grid.enlarged(ndimage.gaussian_filter(label.astype(np.float32), 0.8)) > 0.5)


def enforce_prompts(mask: Mask, prompts: Sequence[Prompt]) -> Mask:
    """Make a mask (H, W), in place, say at every clicked pixel what the latest click there said, and obey boxes."""
    for prompt in prompts:
        if not isinstance(prompt, Box):
            mask[click_to_pixel(prompt, mask.shape)] = prompt.positive
            continue
        box = box_to_pixel_box(prompt, mask.shape)
        mask &= fill_box(box, mask.shape)
        if not mask.any():
            mask[_find_centre(box)] = True
    return mask
