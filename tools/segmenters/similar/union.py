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
from ibisagent.tools.segmenters.features import Field
from ibisagent.tools.segmenters.maxflow import min_cut
from ibisagent.tools.segmenters.similar.appearance import Appearance
from ibisagent.tools.segmenters.similar.classifier import WeightedSamples, classify, reclassify
from ibisagent.tools.segmenters.similar.examples import ExampleMap, map_example, sample_correction, sample_object
from ibisagent.tools.segmenters.similar.settings import SimilarSettings
from ibisagent.tools.segmenters.working_grid import GridClick

__all__ = ["Union", "add_example", "find_first"]

_CERTAIN = 60.0


class Union(NamedTuple):
    """``odds`` (h, w): log odds of the classifier; ``mask`` (h, w): what is cut from them."""

    odds: Field
    mask: Mask


def find_first(appearance: Appearance, examples: Sequence[GridClick], settings: SimilarSettings) -> Union:
    """Fit the classifier on all examples at once; the first positive one gives its object and its surroundings."""
    odds = _fit(appearance, examples, settings.seed_weight, settings)
    return Union(odds, _cut(appearance, odds, examples, settings))


def add_example(
    appearance: Appearance, examples: Sequence[GridClick], before: Union, settings: SimilarSettings
) -> Union:
    """Correct ``before`` by the last of the examples."""
    pixel, positive = examples[-1]
    for odds in _propose(appearance, examples, before.odds, settings):
        if _obeys(odds, examples) and _is_moderate(odds, before.odds, positive, settings):
            return Union(odds, _cut(appearance, odds, examples, settings))
    mask = _cut(appearance, before.odds, examples, settings)
    return _settle_here(appearance, examples, before.odds, mask, settings)


def _propose(
    appearance: Appearance, examples: Sequence[GridClick], before: Field, settings: SimilarSettings
) -> Iterator[Field]:
    """Yield maps, (h, w), that follow the examples more and more."""
    yield before
    shape = before.shape
    first = next(index for index, example in enumerate(examples) if example.positive)
    seeds = [
        sample_correction(_map(appearance, pixel, settings), pixel, positive, shape, settings)
        for index, (pixel, positive) in enumerate(examples)
        if index != first
    ]
    for weight in settings.weights:
        groups = [(samples, weight) for samples in seeds]
        yield reclassify(appearance.numbers, before.ravel(), groups, settings).reshape(shape)


def _obeys(odds: Field, examples: Sequence[GridClick]) -> bool:
    smooth = ndimage.uniform_filter(odds, 3)
    return all((smooth[pixel] > 0) == positive for pixel, positive in examples)


def _is_moderate(odds: Field, before: Field, positive: bool, settings: SimilarSettings) -> bool:
    """Whether a map changes little enough, and nearly all of it in the direction of the last example."""
    old, new = before > 0, odds > 0
    gained, lost, size = int((new & ~old).sum()), int((old & ~new).sum()), int(old.sum()) + 1
    along, against = (gained, lost) if positive else (lost, gained)
    bound = settings.most_growth if positive else 0.8
    return along <= bound * size and against <= settings.against * size


def _fit(appearance: Appearance, examples: Sequence[GridClick], weight: float, settings: SimilarSettings) -> Field:
    """Fit the classifier; ``weight``: of each other example beside the 100 of the first one."""
    shape = appearance.grid.work
    groups: list[WeightedSamples] = []
    first = next(index for index, example in enumerate(examples) if example.positive)
    for index, (pixel, positive) in enumerate(examples):
        found = _map(appearance, pixel, settings)
        if index == first:
            groups += [
                (samples, 100 * min(1.0, samples.indices.size / 60) ** 0.5)
                for samples in sample_object(found, shape, settings)
            ]
        else:
            groups.append((sample_correction(found, pixel, positive, shape, settings), weight))
    return classify(appearance.numbers, groups, settings).reshape(shape)


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
    appearance: Appearance, examples: Sequence[GridClick], odds: Field, mask: Mask, settings: SimilarSettings
) -> Union:
    """Obey the last example around itself alone, where the classifier cannot learn it."""
    pixel, positive = examples[-1]
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
    return Union(np.where(changed, limited, odds), mask | changed if positive else mask & ~changed)
