"""A logistic classifier of pixels, fitted on examples and, by expectation and maximisation, on unlabelled pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.segmenters.features import Field
from ibisagent.tools.segmenters.similar.examples import LabelledPixels
from ibisagent.tools.segmenters.similar.settings import SimilarSettings

__all__ = ["WeightedSamples", "classify", "fit_logistic", "measure_likeness", "otsu", "reclassify"]

Floats = NDArray[np.float64]
WeightedSamples = tuple[LabelledPixels, float]
"""Pixels of one label and the weight of all of them together."""

_PER_GROUP = 1500  # pixels taken of a group
_UNLABELLED = 3000
_BOUND = 8.0  # log odds beyond it count as it


def classify(numbers: Field, groups: Sequence[WeightedSamples], settings: SimilarSettings) -> Field:
    """Return the log odds of each pixel, (n,), given its ``numbers`` (n, d) and examples of both labels."""
    rng = np.random.default_rng(0)
    picked = [(_thin(samples.indices, rng), samples, weight) for samples, weight in groups if samples.indices.size]
    known = numbers[np.concatenate([some for some, _, _ in picked])].astype(np.float64)
    labels = np.concatenate([np.full(some.size, float(samples.positive)) for some, samples, _ in picked])
    weights = np.concatenate([np.full(some.size, weight / some.size) for some, _, weight in picked])
    doubtful = np.concatenate([np.full(some.size, samples.doubtful) for some, samples, _ in picked])
    fitted = fit_logistic(known, labels, weights, settings.ridge)
    if doubtful.any():
        total = weights[doubtful].sum()
        for _ in range(settings.trims):
            kept = np.where(doubtful, weights * np.clip(1.5 - 2 * _chance(known, fitted), 0.02, 1), weights)
            kept[doubtful] *= total / max(kept[doubtful].sum(), 1e-6)
            fitted = fit_logistic(known, labels, kept, settings.ridge)
            trimmed = kept
        weights = trimmed if settings.trims else weights
    fitted = _learn_from_unlabelled(numbers, (known, labels, weights), fitted, settings)
    odds = _odds(numbers, fitted)
    shift = float(np.clip(settings.threshold * otsu(odds), -3, 3))
    return np.asarray(np.clip(odds - shift, -_BOUND, _BOUND), np.float32)


def _learn_from_unlabelled(
    numbers: Field, labelled: tuple[Floats, Floats, Floats], fitted: Floats, settings: SimilarSettings
) -> Floats:
    """Refit with some of all pixels, which count for both labels by their own chance, sharpened."""
    known, labels, weights = labelled
    rng = np.random.default_rng(1)
    others = numbers[rng.choice(len(numbers), min(len(numbers), _UNLABELLED), replace=False)].astype(np.float64)
    everything = np.concatenate([known, others, others])
    truth = np.concatenate([labels, np.ones(len(others)), np.zeros(len(others))])
    total = settings.unlabelled / len(others)
    for _ in range(settings.rounds):
        chance = _chance(others, fitted)
        sharp = chance**2 / (chance**2 + (1 - chance) ** 2)
        both = np.concatenate([weights, total * sharp, total * (1 - sharp)])
        fitted = fit_logistic(everything, truth, both, settings.ridge, steps=6)
    return fitted


def _odds(numbers: Field, fitted: Floats) -> Field:
    """Return log odds, (n,), no farther from 0 than `_BOUND`."""
    odds = numbers @ fitted[:-1].astype(np.float32) + np.float32(fitted[-1])
    return np.asarray(np.clip(odds, -_BOUND, _BOUND), np.float32)


def reclassify(
    numbers: Field,
    before: Field,
    corrections: Sequence[LabelledPixels],
    alike: Field,
    weight: float,
    settings: SimilarSettings,
) -> Field:
    """Return log odds (n,) near those ``before`` (n,), but for pixels ``alike`` (n,) to the latest correction.

    The classifier is fitted anew to its own earlier answers on some of the pixels, less on those like the correction,
    to the correction's label on these, and to all corrections; ``weight``: of the last two.
    """
    rng = np.random.default_rng(0)
    parts = [part for part in (np.flatnonzero(before > 0), np.flatnonzero(before <= 0)) if part.size]
    kept = [_thin(part, rng) for part in parts]
    shares = np.concatenate([np.full(some.size, part.size / some.size) for some, part in zip(kept, parts, strict=True)])
    shares *= settings.anchor / before.size
    some = np.concatenate(kept)
    latest, like = corrections[-1], alike[some]
    seeds = [_thin(each.indices, rng) for each in corrections]
    known = numbers[np.concatenate([some, some, *seeds])].astype(np.float64)
    corrected = [np.full(seed.size, float(each.positive)) for seed, each in zip(seeds, corrections, strict=True)]
    answers = 1 / (1 + np.exp(-before[some])), np.full(some.size, float(latest.positive))
    weights = shares * (1 - like), shares * like * weight, np.full(sum(map(len, seeds)), weight * settings.seed_pixel)
    labels = np.concatenate([*answers, *corrected])
    fitted = fit_logistic(known, labels, np.concatenate(weights), settings.change_ridge)
    return _odds(numbers, fitted)


def measure_likeness(numbers: Field, example: LabelledPixels, settings: SimilarSettings) -> Field:
    """Return how much each pixel, (n,) in [0, 1], looks like those of an example by all its ``numbers`` (n, d)."""
    known = numbers[example.indices]
    spread = known.std(axis=0) + settings.likeness
    distance = (((numbers - known.mean(axis=0)) / spread) ** 2).mean(axis=1)
    return np.asarray(np.exp(-0.5 * distance), np.float32)


def _thin(indices: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    return rng.choice(indices, _PER_GROUP, replace=False) if indices.size > _PER_GROUP else indices


def _chance(numbers: Floats, fitted: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(numbers @ fitted[:-1] + fitted[-1], -20, 20))))


def fit_logistic(numbers: Floats, labels: Floats, weights: Floats, ridge: float, steps: int = 12) -> Floats:
    """Return coefficients (d + 1), the constant last, of a weighted logistic regression with an L2 penalty, by Newton.

    The constant is not penalised, but for a trace that keeps the solution finite.
    """
    design = np.concatenate([numbers, np.ones((len(numbers), 1))], axis=1)
    fitted = np.zeros(design.shape[1])
    penalty = np.full(design.shape[1], ridge)
    penalty[-1] = 1e-6
    for _ in range(steps):
        chance = _chance(numbers, fitted)
        curved = design * (weights * np.maximum(chance * (1 - chance), 1e-4))[:, None]
        slope = design.T @ (weights * (chance - labels)) + penalty * fitted
        step = np.linalg.solve(curved.T @ design + np.diag(penalty), slope)
        fitted = fitted - step
        if np.abs(step).max() < 1e-3:
            break
    return fitted


def otsu(values: Field) -> float:
    """Return the threshold that parts ``values`` into the two classes of least variance (Otsu 1979), of 128 bins.

    0 where all are equal.
    """
    if np.ptp(values) < 1e-3:
        return 0.0
    counts, edges = np.histogram(values, 128)
    centres = (edges[1:] + edges[:-1]) / 2
    share = np.cumsum(counts) / values.size
    mean = np.cumsum(counts * centres) / values.size
    between = (mean[-1] * share - mean) ** 2 / np.maximum(share * (1 - share), 1e-6)
    return float(centres[between.argmax()])
