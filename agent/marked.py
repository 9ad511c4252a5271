"""What a person's prompts marked, a region each, and whether a policy's prompt spoils one of them."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.tools.clicks import Click, Pixel, Prompt, pixel_box, pixel_of
from ibisagent.tools.grids import Mask

__all__ = ["spoils"]

_SHARE = 0.1  # of a marked region that a policy may take away or fill: a trim of its edge
_AROUND = 0.02  # of the shorter side: the radius of the least that a negative click marks
_NEAR = 0.03  # of the shorter side: the radius of what a positive click marks of a flood
_SPREAD = 3.5  # times the largest disc around a click: a mask that is larger, or fills half of the picture, is a flood


def spoils(
    prompts: Sequence[Prompt], persons: Sequence[int], mask_of: Callable[[int], Mask], before: Mask, after: Mask
) -> bool:
    """Whether a policy's prompt takes away, or fills, more than a little of what a person marked.

    ``prompts``: those in force before it, of which the indices ``persons`` are his; ``mask_of``: gives the mask,
    (H, W), of the first so many of them; ``before``, ``after``: the policy's. What his own later prompts changed he
    marks no longer, and a mask that was as bad before is none the worse.
    """
    if not persons:
        return False
    latest = mask_of(persons[-1] + 1)
    for number in persons:
        for region, inside in _regions(prompts[number], mask_of(number), mask_of(number + 1)):
            kept = region & (latest == inside)
            was, now = (np.count_nonzero(kept & (mask != inside)) for mask in (before, after))
            if now > max(was, _SHARE * np.count_nonzero(kept)):
                return True
    return False


def _regions(prompt: Prompt, before: Mask, after: Mask) -> Iterator[tuple[Mask, bool]]:
    """Give the regions that a prompt marked, by the masks before and after it, and whether they are to be inside.

    A box: what it holds of the mask. A positive click: the part of the mask that it is in; of a flood, which a policy
    is to stop, what is near. A negative click: what is around it, and with that the part that it took out there.
    """
    if not isinstance(prompt, Click):
        top, left, bottom, right = pixel_box(prompt, after.shape)
        within = np.zeros_like(after)
        within[top : bottom + 1, left : right + 1] = True
        yield after & within, True
        return
    place = pixel_of(prompt, after.shape)
    if prompt.positive:
        part = _part(after, place)
        yield (part & _disc(place, after.shape, _NEAR) if _is_flood(part, place) else part), True
        return
    around = _disc(place, after.shape, _AROUND)
    yield around, False
    yield _part((before & ~after) | around, place), False


def _part(mask: Mask, place: Pixel) -> Mask:
    """Return the connected part of a mask, (H, W), at a pixel; an empty one where the pixel is outside."""
    parts = ndimage.label(mask)[0]
    return np.asarray(mask & (parts == parts[place]))


def _is_flood(part: Mask, place: Pixel) -> bool:
    """Whether a part of a mask, (H, W), runs far from a pixel of it, measured by the largest disc around that."""
    (height, width), (row, column) = part.shape, place
    edge = min(row + 1, column + 1, height - row, width - column)
    largest = _squared(place, part.shape).min(where=~part, initial=edge**2)  # of the squares of its radius
    return bool(np.count_nonzero(part) > min(_SPREAD * np.pi * largest, part.size / 2))


def _disc(place: Pixel, shape: tuple[int, ...], radius: float) -> Mask:
    return np.asarray(_squared(place, shape) <= (radius * min(shape[:2])) ** 2)


def _squared(place: Pixel, shape: tuple[int, ...]) -> NDArray[np.int64]:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((rows - place.row) ** 2 + (columns - place.column) ** 2, np.int64)
