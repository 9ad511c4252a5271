"""Between prompts and masks of the displayed picture and their counterparts on the working grid."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from ibisagent.tools.clicks import Box, Pixel, PixelBox, Prompt, box_to_pixel_box, click_to_pixel
from ibisagent.tools.segmenters.base import Mask
from ibisagent.tools.segmenters.features import Field, WorkingGrid

__all__ = [
    "GridClick",
    "GridPrompts",
    "clean_components",
    "compute_ellipse_prior",
    "enforce_prompts",
    "enlarge_mask",
    "fill_box",
    "to_grid_prompts",
]


class GridClick(NamedTuple):
    """A click on the working grid."""

    pixel: Pixel
    positive: bool


class GridPrompts(NamedTuple):
    """Prompts on the working grid: at most one click a pixel, oldest first; the latest box, if any.

    ``box_is_latest``: the latest prompt is a box, so no click is a correction of the mask so far.
    """

    clicks: list[GridClick]
    box: PixelBox | None
    box_is_latest: bool


def to_grid_prompts(prompts: Sequence[Prompt], grid: WorkingGrid, has_mask: bool = False) -> GridPrompts:
    """Bring prompts to the working grid; a box without a positive click stands for one on its centre.

    Not so once clicks correct the mask that was found in the box (``has_mask``).
    """
    clicks: dict[Pixel, GridClick] = {}
    box = None
    for prompt in prompts:
        if isinstance(prompt, Box):
            box = box_to_pixel_box(prompt, grid.work)
            continue
        pixel = grid.to_working_pixel(click_to_pixel(prompt, grid.full))
        clicks.pop(pixel, None)
        clicks[pixel] = GridClick(pixel, prompt.positive)
    ordered = list(clicks.values())
    box_is_latest = bool(prompts) and isinstance(prompts[-1], Box)
    if box is not None and (box_is_latest or not has_mask) and not any(click.positive for click in ordered):
        centre = _find_centre(box)
        ordered = [GridClick(centre, True), *(click for click in ordered if click.pixel != centre)]
    return GridPrompts(ordered, box, box_is_latest)


def _find_centre(box: PixelBox) -> Pixel:
    return Pixel((box.top + box.bottom) // 2, (box.left + box.right) // 2)


def fill_box(box: PixelBox, shape: tuple[int, ...]) -> Mask:
    """Fill a box, (H, W) bool."""
    mask = np.zeros(shape[:2], np.bool_)
    mask[box.top : box.bottom + 1, box.left : box.right + 1] = True
    return mask


def compute_ellipse_prior(box: PixelBox, shape: tuple[int, ...]) -> Field:
    """Return a box's evidence for each pixel: 1 in the middle, 0 on the inscribed ellipse, below 0 in the corners."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    down = (2 * rows - box.top - box.bottom) / (box.bottom - box.top + 1)
    across = (2 * columns - box.left - box.right) / (box.right - box.left + 1)
    return np.asarray(1 - down**2 - across**2, np.float32)


def clean_components(label: Mask, clicks: Sequence[GridClick], given: Mask | None) -> Mask:
    """Keep components with a positive click or of a given mask; fill small holes without a negative click."""
    parts, count = ndimage.label(label)
    if count == 0:
        return label
    wanted = {int(parts[click.pixel]) for click in clicks if click.positive}
    if given is not None:
        wanted |= set(np.unique(parts[given]).tolist())
    wanted -= {0}
    if wanted:
        label = np.isin(parts, list(wanted))
    holes, count = ndimage.label(~label)
    if count > 1:
        small = np.bincount(holes.ravel()) < 0.02 * label.sum() + 9
        small[[0, *(int(holes[click.pixel]) for click in clicks if not click.positive)]] = False
        label = label | small[holes]
    return label


def enlarge_mask(grid: WorkingGrid, label: Mask, before: tuple[Mask, Mask] | None) -> Mask:
    """Bring a working mask to the displayed size, (H, W), its contour smoothed.

    ``before``: the given mask at the displayed and the working size; only what has changed of it is redrawn.
    """
    if before is None:
        return _smooth(grid, label)
    full, work = before
    return np.asarray((full | _smooth(grid, label & ~work)) & ~_smooth(grid, work & ~label))


def _smooth(grid: WorkingGrid, label: Mask) -> Mask:
    return np.asarray(grid.to_full_size(ndimage.gaussian_filter(label.astype(np.float32), 0.8)) > 0.5)


def enforce_prompts(mask: Mask, prompts: Sequence[Prompt]) -> Mask:
    """Set a mask (H, W), in place, at every clicked pixel to the latest click's sign there, and cut it to boxes."""
    for prompt in prompts:
        if not isinstance(prompt, Box):
            mask[click_to_pixel(prompt, mask.shape)] = prompt.positive
            continue
        box = box_to_pixel_box(prompt, mask.shape)
        mask &= fill_box(box, mask.shape)
        if not mask.any():
            mask[_find_centre(box)] = True
    return mask
