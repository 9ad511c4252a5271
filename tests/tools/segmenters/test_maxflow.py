"""The cut is exact: against all masks, and in both forms."""

from itertools import product

import numpy as np
import pytest

from ibisagent.tools.segmenters.maxflow import (
    STEPS,
    PairWeights,
    compute_energy,
    min_cut,
    min_cut_of_pairs,
    pair_slices,
)


def draw_energies(shape, seed):
    """Random energies in thousandths, as the cut rounds them."""
    rng = np.random.default_rng(seed)
    height, width = shape
    shapes = [(height - down, width - abs(across)) for down, across in STEPS]
    weights = PairWeights(*(rng.integers(0, 3001, part) / 1000 for part in shapes))
    return rng.integers(-4000, 4001, shape) / 1000, weights


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (1, 7), (5, 1), (1, 1)])
def test_cut_has_the_least_energy_of_all_masks(shape):
    for seed in range(12):
        unary, weights = draw_energies(shape, seed)
        masks = (np.array(bits, np.bool_).reshape(shape) for bits in product((False, True), repeat=unary.size))
        least = min(compute_energy(mask, unary, weights) for mask in masks)
        assert compute_energy(min_cut(unary, weights), unary, weights) == pytest.approx(least, abs=1e-9)


def test_cut_of_a_grids_pairs_is_that_of_the_grid():
    unary, weights = draw_energies((17, 23), 0)
    ids = np.arange(unary.size).reshape(unary.shape)
    ones, others = (np.concatenate([ids[pair_slices(*step)[side]].ravel() for step in STEPS]) for side in (0, 1))
    flat = min_cut_of_pairs(unary.ravel(), (ones, others), np.concatenate([part.ravel() for part in weights]))
    assert np.array_equal(flat.reshape(unary.shape), min_cut(unary, weights))


def test_cut_without_pairs_is_the_sign_of_the_unary():
    unary, weights = draw_energies((20, 30), 1)
    assert np.array_equal(min_cut(unary, PairWeights(*(0 * part for part in weights))), unary > 0)
