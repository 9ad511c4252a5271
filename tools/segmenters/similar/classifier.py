"""A logistic classifier of pixels, fitted on examples and, by expectation and maximisation, on unlabelled pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.segmenters.features import Field
from ibisagent.tools.segmenters.similar.examples import Samples
from ibisagent.tools.segmenters.similar.settings import SimilarSettings

__all__ = ["WeightedSamples", "classify", "fit_logistic", "otsu", "reclassify"]

Floats = NDArray[np.float64]
WeightedSamples = tuple[Samples, float]
"""Pixels of one label and the weight of all of them together."""

_PER_GROUP = 1500  # pixels taken of a group
_UNLABELLED = 3000
_BOUND = 8.0  # log odds beyond it count as it


def classify(numbers: Field, groups: Sequence[WeightedSamples], settings: SimilarSettings) -> Field:
    """Return the log odds of each pixel, (n,), given its ``numbers`` (n, d) and examples of both labels."""
    rng = np.random.default_rng(0)
    picked = [(_thin(samples.indices, rng), samples, weight) for samples, weight in groups if samples.indices.size]
    indices = np.concatenate([some for some, _, _ in picked])
    labels = np.concatenate([np.full(some.size, float(samples.positive)) for some, samples, _ in picked])
    weights = np.concatenate([np.full(some.size, weight / some.size) for some, _, weight in picked])
    doubtful = np.concatenate([np.full(some.size, samples.doubtful) for some, samples, _ in picked])
    known = numbers[indices].astype(np.float64)
    fitted = fit_logistic(known, labels, weights, settings.ridge)
    for _ in range(settings.trims if doubtful.any() else 0):
        kept = np.where(doubtful, weights * np.clip(1.5 - 2 * _chance(known, fitted), 0.02, 1), weights)
        kept[doubtful] *= weights[doubtful].sum() / max(kept[doubtful].sum(), 1e-6)
        fitted = fit_logistic(known, labels, kept, settings.ridge)
        final = kept
    weights = final if doubtful.any() and settings.trims else weights
    others = numbers[rng.choice(len(numbers), min(len(numbers), _UNLABELLED), replace=False)].astype(np.float64)
    everything = np.concatenate([known, others, others])
    truth = np.concatenate([labels, np.ones(len(others)), np.zeros(len(others))])
    total = settings.unlabelled * 400 / len(others)
    for _ in range(settings.rounds):
        chance = _chance(others, fitted)
        sharp = chance**2 / (chance**2 + (1 - chance) ** 2)
        both = np.concatenate([weights, total * sharp, total * (1 - sharp)])
        fitted = fit_logistic(everything, truth, both, settings.ridge, steps=6)
    odds = numbers @ fitted[:-1].astype(np.float32) + np.float32(fitted[-1])
    shift = np.clip(otsu(np.clip(odds, -_BOUND, _BOUND)), -3, 3)
    return np.asarray(np.clip(odds - settings.threshold * shift, -_BOUND, _BOUND), np.float32)


def reclassify(numbers: Field, before: Field, groups: Sequence[WeightedSamples], settings: SimilarSettings) -> Field:
    """Return log odds (n,) near those ``before`` (n,), moved by further examples as far as their weights ask for.

    The classifier is fitted anew to its own earlier answers on some of the pixels, and to the examples.
    """
    rng = np.random.default_rng(0)
    inside, outside = np.flatnonzero(before > 0), np.flatnonzero(before <= 0)
    kept = [_thin(part, rng) for part in (inside, outside) if part.size]
    parts = [part.size for part in (inside, outside) if part.size]
    picked = [(_thin(samples.indices, rng), samples, weight) for samples, weight in groups if samples.indices.size]
    indices = np.concatenate([*kept, *(some for some, _, _ in picked)])
    known = np.concatenate(kept)
    labels = np.concatenate(
        [
            1 / (1 + np.exp(-before[known])),
            *(np.full(some.size, float(samples.positive)) for some, samples, _ in picked),
        ]
    )
    weights = np.concatenate(
        [
            *(
                np.full(some.size, settings.anchor * part / before.size / some.size)
                for some, part in zip(kept, parts, strict=True)
            ),
            *(np.full(some.size, weight / some.size) for some, _, weight in picked),
        ]
    )
    fitted = fit_logistic(numbers[indices].astype(np.float64), labels, weights, settings.change_ridge)
    odds = numbers @ fitted[:-1].astype(np.float32) + np.float32(fitted[-1])
    return np.asarray(np.clip(odds, -_BOUND, _BOUND), np.float32)


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
    """Return the threshold that parts ``values`` into the two classes of least variance (Otsu 1979), of 128 bins."""
    counts, edges = np.histogram(values, 128)
    centres = (edges[1:] + edges[:-1]) / 2
    share = np.cumsum(counts) / values.size
    mean = np.cumsum(counts * centres) / values.size
    between = (mean[-1] * share - mean) ** 2 / np.maximum(share * (1 - share), 1e-6)
    return float(centres[between.argmax()])
