"""What a person's prompts marked, a region each, and whether a policy's prompt spoils one of them."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import ndimage

from ibisagent.tools.clicks import Click, Pixel, Prompt, pixel_box, pixel_of
from ibisagent.tools.grids import Mask

__all__ = ["spoils"]

_SHARE = 0.1  # of a marked region that a policy may take away or fill: a trim of its edge
_AROUND = 0.02  # of the shorter side: the radius of the least that a negative click marks


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

    A box and a positive click: what it holds of the mask. A negative click: what is around it, and with that the part
    that it took out there.
    """
    if not isinstance(prompt, Click):
        top, left, bottom, right = pixel_box(prompt, after.shape)
        within = np.zeros_like(after)
        within[top : bottom + 1, left : right + 1] = True
        yield after & within, True
        return
    place = pixel_of(prompt, after.shape)
    if prompt.positive:
        yield _part(after, place), True
        return
    around = _disc(place, after.shape)
    yield around, False
    yield _part((before & ~after) | around, place), False


def _part(mask: Mask, place: Pixel) -> Mask:
    """Return the connected part of a mask, (H, W), at a pixel; an empty one where the pixel is outside."""
    parts = ndimage.label(mask)[0]
    return np.asarray(mask & (parts == parts[place]))


def _disc(place: Pixel, shape: tuple[int, ...]) -> Mask:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    squared = (rows - place.row) ** 2 + (columns - place.column) ** 2
    return np.asarray(squared <= (_AROUND * min(shape[:2])) ** 2)
