"""All pixels like the examples: one map of log odds for the picture, a global cut, and corrections that spoil nothing.

A later example moves the classifier away from its own earlier answers no further than needed: its weight rises until
all examples are obeyed. Where that would change too much, the example is obeyed around itself alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ibisagent.tools.clicks import Pixel
from ibisagent.tools.segmenters.base import Mask
from ibisagent.tools.segmenters.click_evidence import measure_correction
from ibisagent.tools.segmenters.features import Field
from ibisagent.tools.segmenters.maxflow import min_cut
from ibisagent.tools.segmenters.similar.appearance import Appearance
from ibisagent.tools.segmenters.similar.classifier import classify, measure_likeness, reclassify
from ibisagent.tools.segmenters.similar.examples import (
    ExampleMap,
    LabelledPixels,
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
    corrections: tuple[LabelledPixels, ...]


def find_first(appearance: Appearance, examples: Sequence[GridClick], settings: SimilarSettings) -> Union:
    """Fit the classifier on the last example, the first positive one, with its surroundings, and on negative ones."""
    pixel, _ = examples[-1]
    shape = appearance.grid.work
    corrections = tuple(
        sample_correction(_map(appearance, each, settings), each, positive, shape, settings.seed_radius, settings)
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
    """Correct ``before`` by the last of the examples.

    A click in the middle of what is wrong tells how much of an object is: one near the contour is obeyed there alone.
    """
    pixel, positive = examples[-1]
    gap = measure_correction(examples[-1], before.mask)
    reach = max(1.0, settings.reach * gap)
    latest = sample_correction(_map(appearance, pixel, settings), pixel, positive, before.odds.shape, reach, settings)
    corrections = (*before.corrections, latest)
    areas = [_map(appearance, each.pixel, settings).area for each in examples if each.positive]
    if gap > settings.shallow * float(np.sqrt(np.median(areas) / np.pi)):
        odds = _learn(appearance, corrections, before.odds, settings)
        if odds is not None:
            return Union(odds, _cut(appearance, odds, examples, settings), corrections)
    odds = _settle_here(_map(appearance, pixel, settings), examples[-1], before.odds, 1.5 * gap)
    return Union(odds, _cut(appearance, odds, examples, settings), before.corrections)


def _learn(
    appearance: Appearance, corrections: Sequence[LabelledPixels], before: Field, settings: SimilarSettings
) -> Field | None:
    """Return the map, (h, w), that changes least and obeys the latest correction; None where none is near enough.

    A correction is obeyed where most of its pixels are; earlier ones that were obeyed ``before`` still are.
    """
    *earlier, latest = corrections
    held = [each for each in earlier if _share(before, each) > 0.5]
    alike = measure_likeness(appearance.numbers, latest, settings)
    for weight in settings.weights:
        odds = reclassify(appearance.numbers, before.ravel(), corrections, alike, weight, settings)
        odds = odds.reshape(before.shape)
        obeyed = all(_share(odds, each) > 0.5 for each in (latest, *held))
        if obeyed and _is_moderate(odds, before, latest.positive, settings):
            return odds
    return None


def _share(odds: Field, correction: LabelledPixels) -> float:
    return float(((odds.ravel()[correction.indices] > 0) == correction.positive).mean())


def _is_moderate(odds: Field, before: Field, positive: bool, settings: SimilarSettings) -> bool:
    """Whether a map changes little enough, and nearly all of it in the direction of the last example."""
    old, new = before > 0, odds > 0
    gained, lost, size = int((new & ~old).sum()), int((old & ~new).sum()), int(old.sum()) + 1
    along, against = (gained, lost) if positive else (lost, gained)
    bound = settings.most_growth if positive else settings.most_loss
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
    return min_cut(unary, appearance.weights)


def _settle_here(found: ExampleMap, example: GridClick, odds: Field, reach: float) -> Field:
    """Obey an example around itself alone: in its object, no farther than ``reach``."""
    pixel, positive = example
    rows, columns = np.ogrid[: odds.shape[0], : odds.shape[1]]
    near = np.hypot(rows - pixel.row, columns - pixel.column) <= reach
    here = near & found.place(found.distances <= 1, odds.shape)
    return np.where(here, np.maximum(odds, 1) if positive else np.minimum(odds, -1), odds)
