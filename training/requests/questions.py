"""Reasoning requests: the target has to be inferred, as its name is not given."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Template

import numpy as np
from scipy import ndimage

from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.vocabulary.words import VOCABULARY, verb_of

__all__ = ["ABNORMALITY", "ReasoningRequest", "build_reasoning_requests", "is_description"]

ABNORMALITY = "abnormality"
"""The target of a request for anything abnormal, where nothing is."""

_SIZE_RATIO = 1.25
_TOUCHING = np.ones((3, 3), dtype=np.bool_)
_SIDES = ("left", "right")
_COMPARISON = re.compile("(?:larger|smaller) of the two .+|nucleus that is larger than all others")


@dataclass(frozen=True, slots=True)
class ReasoningRequest:
    """A request, the target that answers it, whether it is there, and whether places far apart must be compared."""

    request: str
    target: str
    present: bool = True
    comparison: bool = False


def build_reasoning_requests(
    modality: str,
    masks: Mapping[str, Mask],
    absent: Sequence[str],
    lesions: Sequence[str],
    rng: np.random.Generator,
) -> list[ReasoningRequest]:
    """Return every reasoning request that has one answer in a picture, each in a wording drawn from ``rng``.

    ``modality`` names the picture in the request where it is one of ours. ``masks``: (H, W) bool, by target;
    ``absent``: looked for in such a picture and not in it; ``lesions``: the names among both that are abnormal.
    Sizes are compared only where they differ by a quarter or more.
    """
    return [
        *_build_abnormality_requests(VOCABULARY.image_names.get(modality, "picture"), masks, absent, lesions, rng),
        *_build_description_requests(masks, absent, rng),
        *(
            ReasoningRequest(_fill_template(what, target, rng), target, comparison=True)
            for what, target in _compare_sizes(masks)
        ),
    ]


def is_description(phrase: str) -> bool:
    """Whether a phrase is one of those here that describe a target without its name."""
    return any(phrase in some for some in VOCABULARY.descriptions.values()) or bool(_COMPARISON.fullmatch(phrase))


def _build_abnormality_requests(
    picture: str, masks: Mapping[str, Mask], absent: Sequence[str], lesions: Sequence[str], rng: np.random.Generator
) -> Iterator[ReasoningRequest]:
    found = [name for name in lesions if name in masks]
    if len(found) > 1 or not (found or set(lesions) & set(absent)):
        return
    request = Template(_choose(VOCABULARY.templates["abnormal"], rng)).substitute(picture=picture)
    yield ReasoningRequest(request, found[0] if found else ABNORMALITY, bool(found))


def _build_description_requests(
    masks: Mapping[str, Mask], absent: Sequence[str], rng: np.random.Generator
) -> Iterator[ReasoningRequest]:
    for target in (*masks, *absent):
        if target in VOCABULARY.descriptions:
            yield ReasoningRequest(
                _fill_template(_choose(VOCABULARY.descriptions[target], rng), target, rng), target, target in masks
            )


def _compare_sizes(masks: Mapping[str, Mask]) -> Iterator[tuple[str, str]]:
    """Yield descriptions by size and the targets that they fit."""
    organs = [name.removeprefix("left ") for name in masks if name.startswith("left ")]
    for organ in organs:
        small, large = sorted((f"{side} {organ}" for side in _SIDES), key=lambda name: _area(masks.get(name)))
        if 0 < _SIZE_RATIO * _area(masks.get(small)) <= _area(masks[large]):
            yield f"larger of the two {organ}s", large
            yield f"smaller of the two {organ}s", small
    if (
        "largest nucleus" in masks
        and "nuclei" in masks
        and _is_clearly_largest(masks["largest nucleus"], masks["nuclei"])
    ):
        yield "nucleus that is larger than all others", "largest nucleus"


def _is_clearly_largest(largest: Mask, all_of_them: Mask) -> bool:
    labels, count = ndimage.label(all_of_them & ~largest, _TOUCHING)
    return count > 0 and _SIZE_RATIO * int(np.bincount(labels.ravel())[1:].max()) <= _area(largest)


def _area(mask: Mask | None) -> int:
    return 0 if mask is None else int(np.count_nonzero(mask))


def _fill_template(what: str, target: str, rng: np.random.Generator) -> str:
    template = Template(_choose(VOCABULARY.templates["described"], rng))
    return template.substitute({"what": f"the {what}", "is": verb_of(target)})


def _choose(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
