"""Initial masks: perturbed ones within their range, foreign ones of something else, equal for equal seeds."""

import numpy as np
import pytest
from conftest import ellipse

from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.perturbations.initial_masks import make_initial_mask

EMPTY = np.zeros((96, 128), bool)


def made(kind, truth, others=(), seed=0):
    return make_initial_mask(kind, truth, others, np.random.default_rng(seed))


@pytest.mark.parametrize("radii", [(3, 4), (20, 30), (44, 60)])
def test_a_perturbed_mask_fits_by_thirty_to_eighty_percent(radii):
    truth = ellipse(radii=radii)
    masks = [made("perturbed_mask", truth, seed=seed) for seed in range(40)]
    reached = [iou(mask, truth) for mask in masks]
    assert (min(reached) >= 0.3, max(reached) <= 0.8) == (True, True)
    assert np.ptp(reached) > 0.2
    larger = [mask.sum() > truth.sum() for mask in masks]
    assert {*larger} == {True, False}


def test_a_foreign_mask_is_another_target_or_a_disc_elsewhere():
    truth, other = ellipse(centre=(30, 40)), ellipse(centre=(75, 100), radii=(12, 15))
    masks = [made("foreign_mask", truth, [other, truth, EMPTY], seed) for seed in range(40)]
    assert max(iou(mask, truth) for mask in masks) < 0.1
    same = [bool((mask == other).all()) for mask in masks]
    assert {*same} == {True, False}
    assert min(int(mask.sum()) for mask in masks) > 0


def test_where_none_of_the_kind_can_be_there_is_none():
    assert made("foreign_mask", ~EMPTY) is None
    assert made("perturbed_mask", EMPTY) is None
    assert made("none", ellipse()) is None


def test_an_absent_target_can_have_a_foreign_mask():
    other = ellipse()
    masks = [made("foreign_mask", EMPTY, [other], seed) for seed in range(20)]
    assert all(mask.any() for mask in masks)


@pytest.mark.parametrize("kind", ["perturbed_mask", "foreign_mask"])
def test_equal_seeds_give_equal_masks(kind):
    truth = ellipse()
    assert (made(kind, truth, seed=3) == made(kind, truth, seed=3)).all()
    assert (made(kind, truth, seed=3) != made(kind, truth, seed=4)).any()


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="got start 'odd', expected one of none, perturbed_mask, shifted_mask"):
        made("odd", ellipse())


def test_a_shifted_mask_is_the_truth_elsewhere():
    truth = ellipse(radii=(12, 15))
    masks = [made("shifted_mask", truth, seed=seed) for seed in range(20)]
    assert {int(mask.sum()) for mask in masks} == {int(truth.sum())}
    assert all(0.3 <= iou(mask, truth) <= 0.8 for mask in masks)


def test_another_target_or_a_disc_can_be_asked_for_alone():
    truth, other = ellipse(centre=(30, 40)), ellipse(centre=(75, 100), radii=(12, 15))
    assert all((made("other_target_mask", truth, [truth, other], seed) == other).all() for seed in range(5))
    assert made("other_target_mask", truth, [truth]) is None
    discs = [made("disc_mask", truth, [other], seed) for seed in range(10)]
    assert not any((disc == other).all() for disc in discs)
    assert max(iou(disc, truth) for disc in discs) < 0.1
