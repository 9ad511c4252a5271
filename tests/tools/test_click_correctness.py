"""Which prompts are right, on a picture of 4 x 10 whose truth is its left half and whose mask is columns 3 to 6."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibisagent.tools.click_correctness import is_correct_prompt
from ibisagent.tools.clicks import Box, Click, Similar, click_to_pixel

UNITS = st.floats(0, 1)
TRUTH, MASK = np.zeros((4, 10), bool), np.zeros((4, 10), bool)
TRUTH[:, :5] = True
MASK[:, 3:7] = True
NOTHING = np.zeros((4, 10), bool)


@pytest.mark.parametrize(
    ("x", "positive", "negative"),
    [
        (0.0, True, False),  # missed
        (0.2999, True, False),
        (0.3, False, False),  # found
        (0.4999, False, False),
        (0.5, False, True),  # spilled
        (0.6999, False, True),
        (0.7, False, False),  # rightly left out
        (1.0, False, False),
    ],
)
def test_a_click_hits_on_the_error_of_its_sign(x, positive, negative):
    assert is_correct_prompt(Click(x, 0.5), MASK, TRUTH) is positive
    assert is_correct_prompt(Click(x, 0.5, positive=False), MASK, TRUTH) is negative


@given(UNITS, UNITS, st.sampled_from([MASK, TRUTH, NOTHING]))
def test_an_example_is_right_by_what_it_shows_whatever_the_mask(x, y, mask):
    on_it = bool(TRUTH[click_to_pixel(Click(x, y), TRUTH.shape)])
    assert is_correct_prompt(Similar(x, y), mask, TRUTH) is on_it
    assert is_correct_prompt(Similar(x, y, positive=False), mask, TRUTH) is not on_it
    assert not is_correct_prompt(Similar(x, y), mask, NOTHING)


@given(UNITS, UNITS)
def test_where_the_mask_is_the_truth_no_click_hits(x, y):
    assert not is_correct_prompt(Click(x, y), TRUTH, TRUTH)
    assert not is_correct_prompt(Click(x, y, positive=False), TRUTH, TRUTH)


@given(UNITS, UNITS)
def test_with_an_empty_truth_only_a_negative_click_on_the_mask_hits(x, y):
    assert not is_correct_prompt(Click(x, y), MASK, NOTHING)
    assert is_correct_prompt(Click(x, y, positive=False), MASK, NOTHING) is bool(
        MASK[click_to_pixel(Click(x, y), MASK.shape)]
    )


@pytest.mark.parametrize(
    ("x1", "y1", "hit"),
    [
        (0.5, 1.0, True),
        (0.3, 1.0, True),  # 12 of 20 pixels
        (0.3, 0.75, False),  # 9 of 20
        (0.5, 0.5, False),  # 10 of 20: half is not above half
        (0.9, 1.0, True),  # 20 of 36
        (1.0, 1.0, False),  # 20 of 40
    ],
)
@pytest.mark.parametrize("mask", [MASK, TRUTH, NOTHING])
def test_a_box_hits_above_half_of_the_truth_s_box_whatever_the_mask(mask, x1, y1, hit):
    assert is_correct_prompt(Box(0.0, 0.0, x1, y1), mask, TRUTH) is hit


def test_a_box_apart_from_the_truth_or_without_one_misses():
    assert not is_correct_prompt(Box(0.6, 0.0, 1.0, 1.0), NOTHING, TRUTH)
    assert not is_correct_prompt(Box(0.0, 0.0, 1.0, 1.0), MASK, NOTHING)
