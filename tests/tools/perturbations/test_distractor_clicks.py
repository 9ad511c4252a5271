"""Distractor clicks: beside the target, on what is bright or dark, and never on the target."""

import numpy as np
import pytest
from conftest import ellipse

from ibisagent.tools.clicks import click_to_pixel
from ibisagent.tools.perturbations.distractor_clicks import (
    compute_surrounding_band,
    sample_distractor_click,
    select_extreme_intensities,
)

EMPTY = np.zeros((96, 128), bool)


def clicks(truth, picture, count=40):
    made = [sample_distractor_click(truth, picture, np.random.default_rng(seed)) for seed in range(count)]
    assert all(click.positive for click in made)
    return [click_to_pixel(click, truth.shape) for click in made]


def test_a_distractor_click_is_beside_the_target_or_on_something_bright_or_dark(pixels, truth):
    picture = pixels.copy()
    picture[:, 108:] = 250
    places = clicks(truth, picture)
    assert not any(truth[place] for place in places)
    beside = [bool(compute_surrounding_band(truth)[place]) for place in places]
    assert 10 < sum(beside) < 30
    low, high = np.percentile(picture, (15, 85))
    assert all(
        picture[place] <= low or picture[place] >= high for place, near in zip(places, beside, strict=True) if not near
    )


def test_an_absent_target_gets_a_click_on_something_bright_or_dark(pixels):
    low, high = np.percentile(pixels, (15, 85))
    found = [pixels[place] for place in clicks(EMPTY, pixels)]
    assert {bool(value >= high) for value in found} == {True, False}
    assert all(value <= low or value >= high for value in found)


def test_a_target_everywhere_leaves_no_wrong_place(pixels):
    assert sample_distractor_click(~EMPTY, pixels, np.random.default_rng(0)) is None


def test_the_band_is_a_ring_and_empty_for_an_empty_mask():
    truth = ellipse()
    ring = compute_surrounding_band(truth)
    assert not (ring & truth).any()
    rows, columns = np.nonzero(ring)
    assert (np.hypot((rows - 40) / 20, (columns - 70) / 30) < 1.6).all()
    assert not compute_surrounding_band(EMPTY).any()


@pytest.mark.parametrize("scale", [0.5, 1, 2])
def test_a_picture_of_another_size_or_in_colour_is_looked_up_pixel_by_pixel(scale):
    picture = np.zeros((int(96 * scale), int(128 * scale)), np.uint8)
    picture[:, : picture.shape[1] // 2] = 200
    allowed = np.indices((96, 128))[0] < 10
    halves = [select_extreme_intensities(picture, allowed, np.random.default_rng(seed)) for seed in range(8)]
    coloured = [
        select_extreme_intensities(np.stack([picture] * 3, -1), allowed, np.random.default_rng(seed))
        for seed in range(8)
    ]
    left = allowed & (np.indices((96, 128))[1] < 64)
    assert {half.tobytes() for half in halves} == {left.tobytes(), (allowed & ~left).tobytes()}
    assert [half.tobytes() for half in halves] == [half.tobytes() for half in coloured]
