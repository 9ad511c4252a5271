"""Variations of a picture: masks move with it, targets stay, nothing untrue is made of a side or a place."""

import numpy as np
import pytest
from conftest import ellipse
from hypothesis import given
from hypothesis import strategies as st

from ibisagent.tools.perturbations.picture_shifts import SHIFTS, apply_shift
from ibisagent.training.augmentation.geometry import MIN_KEPT, crop, fit, turn_by
from ibisagent.training.augmentation.variation import LOOKS, MOVES, find_forbidden_moves, vary

FREE: frozenset[str] = frozenset()
ALL = frozenset(MOVES)


def rng(seed=0):
    return np.random.default_rng(seed)


def bright_target(shape=(96, 128), centre=(40, 70), radii=(20, 30)):
    """A picture whose target alone is bright, so that the picture itself tells where the mask has to be."""
    mask = ellipse(shape, centre, radii)
    return np.where(mask, 200, 20).astype(np.uint8), [mask]


@given(st.integers(0, 2**32), st.floats(0, 12))
def test_the_mask_turns_and_is_cropped_with_the_picture(seed, degrees):
    whole = bright_target(centre=(30, 95), radii=(16, 22))
    pixels, (mask,) = fit(crop(turn_by(whole, degrees, rng(seed)), (0.7, 1), whole[1], rng(seed)), 64)
    assert max(pixels.shape) <= 64
    assert pixels.shape == mask.shape
    seen = pixels > 110
    assert (seen & mask).sum() >= 0.88 * (seen | mask).sum()


@pytest.mark.parametrize("colour", [False, True])
def test_no_variation_parts_the_mask_from_its_target(colour):
    pixels, masks = bright_target()
    picture = (np.repeat(pixels[..., None], 3, axis=2) if colour else pixels, masks)
    for seed in range(60):
        changed, (mask,) = vary(picture, 96, FREE, rng(seed))
        assert (changed.dtype, changed.ndim, mask.dtype) == (np.uint8, 2 + colour, np.bool_)
        assert changed.shape[:2] == mask.shape
        assert changed[mask].mean() > changed[~mask].mean() + 25


def test_the_same_numbers_make_the_same_variation_and_others_another():
    made = [vary(bright_target(), 96, FREE, rng(seed))[0].tobytes() for seed in (1, 1, 2, 3)]
    assert made[0] == made[1]
    assert len(set(made)) == 3


@given(st.integers(0, 2**32))
def test_half_of_every_target_is_kept_by_turn_and_crop_together(seed):
    large, corner = ellipse((96, 128), (50, 60), (40, 50)), np.zeros((96, 128), np.bool_)
    corner[:6, :6] = True
    picture = np.zeros((96, 128), np.uint8), [large, corner]
    _, kept = crop(turn_by(picture, 12, rng(seed)), (0.7, 1), picture[1], rng(seed))
    assert all(
        np.count_nonzero(now) >= MIN_KEPT * np.count_nonzero(mask) for now, mask in zip(kept, picture[1], strict=True)
    )


def test_a_crop_that_would_always_cut_a_target_away_is_not_made():
    corners = np.zeros((40, 40), np.bool_)
    corners[0, 0] = corners[39, 39] = corners[0, 39] = True
    picture = np.zeros((40, 40), np.uint8), [corners]
    pixels, (mask,) = crop(picture, (0.5, 0.6), picture[1], rng())
    assert pixels.shape == (40, 40)
    np.testing.assert_array_equal(mask, corners)


def test_corners_of_a_turned_picture_are_black_or_as_its_bright_edge():
    white, dark = np.full((40, 40, 3), (240, 220, 230), np.uint8), np.full((40, 40), 60, np.uint8)
    assert turn_by((white, []), 12, rng())[0].min() == 220
    assert turn_by((dark, []), 12, rng())[0].min() == 0


def test_fitting_reduces_alone_and_leaves_a_pixel_of_the_smallest_target():
    dot = np.zeros((200, 100), np.bool_)
    dot[120, 31] = True
    pixels, (mask,) = fit((np.zeros((200, 100), np.uint8), [dot]), 20)
    assert pixels.shape == mask.shape == (20, 10)
    assert np.argwhere(mask).tolist() == [[12, 3]]
    assert fit((np.zeros((8, 6), np.uint8), []), 64)[0].shape == (8, 6)


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        ("spleen", set()),
        ("bright organ", set()),
        ("L3 vertebra", set()),
        ("left kidney", {"flip"}),
        ("kidney_left", {"flip"}),
        ("Kidney-L", {"flip"}),
        ("Lung on the patient's RIGHT", {"flip"}),
        ("largest nucleus", ALL),
        ("upper left gland", ALL),
        ("smaller of the two kidneys", ALL),
    ],
)
def test_a_named_side_forbids_the_flip_and_a_place_every_move(text, forbidden):
    assert find_forbidden_moves(["liver", text], may_flip=True) == forbidden
    assert find_forbidden_moves([text], may_flip=False) == forbidden | {"flip"}


def test_what_is_forbidden_is_never_done_and_what_is_free_is_as_before():
    """The target's side tells a flip; a picture that may not move keeps its mask to the pixel."""
    picture = bright_target((64, 64), (32, 12), (10, 8))
    sides = []
    for seed in range(60):
        _, (fixed,) = vary(picture, 64, frozenset({"flip"}), rng(seed))
        assert fixed[:, : fixed.shape[1] // 2].sum() > fixed[:, fixed.shape[1] // 2 :].sum()
        _, (still,) = vary(picture, 64, ALL, rng(seed))
        np.testing.assert_array_equal(still, picture[1][0])
        _, (free,) = vary(picture, 64, FREE, rng(seed))
        sides.append(free[:, : free.shape[1] // 2].sum() > free[:, free.shape[1] // 2 :].sum())
    assert 15 < sum(sides) < 45


def test_every_change_happens_and_none_is_stronger_than_the_suites_worst():
    assert LOOKS.keys() | {"rotation", "flip"} == SHIFTS.keys()
    for kind, change in {**LOOKS, "rotation": MOVES["rotation"]}.items():
        assert 0 < change.probability < 1
        levels = [*SHIFTS[kind].levels, 100, 0] if kind in ("jpeg", "contrast", "window") else [*SHIFTS[kind].levels, 0]
        assert min(levels) <= change.lowest < change.highest <= max(levels)


@pytest.mark.parametrize("kind", SHIFTS)
def test_a_shift_at_a_level_takes_every_mask_along(kind):
    pixels, masks = bright_target()
    level = SHIFTS[kind].levels[0]
    changed, moved = apply_shift(kind, level, pixels, [*masks, ~masks[0]], rng(5))
    again, _ = apply_shift(kind, level, pixels, [], rng(5))
    np.testing.assert_array_equal(changed, again)
    assert len(moved) == 2
    assert not (moved[0] & moved[1]).any()
    if kind != "text":
        assert changed[moved[0]].mean() > changed[moved[1]].mean() + 50
