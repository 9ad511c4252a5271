"""Calibration of a segmenter's own score against the true IoU."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ibisagent.tools.errors import InputError

__all__ = ["Calibration", "CalibrationBin", "calibration"]

Floats = NDArray[np.float64]


class CalibrationBin(NamedTuple):
    """Scores from ``low`` up to ``high``: how many, and the mean score and true IoU among them."""

    low: float
    high: float
    n: int
    score: float
    iou: float


class Calibration(NamedTuple):
    """How far a segmenter's score is from the true IoU over ``n`` cases; ``missing`` ones had no score.

    ``bias`` is score minus IoU, positive for an overconfident segmenter; ``ece`` is the expected calibration error,
    |mean score - mean IoU| over bins weighted by their cases; ``spearman`` is None when scores or IoUs are all equal.
    """

    n: int
    missing: int
    mae: float | None
    bias: float | None
    ece: float | None
    spearman: float | None
    bins: tuple[CalibrationBin, ...]


def calibration(scores: Sequence[float | None], ious: Sequence[float], bins: int = 10) -> Calibration:
    """Compare a segmenter's scores with the true IoUs of the same masks; None and nan scores are missing.

    ``bins`` of equal width from 0 to 1, the outer two unbounded; empty ones are left out.
    """
    if len(scores) != len(ious):
        raise InputError(f"got {len(scores)} scores for {len(ious)} IoUs, expected one each; give None where unknown")
    given = np.asarray(scores, dtype=np.float64)
    known = np.isfinite(given)
    score, true = given[known], np.asarray(ious, dtype=np.float64)[known]
    n, missing = score.size, int((~known).sum())
    if not n:
        return Calibration(0, missing, None, None, None, None, ())
    filled = _bins(score, true, bins)
    varied = len(set(score)) > 1 and len(set(true)) > 1
    return Calibration(
        n=n,
        missing=missing,
        mae=float(np.abs(score - true).mean()),
        bias=float((score - true).mean()),
        ece=sum(part.n * abs(part.score - part.iou) for part in filled) / n,
        spearman=float(spearmanr(score, true).statistic) if varied else None,
        bins=filled,
    )


def _bins(score: Floats, true: Floats, bins: int) -> tuple[CalibrationBin, ...]:
    edges = np.arange(bins + 1) / bins
    places = np.digitize(score, edges[1:-1])
    return tuple(
        CalibrationBin(
            float(edges[at]),
            float(edges[at + 1]),
            int(inside.sum()),
            float(score[inside].mean()),
            float(true[inside].mean()),
        )
        for at in range(bins)
        if (inside := places == at).any()
    )
