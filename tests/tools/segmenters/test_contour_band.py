"""The second cut: a smooth contour on the picture's edge, the topology kept, thin parts whole."""

import numpy as np
import pytest
from scipy import ndimage

from ibisagent.tools.clicks import Pixel
from ibisagent.tools.segmenters.contour_band import count_parts, refine_contour
from ibisagent.tools.segmenters.working_grid import GridClick

ROWS, COLUMNS = np.mgrid[:240, :240]


def disc(row, column, radius):
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius**2


def picture_of(truth, noise=8.0, seed=0):
    values = np.where(truth, 170.0, 90.0) + np.random.default_rng(seed).normal(0, noise, truth.shape)
    return np.clip(ndimage.gaussian_filter(values, 0.7), 0, 255).astype(np.uint8)[..., None]


def overlap(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_bite_and_steps_in_the_contour_are_mended(scale):
    truth = disc(120, 120, 60)
    coarse = np.kron(truth[::4, ::4], np.ones((4, 4), np.bool_))  # staircases of 4 pixels
    refined = refine_contour(picture_of(truth), coarse, scale, (), None)
    assert overlap(refined, truth) > overlap(coarse, truth) + 0.01
    assert overlap(refined, truth) > 0.985


def test_only_the_band_changes():
    truth, drawn = disc(120, 120, 60), disc(120, 130, 50)
    refined = refine_contour(picture_of(truth), drawn, 2, (), None)
    inward, outward = (ndimage.distance_transform_edt(part) for part in (drawn, ~drawn))
    changed = refined != drawn
    assert changed.any()
    assert max(inward[changed].max(), outward[changed].max()) <= 3 * np.sqrt(2)


def test_only_what_is_free_changes():
    truth, drawn = disc(120, 120, 60), disc(120, 122, 58)
    free = COLUMNS < 120
    refined = refine_contour(picture_of(truth), drawn, 2, (), free)
    assert (refined != drawn)[free].any()
    assert not (refined != drawn)[~free].any()


def test_clicks_hold():
    truth = disc(120, 120, 60)
    drawn = disc(120, 120, 62)
    clicks = [GridClick(Pixel(120, 58), True), GridClick(Pixel(60, 120), False)]
    refined = refine_contour(picture_of(truth), drawn, 2, clicks, None)
    assert refined[120, 58]
    assert not refined[60, 120]
    assert not refine_contour(picture_of(truth), drawn, 2, (), None)[120, 58]


@pytest.mark.parametrize("seed", range(8))
def test_noise_changes_no_number_of_components_or_holes(seed):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(size=(120, 120)), 3) > 0.03
    noise = rng.integers(0, 256, (120, 120, 1), dtype=np.uint8)
    refined = refine_contour(noise, mask, 1 + seed % 3, (), None)
    assert (refined != mask).any()
    assert count_parts(refined) == count_parts(mask)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("width", [1, 2])
def test_thin_parts_stay_whole_where_the_picture_shows_nothing(scale, width):
    line = disc(120, 120, 40)
    line[118 : 118 + width * scale, 150:230] = True
    refined = refine_contour(np.full((240, 240, 1), 99, np.uint8), line, scale, (), None)
    assert refined[:, 170:230].sum() == line[:, 170:230].sum()


@pytest.mark.parametrize("value", [False, True])
def test_a_mask_without_a_contour_stays(value):
    mask = np.full((20, 30), value)
    assert np.array_equal(refine_contour(np.zeros((20, 30, 3), np.uint8), mask, 1, (), None), mask)
