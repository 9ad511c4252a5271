"""All pixels like the examples: one map of log odds for the picture, a global cut, and corrections that spoil nothing.

A later example moves the classifier away from its own earlier answers no further than needed: its weight rises until
all examples are obeyed. Where that would change too much, the example is obeyed around itself alone.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from ibisagent.tools.clicks import Pixel
from ibisagent.tools.segmenters.base import Mask
from ibisagent.tools.segmenters.click_evidence import measure_correction
from ibisagent.tools.segmenters.features import Field
from ibisagent.tools.segmenters.maxflow import min_cut
from ibisagent.tools.segmenters.similar.appearance import Appearance
from ibisagent.tools.segmenters.similar.classifier import classify, reclassify
from ibisagent.tools.segmenters.similar.examples import (
    ExampleMap,
    Samples,
    map_example,
    sample_correction,
    sample_object,
)
from ibisagent.tools.segmenters.similar.settings import SimilarSettings
from ibisagent.tools.segmenters.working_grid import GridClick

__all__ = ["Union", "add_example", "find_first"]

_CERTAIN = 60.0


class Union(NamedTuple):
    """``odds`` (h, w): log odds of the classifier; ``mask`` (h, w): what is cut from them.

    ``corrections``: what the examples but the first positive one speak for.
    """

    odds: Field
    mask: Mask
    corrections: tuple[Samples, ...]


def find_first(appearance: Appearance, examples: Sequence[GridClick], settings: SimilarSettings) -> Union:
    """Fit the classifier on the last example, the first positive one, with its surroundings, and on negative ones."""
    pixel, _ = examples[-1]
    shape = appearance.grid.work
    corrections = tuple(
        sample_correction(_map(appearance, each, settings), each, positive, shape, settings.seed_radius)
        for each, positive in examples[:-1]
    )
    groups = [(samples, settings.seed_weight) for samples in corrections]
    groups += [
        (samples, 100 * min(1.0, samples.indices.size / 60) ** 0.5)
        for samples in sample_object(_map(appearance, pixel, settings), shape, settings)
    ]
    odds = classify(appearance.numbers, groups, settings).reshape(shape)
    return Union(odds, _cut(appearance, odds, examples, settings), corrections)


def add_example(
    appearance: Appearance, examples: Sequence[GridClick], before: Union, settings: SimilarSettings
) -> Union:
    """Correct ``before`` by the last of the examples."""
    pixel, positive = examples[-1]
    reach = max(1.0, settings.reach * measure_correction(examples[-1], before.mask))
    latest = sample_correction(_map(appearance, pixel, settings), pixel, positive, before.odds.shape, reach)
    corrections = (*before.corrections, latest)
    for odds in _propose(appearance, corrections, before.odds, settings):
        if _obeys(odds, before.odds, corrections) and _is_moderate(odds, before.odds, positive, settings):
            return Union(odds, _cut(appearance, odds, examples, settings), corrections)
    mask = _cut(appearance, before.odds, examples, settings)
    return _settle_here(appearance, examples, Union(before.odds, mask, corrections), settings)


def _propose(
    appearance: Appearance, corrections: Sequence[Samples], before: Field, settings: SimilarSettings
) -> Iterator[Field]:
    """Yield maps, (h, w), that follow the examples more and more."""
    yield before
    for weight in settings.weights:
        groups = [(samples, weight * samples.indices.size) for samples in corrections]
        yield reclassify(appearance.numbers, before.ravel(), groups, settings).reshape(before.shape)


def _obeys(odds: Field, before: Field, corrections: Sequence[Samples]) -> bool:
    """Whether a map obeys the latest correction, and each earlier one that was obeyed ``before``."""
    *earlier, latest = corrections
    return _share(odds, latest) > 0.5 and all(
        _share(odds, each) > 0.5 for each in earlier if _share(before, each) > 0.5
    )


def _share(odds: Field, correction: Samples) -> float:
    return float(((odds.ravel()[correction.indices] > 0) == correction.positive).mean())


def _is_moderate(odds: Field, before: Field, positive: bool, settings: SimilarSettings) -> bool:
    """Whether a map changes little enough, and nearly all of it in the direction of the last example."""
    old, new = before > 0, odds > 0
    gained, lost, size = int((new & ~old).sum()), int((old & ~new).sum()), int(old.sum()) + 1
    along, against = (gained, lost) if positive else (lost, gained)
    bound = settings.most_growth if positive else 0.8
    return along <= bound * size and against <= settings.against * size


def _map(appearance: Appearance, pixel: Pixel, settings: SimilarSettings) -> ExampleMap:
    made: ExampleMap = appearance.features.memo.get((pixel, settings), lambda: map_example(appearance, pixel, settings))
    return made


def _cut(appearance: Appearance, odds: Field, examples: Sequence[GridClick], settings: SimilarSettings) -> Mask:
    unary = np.clip(odds * settings.scale, -settings.bound, settings.bound)
    rows, columns = np.ogrid[: odds.shape[0], : odds.shape[1]]
    for pixel, positive in examples:
        disc = (rows - pixel.row) ** 2 + (columns - pixel.column) ** 2 <= settings.disc**2
        unary[disc] = _CERTAIN if positive else -_CERTAIN
    return min_cut(unary, appearance.right, appearance.down)


def _settle_here(
    appearance: Appearance, examples: Sequence[GridClick], union: Union, settings: SimilarSettings
) -> Union:
    """Obey the last example around itself alone, where the classifier cannot learn it."""
    pixel, positive = examples[-1]
    odds, mask = union.odds, union.mask
    found = _map(appearance, pixel, settings)
    usual = float(np.median([_map(appearance, each.pixel, settings).area for each in examples if each.positive]))
    here = found.place(found.distances <= 0.9, odds.shape)
    if positive:
        changed = here if found.area < 4 * usual else np.zeros_like(mask)
    else:
        parts, _ = ndimage.label(mask)
        rows, columns = np.ogrid[: odds.shape[0], : odds.shape[1]]
        near = np.hypot(rows - pixel.row, columns - pixel.column)
        around = parts[max(0, pixel.row - 3) : pixel.row + 4, max(0, pixel.column - 3) : pixel.column + 4]
        changed = (parts == (parts[pixel] or around.max())) & mask & (here | (near < 6))
    limited = np.maximum(odds, 1) if positive else np.minimum(odds, -1)
    changed_mask = mask | changed if positive else mask & ~changed
    return Union(np.where(changed, limited, odds), changed_mask, union.corrections)
