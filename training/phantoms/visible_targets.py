"""Selects the masks that can be requested: large enough, without crumbs, in view; and names them."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy import ndimage

from ibisagent.tools.imaging.grids import Mask
from ibisagent.training.phantoms.scatter import Disc

__all__ = ["MIN_AREA_SHARE", "find_absent", "keep_visible", "name_by_quadrant", "tell_lesions"]

MIN_AREA_SHARE = 0.0012
"""Share of the picture under which a target is too small to be requested."""


def keep_visible(masks: Mapping[str, Mask], view: Mask | None = None, *, crumb: int = 5) -> dict[str, Mask]:
    """Keep of each mask what lies in ``view``, without crumbs; drop the masks too small to be requested.

    A crumb is too small to be requested by itself and less than 1 / ``crumb`` of the largest piece.
    """
    kept = {}
    for name, mask in masks.items():
        mask = mask if view is None else mask & view
        pieces, count = ndimage.label(mask)
        if count > 1:
            areas = np.bincount(pieces.ravel())
            areas[0] = 0
            mask = (areas >= min(areas.max() / crumb, MIN_AREA_SHARE * mask.size))[pieces]
        if mask.mean() >= MIN_AREA_SHARE:
            kept[name] = mask
    return kept


def find_absent(names: Iterable[str], masks: Mapping[str, Mask], view: Mask | None = None) -> tuple[str, ...]:
    """Return the names with no pixel in ``view``; those only too small to be requested are not among them."""
    return tuple(
        name for name in names if name not in masks or not (masks[name] if view is None else masks[name] & view).any()
    )


def tell_lesions(
    names: Iterable[str], masks: Mapping[str, Mask], absent: Iterable[str], *, other: bool = False
) -> tuple[str, ...]:
    """Return ``names`` where each is either visible or absent, else none: what is abnormal could not be told truly.

    ``other``: whether the picture shows something abnormal besides, which no name stands for.
    """
    known = {*masks, *absent}
    lesions = tuple(names)
    return () if other or not known.issuperset(lesions) else lesions


def name_by_quadrant(masks: Sequence[Mask], discs: Sequence[Disc], noun: str) -> dict[str, Mask]:
    """Name each mask that has a quarter of the picture to itself and, by its disc, lies in no other.

    >>> list(name_by_quadrant([np.ones((4, 4), bool)], [(0.5, -0.5, 0.3)], "gland"))
    ['upper right gland']
    """
    quarters: dict[str, list[int]] = {}
    for index, (x, y, _) in enumerate(discs):
        quarters.setdefault(f"{'upper' if y < 0 else 'lower'} {'left' if x < 0 else 'right'} {noun}", []).append(index)
    alone = {name: found[0] for name, found in quarters.items() if len(found) == 1}
    return {name: masks[one] for name, one in alone.items() if min(map(abs, discs[one][:2])) > discs[one][2]}
