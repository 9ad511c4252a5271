"""A pointer model's drawing as a proposal: where it lies, what it is worth, and where there is none."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
import torch
from support import tiny_vlm
from support.observations import make_observation
from torch.nn import functional

from ibisagent.agent import get_policy
from ibisagent.agent.policies.local import open_local, open_named
from ibisagent.agent.proposers.drawing import DrawingProposer
from ibisagent.agent.reply_parser import parse_reply
from ibisagent.tools.clicks import Click
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Grid
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.measure import iou
from ibisagent.training.phantoms import draw


def image_of(pixels, **fields):
    return MedicalImage(pixels, Grid(pixels.shape[:2]), **fields)


@pytest.fixture(scope="module")
def nano():
    return DrawingProposer(open_named("nano"))


# Where it lies


def brightness(model):
    """Make a pointer model draw what is bright in its picture, as it was put together from the processor's patches."""

    def predict_target(**inputs):
        shown = model.visual._unpatchify(inputs["pixel_values"]).mean(dim=1, keepdim=True)
        return 6.0 * functional.avg_pool2d(shown, 4)[:, 0]

    return predict_target


@pytest.mark.parametrize("shape", [(64, 64), (90, 150), (211, 97), (700, 500)])
@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0)])
def test_the_drawing_lies_where_the_model_saw_the_target(shape, corner, monkeypatch):
    """An L in one corner: a flip, a swap of the axes, or a shift by half a cell of the drawing would be seen."""
    (height, width), truth = shape, np.zeros(shape, bool)
    rows, columns = slice(height // 8, height // 2), slice(width // 10, width // 2)
    truth[rows, columns] = True
    truth[height // 4 : height // 2, width // 4 : width // 2] = False
    truth = np.flip(truth, [axis for axis in (0, 1) if corner[axis]])
    policy = open_local(tiny_vlm.pointer())
    monkeypatch.setattr(policy.model, "predict_target", brightness(policy.model))
    found = DrawingProposer(policy).propose(image_of(np.where(truth, 220, 40).astype(np.uint8)), "Segment it.").mask
    assert iou(found, truth) > 0.9
    moved = [np.argwhere(each).mean(axis=0) for each in (found, truth)]
    assert np.abs(moved[0] - moved[1]).max() < max(shape) / 16 / 8  # an eighth of a cell


def test_nothing_is_proposed_on_padding(monkeypatch):
    pixels = np.full((80, 120), 30, np.uint8)
    pixels[20:60, 30:90] = 200
    policy = open_local(tiny_vlm.pointer())
    monkeypatch.setattr(policy.model, "predict_target", brightness(policy.model))
    padding = np.zeros(pixels.shape, bool)
    padding[:, :60] = True
    whole, part = (
        DrawingProposer(policy).propose(image_of(pixels, padding=each), "Segment it.").mask for each in (None, padding)
    )
    assert (whole & padding).any()
    assert np.array_equal(part, whole & ~padding)


def test_it_is_the_map_of_the_reply_to_come():
    policy = open_local(tiny_vlm.pointer())
    observation = make_observation("Segment it.", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    drawn = policy.draw_target(observation)
    batch = policy.inputs.batch([policy.inputs.encode(policy._prompts.conversation(observation))])
    with torch.inference_mode():
        out = policy.model(**batch)
    assert drawn.shape == (16, 16)
    assert np.array_equal(drawn, out.pointer_state.maps.target_logits[0].numpy())


def test_a_fine_drawing_is_the_one_that_is_proposed(monkeypatch):
    """A bar as wide as one place of the fine drawing is kept, though the cut could move its contour away."""
    policy = open_local(tiny_vlm.pointer())
    torch.manual_seed(0)
    policy.model.add_fine_drawing(4)
    drawn = torch.full((1, 32, 32), -6.0)
    drawn[0, 4:28, 15] = 6.0
    monkeypatch.setattr(policy.model.fine_drawing, "forward", lambda *_: drawn)
    pixels = np.full((128, 128), 40, np.uint8)
    pixels[16:112, 60:64] = 220
    found = DrawingProposer(policy).propose(image_of(pixels), "Segment it.").mask
    assert iou(found, pixels > 100) > 0.7


# What it is worth


def test_nano_proposes_what_it_is_asked_for(nano):
    """Organs that it draws well; a chance mask of their size has an IoU under .2."""
    asked = {"liver": "ct_abdomen", "brain": "brain_mr", "right lung": "chest_xray", "optic disc": "fundus"}
    for name, modality in asked.items():
        phantom = draw(modality, seed=20_000_000, size=192, difficulty=0.3)
        truth, image = phantom.masks[name], image_of(phantom.image)
        found = nano.propose(image, f"Segment the {name}.")
        assert found.by == "nano"
        assert found.reason is None
        assert iou(found.mask, truth) > 0.5, name
        assert found.score is not None
        assert abs(found.score - iou(found.mask, truth)) < 0.35, name
        again = nano.propose(image, f"Segment the {name}.")
        assert np.array_equal(found.mask, again.mask)
        assert found.score == again.score
        assert found.mask.flags.writeable is False


# Where there is none


@pytest.mark.parametrize(
    ("request_text", "reason"),
    [
        ("Segment the appendix.", "never learned"),
        ("Segment the liver and the spleen.", "several targets"),
        ("Segment the polyp.", "no such target"),
    ],
)
def test_there_is_none_and_it_says_why(nano, request_text, reason):
    image = image_of(draw("ct_abdomen", seed=20_000_000, size=160).image)
    found = nano.propose(image, request_text)
    assert found.mask is None
    assert found.score is None
    assert reason in found.reason
    assert "\n" not in found.reason


def test_a_model_without_drawings_is_refused():
    with pytest.raises(InputError, match=r"^proposer 'hf:.*expected a pointer model"):
        DrawingProposer(open_local(tiny_vlm.qwen3()))


# What the policy does from it


PICTURE = np.random.default_rng(3).integers(0, 60, (96, 96, 3), np.uint8)
OWN = make_observation("Outline the SPLEENS", PICTURE, has_initial_mask=True, initial_mask_by="nano")


@pytest.mark.parametrize("act", ["act", "aact"])
def test_nano_stops_at_its_own_proposal(act):
    policy = get_policy("nano")
    said = policy.act(OWN) if act == "act" else asyncio.run(policy.aact(OWN))
    assert parse_reply(said.text).repairs == ()
    assert said.text.splitlines() == [
        "<think>The mask fits the SPLEENS.</think>",
        "<action>Terminate</action>",
        "<answer>The SPLEENS are segmented.</answer>",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"initial_mask_by": None},
        {"initial_mask_by": "other"},
        {"prompts": (Click(0.5, 0.5),)},
        {"kind": "question"},
        {"feedback": "No action."},
        {"actions": ("point",)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_elsewhere_the_model_is_asked(changes):
    policy, seen = get_policy("nano"), replace(OWN, **changes)
    asked = replace(seen, initial_mask_by=None)
    assert policy.act(seen).text == policy.act(asked).text
    assert policy.act(seen).usage["input_tokens"] > 0
