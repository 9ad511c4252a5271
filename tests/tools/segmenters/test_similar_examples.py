"""All like this: the contract over any picture, and pictures of many objects of two kinds."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import ndimage

from ibisagent.evals.metrics import instance_metrics
from ibisagent.tools.clicks import Box, Click, Pixel, Similar, click_to_pixel, pixel_to_click
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.instances import instances
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import encode
from ibisagent.tools.segmenters.geocut import GeocutSegmenter
from ibisagent.tools.segmenters.memo import Memo
from ibisagent.tools.segmenters.similar import SimilarSettings
from ibisagent.tools.segmenters.similar.classifier import fit_logistic, otsu
from ibisagent.tools.simulator import next_click, to_prompt

SEGMENTERS = [GeocutSegmenter]
every = pytest.mark.parametrize("make", SEGMENTERS)
MIXED = (
    Similar(0.5, 0.5),
    Similar(0.9, 0.1, positive=False),
    Click(0.6, 0.45),
    Similar(0.3, 0.6),
    Click(0.05, 0.9, positive=False),
    Similar(0.6, 0.45, positive=False),
)
PICTURES = {
    "1x1": np.full((1, 1), 7, np.uint8),
    "1x9": np.arange(9, dtype=np.uint8)[None] * 20,
    "2x2": np.array([[0, 255], [255, 0]], np.uint8),
    "16 colour": np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8),
    "constant": np.full((64, 80), 128, np.uint8),
    "noise": np.random.default_rng(1).integers(0, 256, (128, 160), dtype=np.uint8),
    "tall": np.random.default_rng(2).integers(0, 256, (1000, 8), dtype=np.uint8),
    "large": np.random.default_rng(3).integers(0, 256, (900, 1200, 3), dtype=np.uint8),
}


def cells(seed=0, levels=(150, 90), side=220):
    """A dark picture with discs of two brightnesses, none touching; returns it and the mask of each kind."""
    rng = np.random.default_rng(seed)
    picture, kinds = np.full((side, side), 25.0), [np.zeros((side, side), bool) for _ in levels]
    rows, columns = np.mgrid[:side, :side]
    for row in range(22, side - 15, 36):
        for column in range(22, side - 15, 36):
            kind = int(rng.integers(len(levels)))
            place = row + rng.uniform(-4, 4), column + rng.uniform(-4, 4)
            disc = (rows - place[0]) ** 2 + (columns - place[1]) ** 2 <= rng.uniform(7, 11) ** 2
            picture[disc] = levels[kind] * rng.uniform(0.93, 1.07)
            kinds[kind] |= disc
    noisy = ndimage.gaussian_filter(picture, 0.8) + rng.normal(0, 5, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), kinds


def example(mask, positive=True, index=0):
    """An example on the centre of the ``index``-th object of a mask."""
    x, y = instances(mask).centroids[index]
    return Similar(x, y, positive)


def chain(segmenter, pixels, prompts, prior=None):
    embedding, out = segmenter.embed(pixels), []
    for count in range(1, len(prompts) + 1):
        out.append(segmenter.predict(embedding, prompts[:count], prior))
        prior = out[-1].prior
    return out


# The contract


@every
@pytest.mark.parametrize("name", PICTURES)
def test_examples_and_clicks_are_honoured_on_any_picture(make, name):
    pixels = PICTURES[name]
    for count, prediction in enumerate(chain(make(), pixels, MIXED), 1):
        mask = prediction.mask
        assert (mask.shape, mask.dtype, mask.flags.writeable) == (pixels.shape[:2], np.bool_, False)
        wanted = {click_to_pixel(prompt, pixels.shape): prompt.positive for prompt in MIXED[:count]}
        assert {pixel: bool(mask[pixel]) for pixel in wanted} == wanted
        assert prediction.score is None or 0 <= prediction.score <= 1


@every
def test_same_call_gives_the_same_bits_with_and_without_the_prior(make):
    pixels, (bright, dim) = cells()
    prompts = (example(bright), example(dim, positive=False), Click(0.5, 0.5), example(bright, index=2))
    stepwise = chain(make(), pixels, prompts)
    for count, answer in enumerate(stepwise, 1):
        segmenter = make()
        at_once = segmenter.predict(segmenter.embed(pixels), list(prompts[:count]), None)
        assert np.array_equal(at_once.mask, answer.mask)


@every
def test_undo_through_the_memo_is_exact(make):
    pixels, (bright, dim) = cells()
    image, prompts = open_image(pixels), (example(bright), example(dim, positive=False), Click(0.5, 0.5))
    memo, small = Memo(make()), Memo(make(), max_bytes=1)
    before = [memo.predict(image, None, prompts[:count]).rle for count in (1, 2, 3)]
    for undone in (memo, small):
        assert [undone.predict(image, None, prompts[:count]).rle for count in (2, 1)] == before[1::-1]


@every
def test_threads_share_an_embedding(make):
    pixels, (bright, dim) = cells(side=120)
    prompts = [example(kind, index=index) for kind in (bright, dim) for index in (0, 1)]
    alone = [make().predict(make().embed(pixels), (prompt,), None).mask for prompt in prompts]
    segmenter = make()
    embedding = segmenter.embed(pixels)
    with ThreadPoolExecutor(4) as pool:
        shared = list(pool.map(lambda prompt: segmenter.predict(embedding, (prompt,), None).mask, prompts * 2))
    assert all(np.array_equal(mask, alone[index % 4]) for index, mask in enumerate(shared))


@every
def test_the_picture_may_change_after_it_was_embedded(make):
    pixels, (bright, _) = cells()
    segmenter, prompt = make(), (example(bright),)
    expected = segmenter.predict(segmenter.embed(pixels), prompt, None).mask
    embedding = segmenter.embed(pixels)
    pixels[:] = 0
    assert np.array_equal(segmenter.predict(embedding, prompt, None).mask, expected)


@every
def test_grey_stored_as_colour_gives_the_same_mask(make):
    pixels, (bright, dim) = cells()
    prompts = (example(bright), example(dim, positive=False))
    grey, colour = chain(make(), pixels, prompts), chain(make(), np.repeat(pixels[..., None], 3, axis=2), prompts)
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(grey, colour, strict=True))


def test_settings_are_in_the_fingerprint():
    other = GeocutSegmenter(similar=SimilarSettings(window=96))
    assert other.fingerprint != GeocutSegmenter().fingerprint


# What it finds


@pytest.mark.parametrize("seed", range(3))
def test_one_example_finds_all_of_one_brightness_or_more(seed):
    pixels, (bright, dim) = cells(seed, levels=(150, 140))
    (answer,) = chain(GeocutSegmenter(), pixels, (example(bright),))
    truth = bright | dim
    assert iou(answer.mask, truth) > 0.8
    found = instance_metrics(instances(answer.mask), instances(truth))
    assert found.f1 > 0.95
    assert abs(found.count_error) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_negative_examples_take_away_others_like_them(seed):
    pixels, (bright, dim) = cells(seed, levels=(170, 110))
    prompts = (example(bright), example(dim, positive=False), example(dim, positive=False, index=1))
    first, _, last = chain(GeocutSegmenter(), pixels, prompts)
    assert iou(first.mask, bright | dim) > 0.8
    assert iou(last.mask, bright) > iou(first.mask, bright) + 0.05
    clicked = (instances(dim).labels == 1) | (instances(dim).labels == 2)
    others = dim & ~clicked
    assert (last.mask & others).sum() < 0.85 * (first.mask & others).sum()
    assert (last.mask & bright).sum() > 0.9 * bright.sum()


@pytest.mark.parametrize("seed", range(3))
def test_positive_examples_add_others_like_them(seed):
    pixels, (bright, dim) = cells(seed, levels=(190, 60))
    answers = chain(GeocutSegmenter(), pixels, (example(bright), example(dim), example(dim, index=1)))
    assert iou(answers[-1].mask, bright | dim) > 0.7 > iou(answers[0].mask, bright | dim)


@pytest.mark.parametrize("seed", range(4))
def test_no_later_example_spoils_the_mask(seed):
    pixels, (bright, dim) = cells(seed, levels=(150, 80))
    segmenter, truth = GeocutSegmenter(), bright if seed % 2 else bright | dim
    embedding, prior, mask, prompts, ious = segmenter.embed(pixels), None, np.zeros(truth.shape, bool), [], []
    for _ in range(6):
        click = next_click(mask, truth, {click_to_pixel(prompt, truth.shape) for prompt in prompts})
        if click is None:
            break
        prompts.append(to_prompt(click, truth.shape, similar=True))
        answer = segmenter.predict(embedding, tuple(prompts), prior)
        mask, prior = answer.mask, answer.prior
        ious.append(iou(mask, truth))
    assert np.diff(ious).min() > -0.1
    assert ious[-1] > 0.7


# Examples among other prompts


def test_a_plain_click_edits_a_part_and_its_edit_stays():
    pixels, (bright, dim) = cells(levels=(150, 140))
    truth = bright | dim
    first, other = example(truth), example(truth, index=7)
    row, column = (int(v) for v in np.argwhere(instances(truth).labels == 5).mean(axis=0))
    removed = pixel_to_click(Pixel(row, column), truth.shape, positive=False)
    one, two, three = chain(GeocutSegmenter(), pixels, (first, removed, other))
    assert one.mask[row, column]
    object_five = instances(truth).labels == 5
    assert (two.mask & object_five).sum() < 0.2 * object_five.sum()
    far = ~ndimage.binary_dilation(object_five, iterations=20)
    specks, _ = ndimage.label((two.mask ^ one.mask) & far)
    assert np.bincount(specks.ravel())[1:].max(initial=0) <= 1
    assert (three.mask & object_five).sum() < 0.2 * object_five.sum()
    again = chain(GeocutSegmenter(), pixels, (first, removed, example(truth, index=4)))[-1]
    assert (again.mask & object_five).sum() > 0.8 * object_five.sum()


def test_a_box_since_the_last_example_bounds_the_mask_and_an_earlier_one_does_not():
    pixels, (bright, dim) = cells(levels=(150, 140))
    truth = bright | dim
    first, box = example(truth, index=8), Box(0.0, 0.0, 0.5, 1.0)
    after = chain(GeocutSegmenter(), pixels, (first, box))[-1].mask
    assert after[:, :100].any()
    assert not after[:, 111:].any()
    before = chain(GeocutSegmenter(), pixels, (box, first))[-1].mask
    assert before[:, 111:].any()


def test_an_example_keeps_an_initial_mask():
    pixels, (bright, dim) = cells(levels=(190, 60))
    segmenter = GeocutSegmenter()
    embedding = segmenter.embed(pixels)
    given = instances(dim).labels == 1
    prior = segmenter.prior_from_mask(embedding, given)
    mask = segmenter.predict(embedding, (example(bright),), prior).mask
    assert iou(mask, bright | given) > 0.75
    assert (mask & given).sum() > 0.95 * given.sum()


def test_a_negative_example_alone_is_a_negative_point():
    pixels, (bright, _) = cells()
    segmenter = GeocutSegmenter()
    embedding = segmenter.embed(pixels)
    negative = example(bright, positive=False)
    assert not segmenter.predict(embedding, (negative,), None).mask.any()
    prior = segmenter.prior_from_mask(embedding, bright)
    edited = segmenter.predict(embedding, (negative,), prior).mask
    point = segmenter.predict(embedding, (Click(negative.x, negative.y, False),), prior).mask
    assert np.array_equal(edited, point)
    after = chain(segmenter, pixels, (negative, example(bright, index=1)))[-1].mask
    assert not after[click_to_pixel(negative, after.shape)]
    assert after.any()


def test_taking_back_the_only_example_on_its_pixel_leaves_nothing():
    pixels, (bright, _) = cells()
    first = example(bright)
    answer = chain(GeocutSegmenter(), pixels, (first, Similar(first.x, first.y, False)))[-1]
    assert encode(answer.mask) == encode(np.zeros_like(bright))


# The classifier


def test_logistic_regression_has_no_slope_at_its_solution():
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(400, 5))
    labels = (numbers @ [1, -2, 0.5, 0, 0] + rng.normal(size=400) > 0.3).astype(float)
    weights, ridge = rng.uniform(0.2, 2, 400), 0.7
    fitted = fit_logistic(numbers, labels, weights, ridge, steps=30)
    design = np.column_stack([numbers, np.ones(400)])
    slope = design.T @ (weights * (1 / (1 + np.exp(-design @ fitted)) - labels)) + [*(ridge * fitted[:-1]), 0]
    assert np.abs(slope).max() < 1e-3


def test_otsu_parts_two_groups():
    values = np.concatenate([np.full(300, -2.0), np.full(100, 3.0)]).astype(np.float32)
    assert -2 < otsu(values) < 3
