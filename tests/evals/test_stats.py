"""Intervals against known distributions, tests against scipy and against all permutations counted by hand."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from ibisagent.evals.stats import (
    Bootstrap,
    Interval,
    compare,
    holm,
    mean_interval,
    proportion_interval,
    ratio_interval,
    statistic_interval,
)
from ibisagent.tools.errors import InputError

FAST = Bootstrap(resamples=1000)


def covered(intervals, truth):
    return sum(found.low <= truth <= found.high for found in intervals) / len(intervals)


def test_intervals_of_a_mean_cover_it_as_often_as_they_say():
    rng = np.random.default_rng(0)
    found = [mean_interval(rng.beta(8, 2, size=40), bootstrap=FAST) for _ in range(400)]
    assert covered(found, 0.8) == pytest.approx(0.95, abs=0.025)
    narrower = [mean_interval(rng.beta(8, 2, size=40), bootstrap=FAST._replace(level=0.5)) for _ in range(400)]
    assert covered(narrower, 0.8) == pytest.approx(0.5, abs=0.06)


def test_intervals_of_a_ratio_cover_it():
    rng = np.random.default_rng(1)
    wholes = rng.integers(1, 1000, size=(300, 60))
    parts = rng.binomial(wholes, rng.beta(6, 4, size=(300, 60)))
    found = [ratio_interval(part, whole, bootstrap=FAST) for part, whole in zip(parts, wholes, strict=True)]
    assert covered(found, 0.6) == pytest.approx(0.94, abs=0.03)


def test_grouped_intervals_cover_where_ungrouped_ones_do_not():
    rng = np.random.default_rng(2)
    keys = [case // 5 for case in range(200)]
    samples = [np.repeat(rng.normal(0, 1, 40), 5) + rng.normal(0, 0.3, 200) for _ in range(300)]
    assert covered([mean_interval(sample, keys, FAST) for sample in samples], 0) == pytest.approx(0.94, abs=0.03)
    assert covered([mean_interval(sample, bootstrap=FAST) for sample in samples], 0) < 0.75


def test_a_group_drawn_brings_all_its_cases():
    """Two groups, of 1 case and of 3: draws are both, twice the first, twice the second."""
    values, keys = [0.0, 1.0, 1.0, 1.0], ["a", "b", "b", "b"]
    assert mean_interval(values, keys, FAST) == Interval(0.75, 0.0, 1.0, 4, 0, 2)
    assert statistic_interval(np.mean, values, keys, FAST) == Interval(0.75, 0.0, 1.0, 4, 0, 2)
    sizes = set()
    statistic_interval(lambda drawn: float(sizes.add(len(drawn)) or 0), values, keys, FAST)
    assert sizes == {2, 4, 6}


def test_groups_of_one_case_are_no_groups():
    values = np.random.default_rng(3).random(30)
    assert mean_interval(values, list("abcdefghijklmnopqrstuvwxyzABCD"), FAST) == mean_interval(values, bootstrap=FAST)
    assert statistic_interval(np.median, values, range(30), FAST) == statistic_interval(
        np.median, values, bootstrap=FAST
    )


def test_the_same_seed_gives_the_same_interval_and_scipy_s():
    values = np.random.default_rng(4).random(50)
    found = mean_interval(values, bootstrap=FAST._replace(seed=7))
    assert found == mean_interval(values, bootstrap=FAST._replace(seed=7)) != mean_interval(values, bootstrap=FAST)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=1000, rng=np.random.default_rng(7)).confidence_interval
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)


def test_above_a_thousand_units_the_interval_is_the_normal_one():
    values = np.random.default_rng(5).random(3000)
    half = 1.96 * values.std() / math.sqrt(3000)
    expected = pytest.approx((values.mean() - half, values.mean() + half), abs=5e-4)
    for found in (mean_interval(values), statistic_interval(np.mean, values, bootstrap=Bootstrap(resamples=4000))):
        assert (found.low, found.high) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Interval(None, None, None, 0, 0, 0)),
        ([None, math.nan, math.inf], Interval(None, None, None, 0, 3, 0)),
        ([0.3], Interval(0.3, None, None, 1, 0, 1)),
        ([0.3, None, 0.3, 0.3], Interval(pytest.approx(0.3), pytest.approx(0.3), pytest.approx(0.3), 3, 1, 3)),
        ([0.0, 0.0], Interval(0.0, 0.0, 0.0, 2, 0, 2)),
    ],
)
@pytest.mark.parametrize(
    "of", [mean_interval, lambda values, bootstrap: statistic_interval(np.mean, values, bootstrap=bootstrap)]
)
def test_few_equal_and_missing_values(of, values, expected):
    assert of(values, bootstrap=FAST) == expected


def test_one_group_says_nothing_of_the_spread():
    assert mean_interval([0.1, 0.2, 0.6], ["a"] * 3, FAST) == Interval(pytest.approx(0.3), None, None, 3, 0, 1)


def test_a_case_with_nothing_to_count_is_missing():
    assert ratio_interval([1, 0, 3], [2, 0, 4], bootstrap=Bootstrap(resamples=0)) == Interval(
        4 / 6, None, None, 2, 1, 2
    )


def test_any_statistic_of_cases_with_several_columns():
    rng = np.random.default_rng(6)
    scores = rng.random(80)
    table = np.column_stack([scores, scores + rng.normal(0, 0.2, 80)])
    table[3, 1] = math.nan
    found = statistic_interval(lambda drawn: stats.spearmanr(drawn[:, 0], drawn[:, 1]).statistic, table, bootstrap=FAST)
    whole = np.delete(table, 3, axis=0)
    assert found.value == stats.spearmanr(whole[:, 0], whole[:, 1]).statistic
    assert (found.n, found.missing, found.units) == (79, 1, 79)
    assert 0.5 < found.low < found.value < found.high < 1


def test_a_resample_without_the_statistic_is_left_out():
    """The share of the second kind, undefined where it was not drawn."""
    found = statistic_interval(lambda drawn: drawn.mean() if drawn.any() else math.nan, [0.0, 0.0, 1.0], bootstrap=FAST)
    assert (found.value, found.low, found.high) == (pytest.approx(1 / 3), pytest.approx(1 / 3), 1.0)
    assert statistic_interval(lambda drawn: math.nan, [1.0, 2.0], bootstrap=FAST).value is None


def test_a_proportion_that_is_all_or_none_gets_wilson_s_interval():
    assert proportion_interval([True] * 20, bootstrap=FAST) == Interval(
        1.0, pytest.approx(1 / (1 + 1.96**2 / 20), abs=1e-4), 1.0, 20, 0, 20
    )
    assert proportion_interval([False, None], bootstrap=FAST)[:3] == (
        0.0,
        0.0,
        pytest.approx(1.96**2 / (1 + 1.96**2), abs=1e-4),
    )
    by_group = proportion_interval([True] * 20, [case // 4 for case in range(20)], FAST)
    assert (by_group.low, by_group.n, by_group.units) == (pytest.approx(1 / (1 + 1.96**2 / 5), abs=1e-4), 20, 5)
    mixed = [True, False, True, True]
    assert proportion_interval(mixed, bootstrap=FAST) == mean_interval([1.0, 0.0, 1.0, 1.0], bootstrap=FAST)


def test_p_values_are_scipy_s_and_those_of_all_swaps():
    rng = np.random.default_rng(8)
    first, second = rng.random(10), rng.random(10) - 0.3
    found = compare(first, second)
    differences = first - second
    assert found.wilcoxon_p == stats.wilcoxon(first, second).pvalue
    swaps = [abs(np.dot(signs, differences)) for signs in product((-1, 1), repeat=10)]
    assert found.permutation_p == np.mean(np.array(swaps) >= abs(differences.sum()) - 1e-12)
    assert found.difference == mean_interval(differences)
    assert (found.larger, found.equal, found.smaller) == ((differences > 0).sum(), 0, (differences < 0).sum())


def test_a_comparison_worked_by_hand():
    """Differences 1, 2, 3, -1, 0 have ranks 1.5, 3, 4, -1.5; of 16 swaps 6 reach a sum of 5 on either side."""
    found = compare([2, 3, 5, 0, 1, 9], [1, 1, 2, 1, 1, None])
    assert (found.larger, found.equal, found.smaller) == (3, 1, 1)
    assert found.effect == 7 / 10
    assert found.permutation_p == 6 / 16
    assert (found.difference.value, found.difference.n, found.difference.missing) == (1.0, 5, 1)


def test_swapped_methods_give_the_mirrored_comparison():
    rng = np.random.default_rng(9)
    first, second = rng.random(30), rng.random(30)
    one, other = compare(first, second, bootstrap=FAST), compare(second, first, bootstrap=FAST)
    assert (one.wilcoxon_p, one.effect, one.larger) == pytest.approx((other.wilcoxon_p, -other.effect, other.smaller))
    assert one.difference.value == -other.difference.value


@pytest.mark.parametrize("cases", [0, 1, 2, 60])
def test_equal_methods_do_not_differ(cases):
    found = compare([0.5] * cases, [0.5] * cases, bootstrap=FAST)
    assert found[1:] == (1.0, 1.0, 0.0, 0, cases, 0)


def test_equal_differences_that_are_not_zero():
    found = compare([0.75] * 12, [0.5] * 12)
    assert found.difference == Interval(0.25, 0.25, 0.25, 12, 0, 12)
    assert (found.permutation_p, found.wilcoxon_p, found.effect) == (2 / 2**12, 2 / 2**12, 1.0)


def test_a_single_case_shows_nothing():
    assert compare([1.0], [0.0])[1:] == (1.0, 1.0, 1.0, 1, 0, 0)


def test_p_values_are_uniform_when_the_methods_are_equal():
    rng = np.random.default_rng(10)
    found = [compare(*rng.random((2, 25)), bootstrap=Bootstrap(resamples=400)) for _ in range(300)]
    for p_values in ([each.permutation_p for each in found], [each.wilcoxon_p for each in found]):
        assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_cases_of_one_group_are_no_further_evidence():
    """Ten cases that all repeat one patient's difference count as one, so that p is that of four patients."""
    first = np.repeat([0.4, 0.3, 0.5, 0.2], 10)
    keys = np.repeat(["p1", "p2", "p3", "p4"], 10).tolist()
    alone, grouped = compare(first, np.zeros(40)), compare(first, np.zeros(40), keys)
    assert (grouped.permutation_p, grouped.wilcoxon_p) == (2 / 16, 2 / 16)
    assert max(alone.permutation_p, alone.wilcoxon_p) < 0.001
    assert grouped.difference.high - grouped.difference.low > 2 * (alone.difference.high - alone.difference.low)
    assert (grouped.difference.n, grouped.difference.units, grouped.larger) == (40, 4, 4)


def test_groups_of_unequal_size_worked_by_hand():
    """Mean differences 3, -1 and 0.5 rank 3, -2 and 1; summed they are 3, -4 and 0.5, and any swap reaches |-0.5|."""
    found = compare([3, -1, -1, -1, -1, 0.5], [0] * 6, [1, 2, 2, 2, 2, 3], FAST)
    assert (found.effect, found.wilcoxon_p, found.permutation_p) == (pytest.approx(1 / 3), 0.75, 1.0)
    assert (found.larger, found.equal, found.smaller) == (2, 0, 1)
    assert found.difference.value == -0.5 / 6


def test_holm_adjusts_in_the_order_given():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: mean_interval([1.0, 2.0], ["a"]), "1 group keys for 2 cases"),
        (lambda: ratio_interval([1.0], [1.0, 2.0]), r"columns of \[1, 2\] cases"),
        (lambda: compare([1.0], [1.0, 2.0]), r"columns of \[1, 2\] cases"),
        (lambda: compare([1.0], [1.0], bootstrap=Bootstrap(resamples=0)), "0 resamples"),
        (lambda: holm([0.1, math.nan]), "p-values"),
        (lambda: holm([1.1]), "p-values"),
    ],
)
def test_what_does_not_fit_raises(call, says):
    with pytest.raises(InputError, match=says):
        call()
