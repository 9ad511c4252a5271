"""Agreement between readers who judge the same cases: Cohen's kappa for two, Fleiss' for more."""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np

from ibisagent.evals.stats import Bootstrap, Floats, Interval, statistic_interval
from ibisagent.tools.errors import InputError

__all__ = ["Agreement", "cohen_kappa", "fleiss_kappa", "measure_agreement"]


class Agreement(NamedTuple):
    """Agreement on the cases that all readers judged.

    ``kappa``: Cohen's for two readers, else Fleiss', with its percentile interval; its value is None where it is not
    defined, as when every verdict is the same. ``weighted``: Cohen's with linear weights, which counts neighbouring
    verdicts of an ordered scale as half wrong, two readers only. ``same``: share of the pairs of verdicts that agree.
    """

    readers: int
    kappa: Interval
    weighted: Interval | None
    same: Interval


def cohen_kappa(codes: Floats, *, linear: bool = False) -> float:
    """Return Cohen's kappa (1960) of codes (n, 2), whole numbers from 0, nan where it is not defined.

    ``linear``: disagreements weigh as much as the codes differ (Cohen 1968).

    >>> cohen_kappa(np.array([[0, 0], [0, 1], [1, 1], [1, 1]]))
    0.5
    """
    first, second = codes[:, 0].astype(int), codes[:, 1].astype(int)
    kinds = int(codes.max()) + 1 if len(codes) else 1
    apart = np.abs(np.subtract.outer(np.arange(kinds), np.arange(kinds)))
    weights = apart if linear else apart > 0
    shares = np.outer(np.bincount(first, minlength=kinds), np.bincount(second, minlength=kinds)) / max(len(codes), 1)
    expected = float((weights * shares).sum())
    return 1 - float(weights[first, second].sum()) / expected if expected else float("nan")


def fleiss_kappa(codes: Floats) -> float:
    """Return Fleiss' kappa (1971) of codes (n, readers), whole numbers from 0, nan where it is not defined."""
    cases, readers = codes.shape
    if not cases:
        return float("nan")
    counts = _count_verdicts(codes)
    expected = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return (_same_pairs(counts, readers) - expected) / (1 - expected) if expected < 1 else float("nan")


def _count_verdicts(codes: Floats) -> Floats:
    """Count each code in each case, (n, kinds)."""
    kinds = np.arange(int(codes.max()) + 1)
    return np.asarray((codes[:, :, None] == kinds).sum(axis=1), np.float64)


def _same_pairs(counts: Floats, readers: int) -> float:
    return float(((counts**2).sum(axis=1) - readers).mean() / (readers * (readers - 1)))


def measure_agreement(
    codes: Sequence[Sequence[int]], groups: Sequence[Hashable] | None = None, bootstrap: Bootstrap | None = None
) -> Agreement:
    """Measure the agreement of codes (n cases, readers), whole numbers from 0 on an ordered scale.

    ``groups``: as in `ibisagent.evals.stats`: cases of one picture are drawn together. `InputError` without a case, and
    for fewer than two readers.
    """
    readers = len(codes[0]) if codes else 0
    if readers < 2:
        got = f"got {len(codes)} cases that {readers} readers judged"
        raise InputError(f"{got}, expected one or more by two or more; have another reader judge them")
    table, how = np.asarray(codes, dtype=np.float64), bootstrap or Bootstrap(resamples=2000)
    two = readers == 2
    statistic: Callable[[Floats], float] = cohen_kappa if two else fleiss_kappa
    return Agreement(
        readers=readers,
        kappa=statistic_interval(statistic, table, groups, how),
        weighted=statistic_interval(lambda drawn: cohen_kappa(drawn, linear=True), table, groups, how) if two else None,
        same=statistic_interval(_share_of_same_pairs, table, groups, how),
    )


def _share_of_same_pairs(codes: Floats) -> float:
    return _same_pairs(_count_verdicts(codes), codes.shape[1])
