"""How much one click may change: no more than it can mean; after a box, nothing but what it corrects."""

from dataclasses import replace

import numpy as np
import pytest

from ibisagent.evals.clicks.protocol import bounding_box_prompt, simulate_clicks
from ibisagent.tools.clicks import Click, Pixel
from ibisagent.tools.segmenters.click_evidence import limit_edit
from ibisagent.tools.segmenters.features import extract_features
from ibisagent.tools.segmenters.geocut import GeocutSegmenter
from ibisagent.tools.segmenters.geodesic import GeodesicSegmenter
from ibisagent.tools.segmenters.parameters import Parameters
from ibisagent.tools.segmenters.working_grid import GridClick

ROWS, COLUMNS = np.mgrid[:200, :240]
EVEN = np.full((200, 240), 128, np.uint8)


def disc(row, column, radius):
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius**2


def limit(label, old, click, prompts=1):
    return limit_edit(extract_features(EVEN, 256), label, old, prompts, click, Parameters())


@pytest.mark.parametrize(("positive", "most"), [(True, 8 * np.pi * 3.5**2 + 9), (False, 10 * np.pi * 3.5**2 + 9)])
def test_an_edit_of_more_than_its_click_sees_is_cut_to_the_nearest(positive, most):
    old = COLUMNS <= 120
    click = GridClick(Pixel(100, 123 if positive else 118), positive)  # three pixels from the contour
    label = np.full_like(old, positive)
    limited = limit(label, old, click)
    changed = limited != old
    assert 0.8 * most < changed.sum() <= most + 5  # pixels at one distance go together
    assert limited[click.pixel] == positive
    furthest = np.hypot(ROWS - click.pixel.row, COLUMNS - click.pixel.column)[changed].max()
    assert furthest < 40


def test_what_a_click_does_not_ask_for_is_not_limited():
    old, label = disc(100, 120, 60), disc(100, 120, 20)
    assert np.array_equal(limit(label, old, GridClick(Pixel(100, 120), True)), label)


def test_a_small_edit_stays():
    old, label = disc(100, 120, 60), disc(100, 120, 60) | disc(100, 180, 3)
    assert np.array_equal(limit(label, old, GridClick(Pixel(100, 181), True)), label)


def test_a_far_click_adds_less_the_more_prompts_made_the_mask():
    old, far = disc(40, 40, 8), GridClick(Pixel(150, 200), True)
    label = old | disc(150, 200, 45)
    added = [int((limit(label, old, far, prompts) & ~old).sum()) for prompts in (1, 2, 8)]
    assert label.sum() - old.sum() > added[0] > 1.8 * added[1] > 3 * added[2]


@pytest.mark.parametrize("make", [GeocutSegmenter, GeodesicSegmenter])
@pytest.mark.parametrize("right", [60, 70])
def test_a_click_after_a_box_corrects_its_mask(make, right):
    """A piece is missing at the object's edge."""
    truth = disc(100, 120, 60) & ~disc(100, 120 + right, 22)
    rng = np.random.default_rng(0)
    pixels = np.clip(np.where(truth, 150, 115) + rng.normal(0, 8, truth.shape), 0, 255).astype(np.uint8)
    pixels[~disc(100, 120, 60)] = 60
    segmenter = make()
    ious = simulate_clicks(segmenter, segmenter.embed(pixels), truth, 4, box=True).ious
    assert min(ious[1:]) > ious[0] - 0.005
    assert ious[-1] > ious[0]


def test_a_box_after_clicks_begins_anew():
    truth = disc(100, 120, 40)
    pixels = np.where(truth, 180, 60).astype(np.uint8)
    segmenter = GeocutSegmenter()
    embedding = segmenter.embed(pixels)
    clicks = (Click(0.05, 0.05),)
    first = segmenter.predict(embedding, clicks, None)
    boxed = segmenter.predict(embedding, (*clicks, bounding_box_prompt(truth)), first.prior).mask
    assert not boxed[:50].any()


@pytest.mark.parametrize("make", [GeocutSegmenter, GeodesicSegmenter])
def test_only_a_given_mask_keeps_the_contour_that_it_has(make):
    """Slivers of change are lost where one mask is laid over another; what a box found is drawn anew at each click."""
    truth = disc(100, 120, 40)
    segmenter = make()
    embedding = segmenter.embed(np.where(truth, 180, 60).astype(np.uint8))
    prompts = (bounding_box_prompt(truth), Click(0.5, 0.45))
    found = segmenter.predict(embedding, prompts[:1], None).prior
    other = replace(found, full=found.full & (COLUMNS < 130))
    first, second = (segmenter.predict(embedding, prompts, prior).mask for prior in (found, other))
    assert np.array_equal(first, second)
    given = replace(other, has_initial_mask=True)
    assert np.array_equal(segmenter.predict(embedding, prompts[1:], given).mask, other.full)
