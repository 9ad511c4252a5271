"""All pixels like the examples: one map of log odds for the picture, a global cut, and corrections that spoil nothing.

A later example may be obeyed in several ways: the map so far, a shift of it, or the classifier fitted anew with the
example at several weights. The map that changes least and obeys all examples wins.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from ibisagent.tools.clicks import Pixel
from ibisagent.tools.segmenters.base import Mask
from ibisagent.tools.segmenters.features import Field
from ibisagent.tools.segmenters.maxflow import min_cut
from ibisagent.tools.segmenters.similar.appearance import Appearance
from ibisagent.tools.segmenters.similar.classifier import WeightedSamples, classify
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
    odds = _fit(appearance, examples, settings.weights[1], settings)
    return Union(odds, _cut(appearance, odds, examples, settings))


def add_example(
    appearance: Appearance, examples: Sequence[GridClick], before: Union, settings: SimilarSettings
) -> Union:
    """Correct ``before`` by the last of the examples."""
    odds = min(
        _propose(appearance, examples, before.odds, settings),
        key=lambda proposal: _cost(proposal, before.odds, examples),
    )[0]
    mask = _cut(appearance, odds, examples, settings)
    pixel, positive = examples[-1]
    if (odds[pixel] > 0) == positive:
        return Union(odds, mask)
    return _settle_here(appearance, examples, odds, mask, settings)


def _propose(
    appearance: Appearance, examples: Sequence[GridClick], odds: Field, settings: SimilarSettings
) -> list[tuple[Field, float]]:
    """Return maps that may obey the last example, each with a penalty."""
    pixel, positive = examples[-1]
    seed = sample_correction(_map(appearance, pixel, settings), pixel, positive, odds.shape, settings)
    lacking = float((0.3 if positive else -0.3) - np.median(odds.ravel()[seed.indices]))
    proposals = [(odds, 0.0)]
    if (lacking > 0) == positive:
        proposals.append((np.clip(odds + np.clip(np.float32(lacking), -6, 6), -8, 8), 0.15))
    return proposals + [(_fit(appearance, examples, weight, settings), 0.05) for weight in settings.weights]


def _cost(proposal: tuple[Field, float], before: Field, examples: Sequence[GridClick]) -> float:
    """Weigh what a map disobeys against how much it changes, twice where that is against the last example."""
    odds, penalty = proposal
    smooth = ndimage.uniform_filter(odds, 3)
    obeyed = sum((smooth[pixel] > 0) == positive for pixel, positive in examples)
    old, new = float((before > 0).mean()) + 1e-4, float((odds > 0).mean()) + 1e-4
    change = float(np.log(new / old))
    against = max(0.0, -change if examples[-1].positive else change)
    flood = 2.0 if new > 0.7 and old < 0.6 else 0.0
    return 0.6 * abs(change) + 0.6 * against + penalty + flood - obeyed


def _fit(appearance: Appearance, examples: Sequence[GridClick], weight: float, settings: SimilarSettings) -> Field:
    """Fit the classifier; ``weight``: of a correcting example beside the first one's."""
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
            groups.append((sample_correction(found, pixel, positive, shape, settings), 100 * weight))
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
