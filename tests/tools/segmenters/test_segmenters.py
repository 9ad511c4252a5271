"""One contract for every segmenter, more for the embedded ones, and a floor under the quality."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy import ndimage
from support import tiny_sam

from ibisagent.evals.clicks import compute_click_ious
from ibisagent.tools.clicks import Box, Click, Pixel, Prompt, box_to_pixel_box, click_to_pixel, pixel_to_click
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.segmenters.base import Mask, Pixels, Prediction, Query, Segmenter
from ibisagent.tools.segmenters.disk import DiskSegmenter
from ibisagent.tools.segmenters.features import extract_features
from ibisagent.tools.segmenters.geocut import GeocutSegmenter
from ibisagent.tools.segmenters.geodesic import GeodesicSegmenter
from ibisagent.tools.segmenters.geonet.segmenter import GeonetSegmenter
from ibisagent.tools.segmenters.memo import Memo

LOOKING = [GeodesicSegmenter, GeocutSegmenter, GeonetSegmenter]
EMBEDDED = [DiskSegmenter, *LOOKING]
every = pytest.mark.parametrize("make", [*EMBEDDED, *tiny_sam.FAMILIES], indirect=True)
embedded = pytest.mark.parametrize("make", EMBEDDED, indirect=True)
looking = pytest.mark.parametrize("make", LOOKING, indirect=True)
networks = pytest.mark.parametrize("make", tiny_sam.FAMILIES, indirect=True)


@pytest.fixture
def make(request):
    """Return what makes a segmenter: a class, or the one tiny random network of a family."""
    return (lambda: tiny_sam.open_tiny(request.param)) if isinstance(request.param, str) else request.param


CLICKS = (Click(0.5, 0.5), Click(0.9, 0.1, positive=False), Click(0.6, 0.45), Click(0.05, 0.9, positive=False))
PICTURES = {
    "1x1": np.full((1, 1), 7, np.uint8),
    "1x9": np.arange(9, dtype=np.uint8)[None] * 20,
    "2x2": np.array([[0, 255], [255, 0]], np.uint8),
    "16": np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8),
    "16 colour": np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8),
    "constant": np.full((64, 80), 128, np.uint8),
    "black": np.zeros((64, 80, 3), np.uint8),
    "noise": np.random.default_rng(1).integers(0, 256, (128, 160), dtype=np.uint8),
    "tall": np.random.default_rng(2).integers(0, 256, (1000, 8), dtype=np.uint8),
    "wide": np.random.default_rng(3).integers(0, 256, (8, 1000, 3), dtype=np.uint8),
}


def ellipse(shape: tuple[int, int], centre: tuple[float, float], radii: tuple[float, float]) -> Mask:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 <= 1


def scene(seed: int = 0, shape: tuple[int, int] = (180, 240), noise: float = 12.0) -> tuple[Pixels, Mask]:
    """A body with two organs of nearly one grey; the truth is one of them."""
    rng = np.random.default_rng(seed)
    height, width = shape
    centre, radii = rng.uniform(0.35, 0.6, 2) * shape, rng.uniform(0.1, 0.2, 2) * shape
    picture = np.full(shape, 20.0)
    picture[ellipse(shape, (height / 2, width / 2), (0.45 * height, 0.46 * width))] = 90
    picture[ellipse(shape, (0.8 * height, 0.3 * width), (0.1 * height, 0.1 * width))] = 150
    truth = ellipse(shape, tuple(centre), tuple(radii))
    picture[truth] = 160
    picture = ndimage.gaussian_filter(picture, 1.0) + rng.normal(0, noise, shape)
    return np.clip(picture, 0, 255).astype(np.uint8), truth


def chain(segmenter: Segmenter, pixels: Pixels, prompts: tuple[Prompt, ...]) -> list[Prediction]:
    embedding, prior, out = segmenter.embed(pixels), None, []
    for count in range(1, len(prompts) + 1):
        out.append(segmenter.predict(embedding, prompts[:count], prior))
        prior = out[-1].prior
    return out


@every
def test_implements_the_protocol(make):
    segmenter = make()
    assert isinstance(segmenter, Segmenter)
    assert "\n" not in segmenter.fingerprint
    assert segmenter.fingerprint == make().fingerprint


def evidence(prediction: Prediction):
    """What a prediction rests on: a network's logits, which tell more than its mask, or the mask."""
    return getattr(prediction.prior, "logits", prediction.mask)


def differ(one: Prediction, other: Prediction) -> bool:
    return not np.array_equal(evidence(one), evidence(other))


@every
@pytest.mark.parametrize("name", PICTURES)
def test_any_picture_gives_a_mask_on_its_own_grid(make, name):
    pixels = PICTURES[name]
    for prediction in chain(make(), pixels, CLICKS):
        mask = prediction.mask
        assert (mask.shape, mask.dtype, mask.flags.writeable) == (pixels.shape[:2], np.bool_, False)
        assert prediction.score is None or 0.0 <= prediction.score <= 1.0


@every
@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 3), (2000, 1500), (1500, 2000, 3)])
def test_small_and_large_pictures_grey_and_in_colour(make, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert chain(make(), pixels, CLICKS[:2])[-1].mask.shape == shape[:2]


@embedded
@pytest.mark.parametrize("name", PICTURES)
def test_clicks_are_honoured_on_any_picture(make, name):
    pixels = PICTURES[name]
    for count, prediction in enumerate(chain(make(), pixels, CLICKS), 1):
        mask = prediction.mask
        last = {click_to_pixel(click, pixels.shape): click.positive for click in CLICKS[:count]}
        if make is not DiskSegmenter:
            assert {pixel: bool(mask[pixel]) for pixel in last} == last
        assert mask[click_to_pixel(CLICKS[count - 1], pixels.shape)] == CLICKS[count - 1].positive


@looking
def test_clicks_are_honoured_at_4000_pixels(make):
    pixels = np.kron(scene()[0][::3, ::3], np.ones((50, 50), np.uint8))
    clicks = (Click(0.5, 0.5), Click(0.5006, 0.5, positive=False), Click(0.5, 0.5006))
    assert max(pixels.shape) == 4000
    mask = chain(make(), pixels, clicks)[-1].mask
    assert mask.shape == pixels.shape
    assert [bool(mask[click_to_pixel(click, pixels.shape)]) for click in clicks] == [True, False, True]


@every
def test_same_call_gives_the_same_bits_whatever_came_between(make):
    segmenter, (pixels, _) = make(), scene()
    embedding = segmenter.embed(pixels)
    first = segmenter.predict(embedding, CLICKS[:1], None)
    second = segmenter.predict(embedding, CLICKS[:2], first.prior)
    for other in CLICKS:
        segmenter.predict(embedding, (other,), second.prior)
    assert np.array_equal(segmenter.predict(embedding, CLICKS[:1], None).mask, first.mask)
    again = make().predict(make().embed(pixels), list(CLICKS[:2]), first.prior)
    assert np.array_equal(again.mask, second.mask)
    assert again.score == second.score


@every
def test_prompts_and_picture_are_not_mutated(make):
    pixels, prompts = PICTURES["noise"].copy(), list(CLICKS)
    chain(make(), pixels, tuple(prompts))
    make().predict(make().embed(pixels), prompts, None)
    assert prompts == list(CLICKS)
    assert np.array_equal(pixels, PICTURES["noise"])


@every
def test_threads_share_an_embedding(make):
    segmenter, (pixels, _) = make(), scene(shape=(90, 120))
    clicks = [Click(x, y) for x in (0.2, 0.5, 0.8) for y in (0.3, 0.6)]
    alone = [segmenter.predict(segmenter.embed(pixels), (click,), None).mask for click in clicks]
    embedding = segmenter.embed(pixels)
    with ThreadPoolExecutor(4) as pool:
        shared = list(pool.map(lambda click: segmenter.predict(embedding, (click,), None).mask, clicks * 3))
    assert all(np.array_equal(mask, alone[index % len(alone)]) for index, mask in enumerate(shared))


@every
def test_another_prior_gives_another_answer(make):
    segmenter, (pixels, truth) = make(), scene()
    embedding = segmenter.embed(pixels)
    priors = [None, *(segmenter.prior_from_mask(embedding, mask) for mask in (truth, np.roll(truth, 60, axis=1)))]
    answers = [segmenter.predict(embedding, CLICKS[2:3], prior) for prior in priors]
    assert all(differ(answers[i], answers[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


@every
def test_another_box_gives_another_answer(make):
    segmenter, (pixels, _) = make(), scene()
    embedding = segmenter.embed(pixels)
    boxes = (Box(0.2, 0.2, 0.5, 0.7), Box(0.2, 0.2, 0.7, 0.7))
    narrow, wide = (segmenter.predict(embedding, (box,), None) for box in boxes)
    assert differ(narrow, wide)
    clicked = segmenter.predict(embedding, CLICKS[:1], None)
    assert differ(clicked, segmenter.predict(embedding, (*CLICKS[:1], Box(0.46, 0.46, 0.54, 0.54)), clicked.prior))


@every
def test_prompts_count_in_their_order(make):
    pixels, _ = scene()
    clicks = (Click(0.5, 0.5), Click(0.52, 0.5, positive=False))
    assert differ(chain(make(), pixels, clicks)[-1], chain(make(), pixels, clicks[::-1])[-1])


@every
def test_undo_through_the_memo_is_exact(make):
    image = open_image(scene()[0])
    memo, small = Memo(make()), Memo(make(), max_bytes=1)
    before = [memo.predict(image, None, CLICKS[:count]) for count in (1, 2, 3)]
    for undone in (memo, small):  # remembered, and made again
        after = [undone.predict(image, None, CLICKS[:count]) for count in (2, 1)]
        assert [answer.rle for answer in after] == [before[1].rle, before[0].rle]
        assert [answer.prediction.score for answer in after] == [answer.prediction.score for answer in before[1::-1]]
        assert not any(differ(a.prediction, b.prediction) for a, b in zip(after, before[1::-1], strict=True))
    other = (CLICKS[0], CLICKS[3])
    assert not differ(memo.predict(image, None, other).prediction, chain(make(), image.pixels, other)[-1])


@networks
def test_predict_many_is_within_the_tolerance_of_one_by_one(make):
    segmenter = make()
    one, other = (segmenter.embed(scene(seed)[0]) for seed in (0, 1))
    prior = segmenter.predict(one, CLICKS[:1], None).prior
    queries = [Query(picture, (click,), None) for picture in (one, other) for click in CLICKS]
    queries += [
        Query(one, CLICKS[:2], prior),
        Query(other, CLICKS[2:], None),
        Query(one, (Box(0.1, 0.1, 0.5, 0.5),), prior),
    ]
    for together, query in zip(segmenter.predict_many(queries), queries, strict=True):
        alone = segmenter.predict(*query)
        assert (together.mask != alone.mask).mean() < 1e-4
        assert together.score == pytest.approx(alone.score, abs=1e-4)
        if alone.prior is not None:
            assert np.abs(together.prior.logits - alone.prior.logits).max() < 1e-4


@networks
@pytest.mark.parametrize("factor", [1, 4])
def test_initial_mask_comes_back_out_of_its_logits(make, factor, record_property):
    pixels, truth = (np.kron(part, np.ones((factor, factor), part.dtype)) for part in scene())
    segmenter = make()
    embedding = segmenter.embed(pixels)
    prior = segmenter.prior_from_mask(embedding, truth)
    carried = segmenter.transform.mask(torch.tensor(prior.logits)[None, None], embedding.frame)
    answered = segmenter.predict(embedding, (), prior).mask  # random weights: it only has to be there
    fidelity = f"{overlap(carried, truth):.4f} carried, {overlap(answered, truth):.4f} answered"
    record_property("prior_from_mask fidelity, IoU", fidelity)
    sys.stdout.write(f"{segmenter.name}: {fidelity}\n")
    assert overlap(carried, truth) > 0.95


@embedded
def test_initial_mask_without_prompts_is_given_back(make):
    pixels, truth = scene()
    segmenter = make()
    embedding = segmenter.embed(pixels)
    assert np.array_equal(segmenter.predict(embedding, (), segmenter.prior_from_mask(embedding, truth)).mask, truth)


@embedded
def test_predict_many_equals_one_by_one(make):
    segmenter, (pixels, _) = make(), scene(shape=(60, 80))
    embedding = segmenter.embed(pixels)
    queries = [Query(embedding, (click,), None) for click in CLICKS]
    many = segmenter.predict_many(queries)
    assert all(np.array_equal(p.mask, segmenter.predict(*q).mask) for p, q in zip(many, queries, strict=True))


@embedded
@pytest.mark.parametrize("corner", [(0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0)])
def test_border_click_is_honoured(make, corner):
    pixels, _ = scene()
    click = Click(*corner)
    assert make().predict(make().embed(pixels), (click,), None).mask[click_to_pixel(click, pixels.shape)]


@embedded
@pytest.mark.parametrize("signs", [(True, False), (False, True), (True, False, True)])
def test_later_click_wins_on_the_same_pixel(make, signs):
    pixels, _ = scene()
    clicks = tuple(Click(0.45, 0.45, positive=sign) for sign in signs)
    prediction = chain(make(), pixels, clicks)[-1]
    assert prediction.mask[click_to_pixel(clicks[-1], pixels.shape)] == signs[-1]


@every
def test_negative_click_alone_gives_an_empty_mask(make):
    pixels, _ = scene()
    assert not make().predict(make().embed(pixels), (Click(0.5, 0.5, positive=False),), None).mask.any()


@embedded
@pytest.mark.parametrize("name", ["1x1", "16 colour", "constant", "noise", "tall"])
def test_box_bounds_a_mask_that_is_not_empty(make, name):
    pixels, box = PICTURES[name], Box(0.25, 0.3, 0.7, 0.8)
    mask = make().predict(make().embed(pixels), (box,), None).mask
    top, left, bottom, right = box_to_pixel_box(box, pixels.shape)
    assert mask[top : bottom + 1, left : right + 1].any()
    assert mask.sum() == mask[top : bottom + 1, left : right + 1].sum()


@looking
def test_box_finds_the_object_and_takes_clicks(make):
    pixels, truth = scene()
    rows, columns = np.nonzero(truth)
    box = Box(columns.min() / 240, rows.min() / 180, (columns.max() + 1) / 240, (rows.max() + 1) / 180)
    alone, corrected = chain(
        make(), pixels, (box, pixel_to_click(Pixel(int(rows[0]) + 1, int(columns[0])), truth.shape))
    )
    assert overlap(alone.mask, truth) > 0.8
    assert not corrected.mask[: rows.min()].any()


@every
def test_grey_stored_as_colour_gives_the_same_mask(make):
    pixels, _ = scene()
    grey, colour = chain(make(), pixels, CLICKS), chain(make(), np.repeat(pixels[..., None], 3, axis=2), CLICKS)
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(grey, colour, strict=True))


def overlap(mask: Mask, truth: Mask) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


@looking
@pytest.mark.parametrize("positive", [True, False])
def test_a_click_leaves_all_of_a_given_mask_that_is_far_from_it(make, positive):
    pixels, _ = scene(3, (200, 200))
    initial = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(200, 200)), 1.2) > 0.15  # many thin parts
    segmenter = make()
    embedding = segmenter.embed(pixels)
    row, column = next(zip(*np.nonzero(initial[:20, :20] != positive), strict=True))
    click = pixel_to_click(Pixel(int(row), int(column)), (200, 200), positive)
    mask = segmenter.predict(embedding, (click,), segmenter.prior_from_mask(embedding, initial)).mask
    assert mask[row, column] == positive
    rows, columns = np.nonzero(mask != initial)
    assert np.hypot(rows - row, columns - column).max() <= 0.3 * 200 + 4


@embedded
@pytest.mark.parametrize("factor", [1, 3])
def test_click_on_an_initial_mask_edits_only_near_itself(make, factor):
    pixels, truth = (np.kron(part, np.ones((factor, factor), part.dtype)) for part in scene())
    initial = np.zeros(truth.shape, np.bool_)
    initial[-40 * factor : -10 * factor, -80 * factor : -20 * factor] = True
    segmenter = make()
    embedding = segmenter.embed(pixels)
    prior = segmenter.prior_from_mask(embedding, initial)
    row, column = (int(values.mean()) for values in np.nonzero(truth))
    added = segmenter.predict(embedding, (pixel_to_click(Pixel(row, column), truth.shape),), prior).mask
    assert (added & initial).sum() >= 0.98 * initial.sum()
    assert added[row, column]
    corner = Pixel(truth.shape[0] - 15 * factor, truth.shape[1] - 25 * factor)
    cut = segmenter.predict(embedding, (pixel_to_click(corner, truth.shape, positive=False),), prior).mask
    assert not cut[corner]
    assert not (cut & ~initial).any()
    assert 0.5 * initial.sum() < cut.sum() < initial.sum()
    assert initial.sum() == 1800 * factor**2


@looking
@pytest.mark.parametrize("value", [False, True])
def test_initial_mask_that_is_empty_or_everything(make, value):
    pixels, truth = scene()
    segmenter = make()
    embedding = segmenter.embed(pixels)
    prior = segmenter.prior_from_mask(embedding, np.full(truth.shape, value))
    assert np.array_equal(segmenter.predict(embedding, (), prior).mask, np.full(truth.shape, value))
    row, column = (int(values.mean()) for values in np.nonzero(truth))
    cut = segmenter.predict(embedding, (pixel_to_click(Pixel(row, column), truth.shape, positive=False),), prior).mask
    assert not cut[row, column]
    assert cut.mean() > 0.5 if value else not cut.any()
    added = segmenter.predict(embedding, (pixel_to_click(Pixel(row, column), truth.shape),), prior).mask
    assert added.all() if value else overlap(added, truth) > 0.7


@every
def test_initial_mask_of_another_shape_raises(make):
    segmenter, (pixels, _) = make(), scene()
    with pytest.raises(ValueError, match="expected"):
        segmenter.prior_from_mask(segmenter.embed(pixels), np.zeros((3, 3), np.bool_))


@every
def test_initial_mask_is_copied(make):
    pixels, truth = scene()
    segmenter = make()
    embedding, mask = segmenter.embed(pixels), truth.copy()
    prior = segmenter.prior_from_mask(embedding, mask)
    before = segmenter.predict(embedding, CLICKS[:1], prior).mask
    mask[:] = False
    assert np.array_equal(segmenter.predict(embedding, CLICKS[:1], prior).mask, before)
    assert segmenter.prior_from_mask(embedding, truth) is not prior


@looking
def test_constant_picture_scores_below_a_found_object(make):
    pixels, truth = scene()
    found = chain(make(), pixels, (pixel_to_click(Pixel(*(int(v.mean()) for v in np.nonzero(truth))), truth.shape),))[0]
    blank = chain(make(), np.full_like(pixels, 128), CLICKS[:1])[0]
    assert found.score is None or blank.score < min(0.5, found.score)


@pytest.mark.parametrize(
    ("make", "after_one", "after_five"), [(GeodesicSegmenter, 0.7, 0.8), (GeocutSegmenter, 0.8, 0.9)]
)
def test_quality_floor(make, after_one, after_five):
    ious = np.array([compute_click_ious(make(), *scene(seed), clicks=5) for seed in range(6)])
    assert ious[:, 0].mean() > after_one
    assert ious[:, 4].mean() > after_five


def test_features_shrink_to_the_working_side_and_are_read_only():
    features = extract_features(np.zeros((512, 1024, 3), np.uint8), side=256)
    assert (features.grid.work, features.colours.shape) == ((128, 256), (128, 256, 1))
    assert not features.colours.flags.writeable


# A coarse drawing


def test_a_coarse_drawing_is_brought_to_the_edges():
    pixels, truth = scene(noise=6.0)
    geocut = GeocutSegmenter()
    embedding = geocut.embed(pixels)
    coarse = ndimage.zoom(ndimage.zoom(truth.astype(np.float32), 1 / 12, order=1), 12, order=1) - 0.4
    drawn = np.asarray(8 * np.pad(coarse, [(0, n - m) for n, m in zip(truth.shape, coarse.shape, strict=True)]))
    before, after = (
        (mask & truth).sum() / (mask | truth).sum()
        for mask in (drawn > 0, geocut.cut_near_contour(embedding, drawn, 12))
    )
    assert after > before + 0.03


def test_a_drawing_changes_near_its_contour_alone():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (128, 160), dtype=np.uint8)
    geocut = GeocutSegmenter()
    embedding, drawn = geocut.embed(pixels), ellipse((128, 160), (60, 80), (40, 50))
    after = geocut.cut_near_contour(embedding, np.where(drawn, 1, -1).astype(np.float32), 6)
    sides = ndimage.distance_transform_edt(drawn), ndimage.distance_transform_edt(~drawn)
    assert after[sides[0] > 8].all()
    assert not after[sides[1] > 8].any()
    assert not np.array_equal(after, drawn)


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_a_drawing_without_a_contour_stays_as_it_is(value):
    geocut = GeocutSegmenter()
    embedding = geocut.embed(np.zeros((300, 260), np.uint8))
    mask = geocut.cut_near_contour(embedding, np.full(embedding.grid.work, value, np.float32), 6)
    assert mask.shape == (300, 260)
    assert mask.all() if value > 0 else not mask.any()
