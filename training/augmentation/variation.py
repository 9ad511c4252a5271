"""The variations of a picture that a scanner, its operator or an exporter would make, drawn at random."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.perturbations.picture_shifts import apply_shift
from ibisagent.training.augmentation.geometry import Picture, crop, fit, turn_by

__all__ = ["LOOKS", "MOVES", "PictureChange", "find_forbidden_moves", "vary"]

_SIDE = re.compile(r"(?<![a-z])(left|right|lt|rt|l|r)(?![a-z0-9])", re.IGNORECASE)
_PLACE = re.compile(r"(?<![a-z])(upper|lower|top|bottom|(larg|bigg|small)(er|est))(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PictureChange:
    """How often a change is made, and the range from which its level is drawn evenly."""

    probability: float
    lowest: float
    highest: float


MOVES: Mapping[str, PictureChange] = {
    "rotation": PictureChange(0.5, 1, 12),
    "crop": PictureChange(0.75, 0.7, 1),
    "flip": PictureChange(0.5, 1, 1),
}
"""What moves the targets, in the order in which it is done: degrees to either side; share of each side that is left;
left and right exchanged."""

LOOKS: Mapping[str, PictureChange] = {
    "gamma": PictureChange(0.35, 1.05, 1.6),
    "contrast": PictureChange(0.25, 0.6, 0.95),
    "window": PictureChange(0.25, 0.65, 0.95),
    "blur": PictureChange(0.2, 0.3, 1.3),
    "down-sampling": PictureChange(0.15, 1.2, 2.2),
    "noise": PictureChange(0.25, 2, 16),
    "text": PictureChange(0.04, 1, 3.99),
    "jpeg": PictureChange(0.3, 25, 90),
}
"""What leaves the targets in their place, in this order, after the picture has its size: kinds and units of
`ibisagent.tools.perturbations.picture_shifts.SHIFTS`."""


def find_forbidden_moves(texts: Iterable[str], may_flip: bool) -> frozenset[str]:
    """Return which of `MOVES` would make the targets or requests of a picture untrue.

    No flip where one names a side, no move at all where one names a place in the picture or compares sizes: the largest
    nucleus may be cut off.

    >>> sorted(find_forbidden_moves(["left kidney"], may_flip=True))
    ['flip']
    >>> sorted(find_forbidden_moves(["largest nucleus"], may_flip=True))
    ['crop', 'flip', 'rotation']
    """
    said = " ".join(texts)
    if _PLACE.search(said):
        return frozenset(MOVES)
    return frozenset() if may_flip and not _SIDE.search(said) else frozenset({"flip"})


def vary(picture: Picture, longest: int, forbidden: frozenset[str], rng: np.random.Generator) -> Picture:
    """Return a picture with its masks as another acquisition or export would show them, ``longest`` pixels at most.

    Every change draws from numbers of its own: one that is ``forbidden`` does not change the others.
    """
    whole = picture[1]
    for kind, change in MOVES.items():
        own = rng.spawn(1)[0]
        if own.random() < change.probability and kind not in forbidden:
            picture = _move(kind, change, picture, whole, own)
    picture = fit(picture, longest)
    for kind, change in LOOKS.items():
        own = rng.spawn(1)[0]
        if own.random() < change.probability:
            level = own.uniform(change.lowest, change.highest)
            picture = apply_shift(kind, level, *picture, own)
    return picture


def _move(
    kind: str, change: PictureChange, picture: Picture, whole: Sequence[Mask], rng: np.random.Generator
) -> Picture:
    if kind == "crop":
        return crop(picture, (change.lowest, change.highest), whole, rng)
    level = rng.uniform(change.lowest, change.highest)
    return turn_by(picture, level, rng) if kind == "rotation" else apply_shift(kind, level, *picture, rng)
