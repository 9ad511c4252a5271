"""Kappas against values that were worked out by hand or printed with the statistic."""

import numpy as np
import pytest

from ibisagent.evals.agreement import cohen_kappa, fleiss_kappa, measure_agreement
from ibisagent.evals.stats import Bootstrap
from ibisagent.tools.errors import InputError

FLEISS = (  # Fleiss 1971's form: ratings of ten subjects by fourteen raters in five categories; kappa 0.210
    *((0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1)),
    *((7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7)),
)


def table(counts):
    """Codes (n, 2) of a square table of counts."""
    return np.array([(i, j) for i, row in enumerate(counts) for j, n in enumerate(row) for _ in range(n)])


def test_cohen_s_kappa_by_hand():
    """20 + 15 of 50 agree; 0.5 * 0.6 + 0.5 * 0.4 is expected: (0.7 - 0.5) / 0.5."""
    assert cohen_kappa(table([[20, 5], [10, 15]])) == pytest.approx(0.4)
    assert cohen_kappa(table([[5, 0], [0, 5]])) == 1
    assert cohen_kappa(table([[0, 5], [5, 0]])) == -1
    assert np.isnan(cohen_kappa(table([[7]]))), "one verdict throughout: chance alone agrees as well"


def test_linear_weights_by_hand():
    """Seen: mean distances 2 / 4 and 3 / 4. Expected, over all 16 pairs of a first and a second: 16 and 18 of 16."""
    assert cohen_kappa(np.array([(0, 0), (0, 1), (2, 2), (1, 2)]), linear=True) == pytest.approx(1 - 0.5 / 1)
    assert cohen_kappa(np.array([(0, 0), (0, 1), (2, 2), (0, 2)]), linear=True) == pytest.approx(1 - 0.75 / 1.125)


def test_fleiss_kappa_as_printed():
    codes = np.array([[kind for kind, count in enumerate(row) for _ in range(count)] for row in FLEISS])
    assert codes.shape == (10, 14)
    assert fleiss_kappa(codes) == pytest.approx(0.210, abs=5e-4)
    assert np.isnan(fleiss_kappa(np.zeros((3, 3))))
    assert fleiss_kappa(np.array([[0, 0, 0], [1, 1, 1]])) == 1


def test_the_interval_is_drawn_over_pictures_and_repeats():
    rng = np.random.default_rng(0)
    first = rng.integers(4, size=60)
    codes = np.stack([first, np.where(rng.random(60) < 0.7, first, rng.integers(4, size=60))], axis=1).tolist()
    found = measure_agreement(codes, [case // 3 for case in range(60)])
    assert found == measure_agreement(codes, [case // 3 for case in range(60)])
    assert (found.kappa.n, found.kappa.units, found.readers) == (60, 20, 2)
    assert found.kappa.low < found.kappa.value < found.kappa.high
    assert found.same.value == np.mean([one == other for one, other in codes])
    three = measure_agreement([[*each, each[0]] for each in codes], bootstrap=Bootstrap(resamples=50))
    assert three.weighted is None
    assert three.same.value == pytest.approx((1 + 2 * found.same.value) / 3), "a reader agrees with his double"


@pytest.mark.parametrize("codes", [[], [[1], [2]]])
def test_there_is_no_agreement_of_one_or_about_nothing(codes):
    with pytest.raises(InputError, match="two or more"):
        measure_agreement(codes)
