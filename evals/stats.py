"""Bootstrap intervals and paired tests over cases.

Targets of one image, and images of one patient, are not independent. ``groups`` holds one key a case (image, patient);
with it, whole groups are drawn and whole groups swap methods, which widens intervals and raises p-values as it should.
Without it every case is a unit of its own. None, nan and infinite values are missing: left out and counted.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ibisagent.tools.errors import InputError

__all__ = [
    "Bootstrap",
    "Comparison",
    "Interval",
    "compare",
    "holm",
    "mean_interval",
    "proportion_interval",
    "ratio_interval",
    "statistic_interval",
]

Floats = NDArray[np.float64]
Values = Sequence[float | None] | Floats
Groups = Sequence[Hashable] | None

_BLOCK = 1_000_000  # values drawn at once, which bounds memory
_BCA_LIMIT = 1000  # its jackknife grows with the square, and its correction has vanished by then


class Bootstrap(NamedTuple):
    """Settings of the bootstrap: equal ones give equal intervals; ``resamples`` 0 gives no interval, only the value."""

    level: float = 0.95
    resamples: int = 10_000
    seed: int = 0


class Interval(NamedTuple):
    """A value with its confidence interval and sample sizes.

    ``n`` cases count, ``missing`` are left out, ``units`` were drawn from (the groups, or the cases). ``value`` is None
    without a case; ``low`` and ``high`` are None with fewer than two units, from which no spread can be estimated.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    missing: int
    units: int


class Comparison(NamedTuple):
    """Two methods on the same cases, first minus second.

    ``difference`` is the mean over cases, ``wilcoxon_p`` and ``permutation_p`` are two-sided, ``effect`` is the
    matched-pairs rank-biserial correlation (Kerby 2014): 1 when the first is larger in every unit that differs, -1 when
    smaller. ``larger``, ``equal`` and ``smaller`` count the units in which the first is so.
    """

    difference: Interval
    wilcoxon_p: float
    permutation_p: float
    effect: float
    larger: int
    equal: int
    smaller: int


_DEFAULT = Bootstrap()


def mean_interval(values: Values, groups: Groups = None, bootstrap: Bootstrap = _DEFAULT) -> Interval:
    """Return the mean over cases, computed by `ratio_interval`.

    >>> mean_interval([0.5, 1.0, None], bootstrap=Bootstrap(resamples=0))
    Interval(value=0.75, low=None, high=None, n=2, missing=1, units=2)
    """
    return ratio_interval(values, np.ones(len(values)), groups, bootstrap)


def ratio_interval(parts: Values, wholes: Values, groups: Groups = None, bootstrap: Bootstrap = _DEFAULT) -> Interval:
    """Return the sum of ``parts`` over the sum of ``wholes`` (each 0 or more): a mean, a pooled IoU, an F1.

    A case whose whole is 0 is missing. The interval is BCa (Efron 1987), above 1000 units plain percentiles. When all
    units agree both its ends are the value.
    """
    table, keys = _complete(_columns(parts, wholes), groups)
    counts = table[:, 1] != 0
    part, whole = _per_unit(keys[counts], table[counts, 0], table[counts, 1])
    n, missing = int(counts.sum()), len(parts) - int(counts.sum())
    if not n:
        return Interval(None, None, None, n, missing, 0)
    value = float(part.sum() / whole.sum())
    low, high = _interval_ends(part, whole, value, bootstrap)
    return Interval(value, low, high, n, missing, part.size)


def proportion_interval(
    hits: Sequence[bool | None], groups: Groups = None, bootstrap: Bootstrap = _DEFAULT
) -> Interval:
    """Return the share of true ``hits``, None being missing, computed by `ratio_interval` unless all of them agree.

    Where none or all are true, the bootstrap's interval has no width; this is then Wilson's, with the units as its n.
    """
    found = mean_interval([None if hit is None else float(hit) for hit in hits], groups, bootstrap)
    if found.value not in (0.0, 1.0) or not bootstrap.resamples:
        return found
    wilson = stats.binomtest(found.units * int(found.value), found.units).proportion_ci(
        bootstrap.level, method="wilson"
    )
    return found._replace(low=float(wilson.low), high=float(wilson.high))


def statistic_interval(
    statistic: Callable[[Floats], float], values: Any, groups: Groups = None, bootstrap: Bootstrap = _DEFAULT
) -> Interval:
    """Return any statistic of the cases, (n,) or (n, k) with one case a row, and its percentile interval.

    ``statistic`` gets such an array of the cases drawn, whose number varies with the groups'; a resample in which it is
    nan is left out. It is called once per resample: prefer `ratio_interval` where the statistic is a ratio.
    """
    table, keys = _complete(np.asarray(values, dtype=np.float64), groups)
    members = np.split(np.argsort(keys, kind="stable"), np.cumsum(np.bincount(keys))[:-1]) if keys.size else []
    value = float(statistic(table)) if members else float("nan")
    found = Interval(None, None, None, len(table), len(values) - len(table), len(members))
    if np.isnan(value) or len(members) < 2 or not bootstrap.resamples:
        return found._replace(value=None if np.isnan(value) else value)
    rng = np.random.default_rng(bootstrap.seed)
    picks = (rng.integers(len(members), size=len(members)) for _ in range(bootstrap.resamples))
    drawn = [statistic(table[np.concatenate([members[unit] for unit in pick])]) for pick in picks]
    low, high = np.nanquantile(drawn, [(1 - bootstrap.level) / 2, (1 + bootstrap.level) / 2])
    return found._replace(value=value, low=float(low), high=float(high))


def compare(first: Values, second: Values, groups: Groups = None, bootstrap: Bootstrap = _DEFAULT) -> Comparison:
    """Test two methods on the same cases, in the same order; a case missing in either is left out of both.

    Wilcoxon's signed-rank test drops zero differences; with ``groups`` it sees each group's mean difference. The
    permutation test swaps the two methods in whole units, and is exact up to 2 ** units = ``how.resamples``. Without a
    difference anywhere both p-values are 1 and the effect is 0. Adjust several p-values with `holm`.
    """
    if bootstrap.resamples < 1:
        raise InputError(f"got {bootstrap.resamples} resamples, expected 1 or more for a test; raise them")
    table, keys = _complete(_columns(first, second), groups)
    differences = table[:, 0] - table[:, 1]
    sums, sizes = _per_unit(keys, differences, np.ones(len(table)))
    means = sums / sizes
    nonzero = means[means != 0]
    larger, smaller = int((means > 0).sum()), int((means < 0).sum())
    return Comparison(
        difference=mean_interval(differences, list(keys), bootstrap)._replace(missing=len(first) - len(table)),
        wilcoxon_p=float(stats.wilcoxon(nonzero).pvalue) if nonzero.size else 1.0,
        permutation_p=_permutation_p(sums, bootstrap),
        effect=_rank_biserial(nonzero),
        larger=larger,
        equal=means.size - larger - smaller,
        smaller=smaller,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of one family of comparisons for their number (Holm 1979), in the order given.

    >>> holm([0.04, 0.01, 0.03])
    [0.06, 0.03, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not np.all((p >= 0) & (p <= 1)):
        raise InputError(f"got p-values {list(p_values)}, expected numbers from 0 to 1; leave out what is not tested")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)))
    return [float(value) for value in adjusted]


def _columns(*columns: Values) -> Floats:
    """Put columns of n values side by side, (n, k), None as nan."""
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise InputError(f"got columns of {lengths} cases, expected equal ones; give each one value a case")
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=-1)


def _complete(table: Floats, groups: Groups) -> tuple[Floats, NDArray[np.int64]]:
    """Return the cases of ``table`` with nothing missing, and the index of each one's unit, from 0."""
    if groups is not None and len(groups) != len(table):
        raise InputError(f"got {len(groups)} group keys for {len(table)} cases; give one key a case")
    kept = np.flatnonzero(np.isfinite(table).all(axis=tuple(range(1, table.ndim))))
    numbers: dict[Hashable, int] = {}
    keys = kept.tolist() if groups is None else [groups[int(case)] for case in kept]
    return table[kept], np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _per_unit(keys: NDArray[np.int64], first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Sum two columns (n,) over the cases of every unit that has one."""
    _, units = np.unique(keys, return_inverse=True)
    return np.bincount(units, first).astype(np.float64), np.bincount(units, second).astype(np.float64)


def _interval_ends(
    part: Floats, whole: Floats, value: float, bootstrap: Bootstrap
) -> tuple[float | None, float | None]:
    """Return the ends of a ratio's interval from its sums per unit."""
    if part.size < 2 or not bootstrap.resamples:
        return None, None
    if np.allclose(part, value * whole, rtol=1e-12, atol=0):
        return value, value
    ends = stats.bootstrap(
        (part, whole),
        lambda parts, wholes, axis=-1: parts.sum(axis=axis) / wholes.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=bootstrap.resamples,
        batch=max(1, _BLOCK // part.size),
        confidence_level=bootstrap.level,
        method="BCa" if part.size <= _BCA_LIMIT else "percentile",
        rng=np.random.default_rng(bootstrap.seed),
    ).confidence_interval
    return float(ends.low), float(ends.high)


def _permutation_p(sums: Floats, bootstrap: Bootstrap) -> float:
    """Return the two-sided p-value of the sum of all differences when the methods swap in any unit."""
    if sums.size < 2 or not sums.any():
        return 1.0
    found = stats.permutation_test(
        (sums,),
        lambda signed, axis: signed.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=bootstrap.resamples,
        batch=max(1, _BLOCK // sums.size),
        rng=np.random.default_rng(bootstrap.seed),
    )
    return float(found.pvalue)


def _rank_biserial(differences: Floats) -> float:
    """Return the matched-pairs rank-biserial correlation of differences without a zero."""
    ranks = stats.rankdata(np.abs(differences))
    return float(ranks @ np.sign(differences) / ranks.sum()) if ranks.size else 0.0
