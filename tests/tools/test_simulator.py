"""The click simulator against masks whose answer can be seen by eye, and against the rule written plainly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from ibisagent.tools.clicks import Click, Pixel, click_to_pixel, pixel_to_click
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.simulator import find_deepest_pixel, next_click


def mask(*rows):
    return np.array([[letter == "#" for letter in row] for row in rows])


NOTHING = mask(".....", ".....", ".....")


def test_a_miss_gives_a_positive_click_in_its_depth():
    assert next_click(NOTHING, mask("###..", "###..", "###..")) == (Pixel(1, 1), True)


def test_a_spill_gives_a_negative_click():
    assert next_click(mask("..###", "..###", "..###"), NOTHING) == (Pixel(1, 3), False)


def test_the_larger_depth_decides_and_a_tie_is_positive():
    wide, thin = mask("###..", "###..", "###.."), mask("....#", "....#", "....#")
    assert next_click(thin, wide).positive
    assert not next_click(wide, thin).positive
    assert next_click(mask("....#"), mask("#....")) == (Pixel(0, 0), True)


def test_a_region_at_the_border_is_not_clicked_on_the_border():
    assert next_click(np.zeros((9, 9), bool), np.ones((9, 9), bool)) == (Pixel(4, 4), True)


def test_no_pixel_twice():
    truth = mask("###..", "###..", "###..")
    taken = {Pixel(1, 1)}
    second = next_click(NOTHING, truth, taken).pixel
    assert second == Pixel(0, 0)
    everything = {Pixel(r, c) for r in range(3) for c in range(5)}
    assert next_click(NOTHING, truth, everything) is None


def test_nothing_is_left_to_click():
    assert next_click(NOTHING, NOTHING) is None
    assert find_deepest_pixel(NOTHING) is None


@pytest.mark.parametrize("seed", range(40))
def test_sequences_equal_the_rule_written_plainly(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(3, 30, 2))
    made, truth = (ndimage.gaussian_filter(rng.normal(size=shape), 1.5) > 0 for _ in "ab")
    taken = set()
    for _ in range(5):
        expected = plainly(made, truth, taken)
        assert next_click(made, truth, taken) == expected
        if expected is None:
            return
        taken.add(expected[0])


def plainly(made, truth, taken):
    depths = []
    for region in (truth & ~made, made & ~truth):
        depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
        for pixel in taken:
            depth[pixel] = 0
        depths.append(depth)
    missed, spilled = depths
    if max(missed.max(), spilled.max()) == 0:
        return None
    positive = missed.max() >= spilled.max()
    depth = missed if positive else spilled
    row, column = np.argwhere(depth == depth.max())[0]
    return Pixel(int(row), int(column)), bool(positive)


def test_two_empty_masks_agree():
    assert iou(NOTHING, NOTHING) == 1.0
    assert iou(NOTHING, ~NOTHING) == 0.0


@given(st.integers(1, 9999), st.integers(1, 9999), st.data())
def test_a_pixel_survives_the_way_there_and_back(height, width, data):
    pixel = Pixel(data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1)))
    click = pixel_to_click(pixel, (height, width))
    assert click_to_pixel(click, (height, width)) == pixel
    assert click_to_pixel(Click(round(click.x, 4), round(click.y, 4)), (height, width)) == pixel


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 5000), st.integers(1, 5000))
def test_every_click_has_a_pixel_in_the_picture(x, y, height, width):
    row, column = click_to_pixel(Click(x, y), (height, width))
    assert 0 <= row < height
    assert 0 <= column < width
