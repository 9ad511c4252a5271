"""The regions that a person's prompts marked, and whether a policy's prompt violates one of them."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.tools.clicks import Click, Pixel, Prompt, box_to_pixel_box, click_to_pixel
from ibisagent.tools.imaging.grids import Mask

__all__ = ["violates_regions"]

_MAX_CHANGED = 0.1  # share of a marked region that a policy may remove or fill, as in a correction of its edge
_NEGATIVE_RADIUS = 0.02  # share of the shorter side: radius of the smallest region that a negative click marks
_FLOOD_RADIUS = 0.03  # share of the shorter side: radius of what a positive click marks of a flood
_FLOOD_RATIO = 3.5  # a component larger than this multiple of the largest disc around a click, or than half of the
# picture, is a flood


def violates_regions(
    prompts: Sequence[Prompt], persons: Sequence[int], mask_of: Callable[[int], Mask], before: Mask, after: Mask
) -> bool:
    """Whether a policy's prompt removes or fills too large a share of a region that a person marked.

    ``prompts``: the active ones before it; ``persons``: indices of the person's among them; ``mask_of``: returns the
    mask, (H, W), of the first prompts, by their count; ``before``, ``after``: the masks around the policy's prompt.
    What the person's later prompts changed is no longer marked; what was changed before already is no violation.
    """
    if not persons:
        return False
    latest = mask_of(persons[-1] + 1)
    for number in persons:
        for region, inside in _marked_regions(prompts[number], mask_of(number), mask_of(number + 1)):
            kept = region & (latest == inside)
            was, now = (np.count_nonzero(kept & (mask != inside)) for mask in (before, after))
            if now > max(was, _MAX_CHANGED * np.count_nonzero(kept)):
                return True
    return False


def _marked_regions(prompt: Prompt, before: Mask, after: Mask) -> Iterator[tuple[Mask, bool]]:
    """Yield the regions that a prompt marked, by the masks before and after it, and whether they belong to the target.

    A box: the mask inside it. A positive click: the connected component under it; of a flood, which a policy should
    stop, only what is near. A negative click: a disc around it, and the component that it removed there with that disc.
    """
    if not isinstance(prompt, Click):
        top, left, bottom, right = box_to_pixel_box(prompt, after.shape)
        within = np.zeros_like(after)
        within[top : bottom + 1, left : right + 1] = True
        yield after & within, True
        return
    place = click_to_pixel(prompt, after.shape)
    if prompt.positive:
        component = _component_at(after, place)
        near = _disc(place, after.shape, _FLOOD_RADIUS)
        yield (component & near if _is_flood(component, place) else component), True
        return
    around = _disc(place, after.shape, _NEGATIVE_RADIUS)
    yield around, False
    yield _component_at((before & ~after) | around, place), False


def _component_at(mask: Mask, place: Pixel) -> Mask:
    """Return the connected component of a mask, (H, W), at a pixel; an empty one where the pixel is outside."""
    labels = ndimage.label(mask)[0]
    return np.asarray(mask & (labels == labels[place]))


def _is_flood(component: Mask, place: Pixel) -> bool:
    """Whether a component, (H, W), extends far from its pixel ``place``, relative to the largest disc around that."""
    (height, width), (row, column) = component.shape, place
    edge = min(row + 1, column + 1, height - row, width - column)
    squared_radius = _squared_distances(place, component.shape).min(where=~component, initial=edge**2)
    return bool(np.count_nonzero(component) > min(_FLOOD_RATIO * np.pi * squared_radius, component.size / 2))


def _disc(place: Pixel, shape: tuple[int, ...], radius: float) -> Mask:
    return np.asarray(_squared_distances(place, shape) <= (radius * min(shape[:2])) ** 2)


def _squared_distances(place: Pixel, shape: tuple[int, ...]) -> NDArray[np.int64]:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((rows - place.row) ** 2 + (columns - place.column) ** 2, np.int64)
