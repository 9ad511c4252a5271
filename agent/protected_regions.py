"""A person's clicks and the regions that his prompts marked, and whether a policy's prompt violates one of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.tools.clicks import Box, Click, Pixel, Prompt, Similar, box_to_pixel_box, click_to_pixel
from ibisagent.tools.imaging.grids import Mask

__all__ = ["contradicts_clicks", "violates_regions"]

_CORE_SHARE = 0.1  # of the core around a prompt, a policy may change a tenth, as in a correction of its edge
_ONE_PROMPT_SHARE = 0.35  # of all that a first prompt marked: a click often spills, which a policy should correct
_MORE_PROMPTS_SHARE = 0.25  # once the person has corrected the mask himself, a quarter
_CORE_RADIUS = 0.5  # of the distance from the prompt to the edge of what it marked
_MAX_CORE_RADIUS = 0.02  # of the picture's shorter side
_FLOOD_RATIO = 2.5  # a component larger than this multiple of the largest disc around a click, or than half of the
# picture, is a flood: only its core is protected


class _Region(NamedTuple):
    """Pixels (H, W), whether they belong to the target, and the share of them that a policy may change."""

    pixels: Mask
    inside: bool
    share: float


def contradicts_clicks(prompts: Iterable[Prompt], before: Mask, after: Mask) -> bool:
    """Whether a new mask contradicts a click or an example that the mask before it, both (H, W), agreed with."""
    clicks = [prompt for prompt in prompts if isinstance(prompt, Click | Similar)]
    places = [(click_to_pixel(click, before.shape), click.positive) for click in clicks]
    return any(before[place] == positive and after[place] != positive for place, positive in places)


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
    share = _ONE_PROMPT_SHARE if len(persons) == 1 else _MORE_PROMPTS_SHARE
    for number in persons:
        for region in _marked_regions(prompts[number], mask_of(number), mask_of(number + 1), latest, share):
            kept = region.pixels & (latest == region.inside)
            was, now = (np.count_nonzero(kept & (mask != region.inside)) for mask in (before, after))
            if now > max(was, region.share * np.count_nonzero(kept)):
                return True
    return False


def _marked_regions(prompt: Prompt, before: Mask, after: Mask, latest: Mask, share: float) -> Iterator[_Region]:
    """Yield the regions that a prompt marked: its core, and all of it with the ``share`` that may be changed.

    ``before``, ``after``: the masks around the prompt; ``latest``: the one after the person's latest prompt. A box
    marks the mask inside it, with its core where that is deepest; a positive click the connected component under it; a
    negative click what it removed there. An example marks its pixel alone (`contradicts_clicks`): what else it took in
    are guesses, which a policy should correct.
    """
    if isinstance(prompt, Similar):
        return
    if isinstance(prompt, Box):
        top, left, bottom, right = box_to_pixel_box(prompt, after.shape)
        inside_box = np.s_[top : bottom + 1, left : right + 1]
        within = np.zeros_like(after)
        within[inside_box] = after[inside_box]
        row, column = _deepest_pixel(within[inside_box])
        yield _Region(_core(within, Pixel(top + row, left + column)), True, _CORE_SHARE)
        yield _Region(within, True, share)
        return
    place = click_to_pixel(prompt, after.shape)
    if not prompt.positive:
        yield _Region(_core(~after, place), False, _CORE_SHARE)
        yield _Region(_component_at(before & ~after, place), False, share)
        return
    yield _Region(_core(after, place), True, _CORE_SHARE)
    component = _component_at(latest, place)
    if not _is_flood(component, place):
        yield _Region(component, True, share)


def _core(mask: Mask, place: Pixel) -> Mask:
    """Return the part of a mask, (H, W), near a pixel of it, in relation to that pixel's distance from the edge."""
    radius = min(_CORE_RADIUS * _squared_depth(mask, place) ** 0.5, _MAX_CORE_RADIUS * min(mask.shape))
    return np.asarray(mask & (_squared_distances(place, mask.shape) <= radius**2))


def _component_at(mask: Mask, place: Pixel) -> Mask:
    """Return the connected component of a mask, (H, W), at a pixel; an empty one where the pixel is outside."""
    labels = ndimage.label(mask)[0]
    return np.asarray(mask & (labels == labels[place]))


def _is_flood(component: Mask, place: Pixel) -> bool:
    """Whether a component, (H, W), extends far from its pixel ``place``, relative to the largest disc around that."""
    largest = min(_FLOOD_RATIO * np.pi * _squared_depth(component, place), component.size / 2)
    return bool(np.count_nonzero(component) > largest)


def _deepest_pixel(mask: Mask) -> Pixel:
    depths = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depths.argmax()), depths.shape)
    return Pixel(int(row), int(column))


def _squared_depth(mask: Mask, place: Pixel) -> int:
    """Return the squared distance in pixels from a pixel to the nearest one outside of the mask or of the picture."""
    (height, width), (row, column) = mask.shape, place
    edge = min(row + 1, column + 1, height - row, width - column)
    return int(_squared_distances(place, mask.shape).min(where=~mask, initial=edge**2))


def _squared_distances(place: Pixel, shape: tuple[int, ...]) -> NDArray[np.int64]:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((rows - place.row) ** 2 + (columns - place.column) ** 2, np.int64)
