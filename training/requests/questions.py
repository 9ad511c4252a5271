"""Reasoning requests: what is asked for has to be worked out, as the target's name is not said."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Template

import numpy as np
from scipy import ndimage

from ibisagent.tools.imaging.grids import Mask
from ibisagent.training.requests.words import TARGETS, verb_of

__all__ = ["ABNORMALITY", "Question", "questions"]

ABNORMALITY = "abnormality"
"""The target of the question whether anything is wrong, where nothing is."""

_CLEAR = 1.25
_TOUCHING = np.ones((3, 3), dtype=np.bool_)
_SIDES = ("left", "right")


@dataclass(frozen=True, slots=True)
class Question:
    """A request, the target that answers it, whether it is there, and whether places far apart must be compared."""

    request: str
    target: str
    present: bool = True
    comparison: bool = False


def questions(
    modality: str,
    masks: Mapping[str, Mask],
    absent: Sequence[str],
    lesions: Sequence[str],
    rng: np.random.Generator,
) -> list[Question]:
    """Give every question of ours that has one answer in a picture, each in a wording drawn from ``rng``.

    ``modality`` names the picture in the question where it is one of ours. ``masks``: (H, W) bool, by target;
    ``absent``: looked for in such a picture and not in it; ``lesions``: the names among both that are abnormal.
    Sizes are compared only where they differ by a quarter or more.
    """
    return [
        *_abnormal(TARGETS.pictures.get(modality, "picture"), masks, absent, lesions, rng),
        *_described(masks, absent, rng),
        *(Question(_asked(what, target, rng), target, comparison=True) for what, target in _compared(masks)),
    ]


def _abnormal(
    picture: str, masks: Mapping[str, Mask], absent: Sequence[str], lesions: Sequence[str], rng: np.random.Generator
) -> Iterator[Question]:
    found = [name for name in lesions if name in masks]
    if len(found) > 1 or not (found or set(lesions) & set(absent)):
        return
    request = Template(_drawn(TARGETS.asking["abnormal"], rng)).substitute(picture=picture)
    yield Question(request, found[0] if found else ABNORMALITY, bool(found))


def _described(masks: Mapping[str, Mask], absent: Sequence[str], rng: np.random.Generator) -> Iterator[Question]:
    for target in (*masks, *absent):
        if target in TARGETS.described:
            yield Question(_asked(_drawn(TARGETS.described[target], rng), target, rng), target, target in masks)


def _compared(masks: Mapping[str, Mask]) -> Iterator[tuple[str, str]]:
    """Give descriptions by size and the targets that they fit."""
    organs = [name.removeprefix("left ") for name in masks if name.startswith("left ")]
    for organ in organs:
        small, large = sorted((f"{side} {organ}" for side in _SIDES), key=lambda name: _area(masks.get(name)))
        if 0 < _CLEAR * _area(masks.get(small)) <= _area(masks[large]):
            yield f"larger of the two {organ}s", large
            yield f"smaller of the two {organ}s", small
    if "largest nucleus" in masks and "nuclei" in masks and _stands_out(masks["largest nucleus"], masks["nuclei"]):
        yield "nucleus that is larger than all others", "largest nucleus"


def _stands_out(largest: Mask, all_of_them: Mask) -> bool:
    labels, count = ndimage.label(all_of_them & ~largest, _TOUCHING)
    return count > 0 and _CLEAR * int(np.bincount(labels.ravel())[1:].max()) <= _area(largest)


def _area(mask: Mask | None) -> int:
    return 0 if mask is None else int(np.count_nonzero(mask))


def _asked(what: str, target: str, rng: np.random.Generator) -> str:
    template = Template(_drawn(TARGETS.asking["described"], rng))
    return template.substitute({"what": f"the {what}", "is": verb_of(target)})


def _drawn(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
