"""The SAM family: equal to the official pipelines, and what goes into the decoder when."""

import sys
import types

import numpy as np
import pytest
import torch
from skimage import transform
from support import tiny_sam
from support.fakes import STOP, UNDO, negative, positive, script
from torch.nn.functional import interpolate
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from ibisagent.agent import build_graph
from ibisagent.evals.benchmarks.sam_cost import circle_clicks, official_episode, our_episode
from ibisagent.tools.clicks import Box, Click
from ibisagent.tools.masks.rle import decode
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.tools.segmenters.sam.frame import (
    InputFrame,
    LogitsPrior,
    build_decoder_prompt,
    compute_signed_distance_prior,
)

CLICKS = (Click(0.4, 0.4), Click(0.8, 0.2, positive=False), Click(0.5, 0.6))
BOX = Box(0.2, 0.3, 0.7, 0.8)
PICTURE = np.random.default_rng(0).integers(0, 256, (150, 210, 3), dtype=np.uint8)


class Resize(torch.nn.Module):
    """torchvision's, for tensors."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, image):
        return interpolate(image[None], self.size, mode="bilinear", align_corners=False, antialias=True)[0]


class Normalize(torch.nn.Module):
    """torchvision's."""

    def __init__(self, mean, std):
        super().__init__()
        self.mean, self.std = (torch.tensor(row).view(3, 1, 1) for row in (mean, std))

    def forward(self, image):
        return (image - self.mean) / self.std


@pytest.fixture
def predictor_class(monkeypatch):
    """The official image predictor; only the three transforms that it takes from torchvision are stood in for."""
    transforms = types.ModuleType("torchvision.transforms")
    transforms.Resize, transforms.Normalize = Resize, Normalize
    transforms.ToTensor = lambda: lambda image: torch.tensor(image).permute(2, 0, 1) / 255
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.transforms", transforms)
    monkeypatch.setattr(torch.jit, "script", lambda module: module)
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    yield SAM2ImagePredictor
    for name in ("sam2.sam2_image_predictor", "sam2.utils.transforms"):
        del sys.modules[name]


def predicted(predictor, clicks, box, logits, several):
    """Ask the official predictor; its places are pixels of the picture, of which a model's half pixel is taken."""
    half = 0.5 * np.array([210, 150]) / predictor.model.image_size
    points = np.array([(click.x * 210, click.y * 150) for click in clicks]) - half if clicks else None
    labels = np.array([click.positive for click in clicks]) if clicks else None
    corners = np.array([box.x0 * 210, box.y0 * 150, box.x1 * 210, box.y1 * 150]) - [*half, *half] if box else None
    masks, scores, low = predictor.predict(points, labels, corners, logits, multimask_output=several)
    best = scores.argmax()
    return masks[best] > 0, scores[best], low[best][None]


@pytest.mark.parametrize(("family", "side"), [("medsam2", 512), ("sam2", 1024)])
def test_sam2_equals_the_official_predictor_bit_for_bit(predictor_class, family, side):
    segmenter = tiny_sam.open_tiny(family, side)
    official = predictor_class(segmenter.model._model)
    official._bb_feat_sizes = [(side // stride,) * 2 for stride in (4, 8, 16)]  # the class itself knows 1024 only
    official.set_image(PICTURE)
    embedding, prior, logits = segmenter.embed(PICTURE), None, None
    for count in range(1, 4):
        mask, score, logits = predicted(official, CLICKS[:count], None, logits, several=count == 1)
        prediction = segmenter.predict(embedding, CLICKS[:count], prior)
        prior = prediction.prior
        assert np.array_equal(prediction.mask, mask)
        assert np.array_equal(prior.logits, logits[0])
        assert prediction.score == score
    for clicks in ((), CLICKS):
        mask, _, logits = predicted(official, clicks, BOX, None, several=False)
        prediction = segmenter.predict(embedding, (BOX, *clicks), None)
        assert np.array_equal(prediction.mask, mask)
        assert np.array_equal(prediction.prior.logits, logits[0])


def test_the_benchmark_s_official_calls_give_our_masks():
    model = tiny_sam.open_tiny("medsam2").model._model
    masks = zip(
        our_episode(model, PICTURE, circle_clicks(4)), official_episode(model, PICTURE, circle_clicks(4)), strict=True
    )
    assert all(np.array_equal(ours, official) for ours, official in masks)


def one_click(model, pixels, x, y):
    """Ask a transformers model about one click in input pixels, without any of our code."""
    with torch.inference_mode():
        points, labels = torch.tensor([[[[x, y]]]]), torch.ones(1, 1, 1, dtype=torch.int32)
        answer = model(pixel_values=pixels, input_points=points, input_labels=labels, multimask_output=True)
    best = int(answer.iou_scores[0, 0].argmax())
    return answer.pred_masks[:, 0, best][:, None]


@pytest.mark.parametrize("shape", [(150, 210, 3), (300, 99, 3), (256, 256, 3), (64, 40, 3)])
def test_sam_equals_transformers_own_processing(shape):
    segmenter = tiny_sam.open_tiny("sam")
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    square = {"height": 256, "width": 256}
    processor = SamImageProcessorPil(size={"longest_edge": 256}, pad_size=square)
    given = processor(pixels, return_tensors="pt")
    rows, columns = given["reshaped_input_sizes"][0].tolist()
    low = one_click(segmenter.model._model, given["pixel_values"], 0.3 * columns - 0.5, 0.4 * rows - 0.5)
    sizes = given["original_sizes"], given["reshaped_input_sizes"]
    (mask,) = processor.post_process_masks(low[None], *sizes, mask_threshold=0.0, pad_size=square)
    prediction = segmenter.predict(segmenter.embed(pixels), (Click(0.3, 0.4),), None)
    assert np.array_equal(prediction.mask, mask[0, 0].numpy())
    assert np.array_equal(prediction.prior.logits, low[0, 0].numpy())


def test_medsam_equals_its_published_inference():
    segmenter = tiny_sam.open_tiny("medsam")
    small = transform.resize(PICTURE, (256, 256), order=3, preserve_range=True, anti_aliasing=True).astype(np.uint8)
    unit = (small - small.min()) / np.clip(small.max() - small.min(), 1e-8, None)
    low = one_click(segmenter.model._model, torch.tensor(unit).float().permute(2, 0, 1)[None], 76.3, 101.9)
    chances = interpolate(torch.sigmoid(low), (150, 210), mode="bilinear", align_corners=False)
    prediction = segmenter.predict(segmenter.embed(PICTURE), (Click(76.8 / 256, 102.4 / 256),), None)
    assert np.array_equal(prediction.mask, (chances[0, 0] > 0.5).numpy())


@pytest.mark.parametrize("folder", [tiny_sam.write_sam2_folder, tiny_sam.write_sam2_video_folder])
def test_sam2hf_equals_transformers_own_forward_also_from_a_video_model(tmp_path, folder):
    segmenter = get_segmenter(f"sam2hf:{folder(tmp_path)}")
    embedding = segmenter.embed(PICTURE)
    low = one_click(segmenter.model._model, segmenter.transform.prepare(PICTURE, embedding.frame), 76.3, 101.9)
    prediction = segmenter.predict(embedding, (Click(76.8 / 256, 102.4 / 256),), None)
    assert np.array_equal(prediction.prior.logits, low[0, 0].clamp(-32, 32).numpy())


SQUARE = InputFrame.stretched((100, 200), 512)
PRIOR = LogitsPrior(np.zeros((128, 128), np.float32), None)


@pytest.mark.parametrize(
    ("prompts", "prior", "several"),
    [
        (CLICKS[:1], None, True),
        (CLICKS[:1], PRIOR, False),
        ((BOX,), None, False),
        ((BOX, CLICKS[0]), None, False),
        (CLICKS[:2], None, False),
    ],
)
def test_three_masks_are_asked_for_after_one_click_alone(prompts, prior, several):
    assert build_decoder_prompt(SQUARE, prompts, prior).multimask is several


def test_places_are_stretched_to_the_square_or_kept_in_proportion():
    asked = build_decoder_prompt(
        SQUARE, (Click(0.25, 0.5), Click(1.0, 1.0, positive=False), Box(0.0, 0.25, 0.5, 1.0)), None
    )
    assert asked.points.tolist() == [[127.5, 255.5], [511.5, 511.5]]
    assert (asked.labels.tolist(), asked.box.tolist()) == ([1, 0], [-0.5, 127.5, 255.5, 511.5])
    padded = InputFrame.padded((100, 200), 512)
    assert padded.content == (256, 512)
    assert build_decoder_prompt(padded, (Click(0.25, 0.5),), None).points.tolist() == [[127.5, 127.5]]


def test_the_latest_box_counts():
    assert build_decoder_prompt(SQUARE, (BOX, Box(0.0, 0.0, 1.0, 0.5)), None).box.tolist() == [-0.5, -0.5, 511.5, 255.5]


def test_an_initial_mask_s_box_stands_until_a_positive_click_leaves_it():
    mask = np.zeros((100, 200), np.bool_)
    mask[25:75, 50:100] = True
    prior = compute_signed_distance_prior(SQUARE, mask)
    assert prior.box == Box(0.25, 0.25, 0.5, 0.75)
    inside, outside = Click(0.3, 0.3), Click(0.9, 0.9)
    assert build_decoder_prompt(SQUARE, (), prior).box.tolist() == [127.5, 127.5, 255.5, 383.5]
    assert build_decoder_prompt(SQUARE, (inside, Click(0.9, 0.9, positive=False)), prior).box is not None
    assert build_decoder_prompt(SQUARE, (inside, outside), prior).box is None
    assert (
        build_decoder_prompt(SQUARE, (outside, BOX), prior).box.tolist()
        == build_decoder_prompt(SQUARE, (BOX,), None).box.tolist()
    )


def test_an_initial_mask_s_box_stays_with_the_logits_that_follow():
    segmenter = tiny_sam.open_tiny("medsam2")
    embedding, mask = segmenter.embed(PICTURE), np.zeros(PICTURE.shape[:2], np.bool_)
    mask[30:60, 50:100] = True
    prior = segmenter.prior_from_mask(embedding, mask)
    assert segmenter.predict(embedding, (Click(0.3, 0.3),), prior).prior.box == prior.box


@pytest.mark.parametrize("family", tiny_sam.FAMILIES)
def test_logits_alone_are_a_question_too(family):
    segmenter = tiny_sam.open_tiny(family)
    embedding = segmenter.embed(PICTURE)
    before = segmenter.predict(embedding, CLICKS, None)
    after = segmenter.predict(embedding, (), before.prior)
    assert np.isfinite(after.prior.logits).all()
    assert not np.array_equal(after.prior.logits, before.prior.logits)


def test_an_initial_mask_s_logits_are_its_distance_in_low_resolution_pixels():
    mask = np.zeros((512, 512), np.bool_)
    mask[:, :256] = True
    row = compute_signed_distance_prior(InputFrame.stretched(mask.shape, 512), mask).logits[5]
    assert row[60:68].tolist() == [10, 10, 6, 2, -2, -6, -10, -10]
    mask[:, 256:259] = True  # three quarters of the next pixel
    row = compute_signed_distance_prior(InputFrame.stretched(mask.shape, 512), mask).logits[5]
    assert row[62:68].tolist() == [10, 6, 1, -2, -6, -10]


def test_an_empty_initial_mask_says_nothing_and_a_tiny_one_survives():
    assert compute_signed_distance_prior(SQUARE, np.zeros((100, 200), np.bool_)) is None
    frame, mask = InputFrame.padded((2000, 1000), 256), np.zeros((2000, 1000), np.bool_)
    mask[700:703, 400:403] = True
    assert (compute_signed_distance_prior(frame, mask).logits > 0).sum() == 1
    assert (compute_signed_distance_prior(SQUARE, np.ones((100, 200), np.bool_)).logits == 10).all()


def test_features_have_the_sizes_of_the_input_whatever_its_side():
    for family, side in (("medsam2", 512), ("sam2", 256), ("sam2hf", 256)):
        maps = tiny_sam.open_tiny(family).embed(PICTURE).features
        assert [tuple(level.shape[2:]) for level in maps] == [(side // stride,) * 2 for stride in (4, 8, 16)]


def test_a_config_of_another_size_does_not_scramble_transformers_features(tmp_path):
    folder = tiny_sam.write_sam2_folder(tmp_path)
    told = (folder / "config.json").read_text()
    embedding = get_segmenter(f"sam2hf:{folder}").embed(PICTURE)
    (folder / "config.json").write_text(told.replace("64,\n        64", "128,\n        32"))
    assert (folder / "config.json").read_text() != told
    again = get_segmenter(f"sam2hf:{folder}").embed(PICTURE)
    assert all(torch.equal(a, b) for a, b in zip(embedding.features, again.features, strict=True))


def test_half_precision_is_the_encoder_s_alone():
    name = tiny_sam.get_tiny_name("medsam2")
    half = get_segmenter(f"{name}&dtype=bfloat16&device=cpu")
    full, embedding = tiny_sam.open_tiny("medsam2"), half.embed(PICTURE)
    assert not torch.equal(embedding.features[-1], full.embed(PICTURE).features[-1])
    assert {level.dtype for level in embedding.features} == {torch.float32}
    expected = full.predict(embedding, CLICKS, None)
    assert np.array_equal(half.predict(embedding, CLICKS, None).prior.logits, expected.prior.logits)


def test_loaded_twice_a_checkpoint_gives_the_same_bits():
    first, second = tiny_sam.open_tiny("medsam2"), get_segmenter(tiny_sam.get_tiny_name("medsam2"))
    one, other = (each.predict(each.embed(PICTURE), CLICKS, None) for each in (first, second))
    assert np.array_equal(one.prior.logits, other.prior.logits)
    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize("family", tiny_sam.FAMILIES)
def test_the_loop_runs_with_it_and_undo_gives_the_mask_back(family):
    replies = script(positive(0.4, 0.4), negative(0.8, 0.2), UNDO, STOP)
    result = build_graph(replies, tiny_sam.open_tiny(family)).invoke(
        {"image": PICTURE, "request": "Segment the lesion."}
    )
    alone = tiny_sam.open_tiny(family)
    assert (result["stop"], result["steps"][2]["reverts"]) == ("terminated", 2)
    assert np.array_equal(decode(result["mask"]), alone.predict(alone.embed(PICTURE), (Click(0.4, 0.4),), None).mask)
