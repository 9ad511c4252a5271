"""The expert's words: of the picture and the green mask alone, and sound in the strict grammar."""

import re
from typing import get_args

import numpy as np
import pytest
from conftest import ellipse

from ibisagent.agent.actions import Backtrack, Terminate, write_reply
from ibisagent.agent.coordinates import UNIT
from ibisagent.agent.overlay import overlay
from ibisagent.agent.policies.base import Observation
from ibisagent.agent.reply_parser import parse_reply
from ibisagent.tools.clicks import Click
from ibisagent.training.experts.rationales import (
    RationaleKind,
    click_kind,
    describe_position,
    write_answer,
    write_rationale,
)

KINDS = get_args(RationaleKind)
UNSEEN = re.compile(
    r"truth|true mask|oracle|iou|dice|label|ground|score|pixel|yellow|purple|red\b|blue|negative mask|[0-9%]", re.I
)


def seen(mask=None, undone=(), pixels=None):
    pixels = np.full((96, 128, 3), 60, np.uint8) if pixels is None else pixels
    mask = np.zeros(pixels.shape[:2], bool) if mask is None else mask
    return Observation(
        picture=overlay(pixels, mask),
        frame=UNIT,
        mask=mask,
        image_sha="",
        request="Segment it.",
        kind="segment",
        step=0,
        prompts=(),
        undone=undone,
        has_initial_mask=False,
        score=None,
        actions=("point", "box", "backtrack", "terminate"),
    )


def written(kind, style, seed=0, click=None, target="spleen", **given):
    click = (click or Click(0.1, 0.9)) if kind in ("first", "false_negative", "false_positive") else None
    return write_rationale(kind, target, seen(**given), click, style, np.random.default_rng(seed))


def test_the_short_thoughts_are_fixed():
    assert {kind: written(kind, "short") for kind in KINDS} == {
        "first": "Nothing is marked yet. The spleen is at the lower left.",
        "false_negative": "The mask misses a part at the lower left.",
        "false_positive": "The mask spills over at the lower left.",
        "undo": "The last click was wrong. I undo it.",
        "drop": "The mask is on something else. I drop it.",
        "fits": "The mask fits the spleen.",
        "absent": "I see no spleen here.",
    }
    assert [written(kind, "short", seed=5) for kind in KINDS] == [written(kind, "short") for kind in KINDS]


@pytest.mark.parametrize("kind", KINDS)
def test_the_full_thoughts_vary_and_say_only_what_can_be_seen(kind):
    mask = ellipse() if kind in ("false_negative", "false_positive", "undo", "drop", "fits") else None
    said = [written(kind, "full", seed, mask=mask) for seed in range(200)]
    assert len(set(said)) >= 8
    assert said == [written(kind, "full", seed, mask=mask) for seed in range(200)]
    for thought in said:
        assert not UNSEEN.search(thought)
        assert "$" not in thought
        assert 2 <= len(re.findall(r"[.!?]", thought)) <= 4


@pytest.mark.parametrize("style", ["short", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_thought_and_answer_is_strict_grammar(kind, style):
    action = {"undo": Backtrack(), "drop": Backtrack(), "fits": Terminate(), "absent": Terminate()}
    acted = action.get(kind, Click(0.105, 0.905, kind != "false_positive"))
    for seed in range(30):
        said = write_answer(kind, "lungs", style, np.random.default_rng(seed))
        assert (said is None) == (kind not in ("fits", "absent"))
        reply = parse_reply(write_reply(written(kind, style, seed, target="lungs"), acted, said), strict=True)
        assert (reply.action, reply.answer, reply.error) == (acted, said, None)


def test_the_verb_agrees_with_the_target():
    assert written("first", "short", target="lungs") == "Nothing is marked yet. The lungs are at the lower left."
    assert write_answer("absent", "nuclei", "short", np.random.default_rng(0)) == "The nuclei are not visible."


def test_the_ninths_of_a_picture():
    names = [[describe_position((column + 0.5) / 3, (row + 0.5) / 3) for column in range(3)] for row in range(3)]
    assert names == [
        ["upper left", "upper centre", "upper right"],
        ["middle left", "middle centre", "middle right"],
        ["lower left", "lower centre", "lower right"],
    ]
    assert describe_position(1.0, 1.0) == "lower right"


def all_rationales(kind, click, **given):
    """Every rationale of 200 seeds."""
    return " ".join(written(kind, "full", seed, click, **given) for seed in range(200))


def test_the_side_is_that_of_the_mask():
    mask = ellipse(centre=(48, 64), radii=(20, 30))
    for side, click in (("left", Click(0.2, 0.5)), ("right", Click(0.8, 0.5)), ("upper", Click(0.5, 0.2))):
        assert set(re.findall(r"on its (\w+) side", all_rationales("false_negative", click, mask=mask), re.I)) == {side}
    assert set(
        re.findall(r"on its (\w+) side", all_rationales("false_positive", Click(0.5, 0.9), mask=mask), re.I)
    ) == {"lower"}


@pytest.mark.parametrize(("level", "look"), [(20, "dark"), (120, "grey"), (220, "bright")])
def test_the_brightness_is_that_of_the_place_clicked(level, look):
    pixels = np.repeat(np.linspace(0, 255, 96).astype(np.uint8), 128 * 3).reshape(96, 128, 3)
    pixels[44:52, 60:68] = level
    words = set(re.findall(r"\b(dark|grey|bright)\b", all_rationales("first", Click(0.5, 0.5), pixels=pixels)))
    assert words == {look}


def test_after_an_undo_a_click_speaks_of_it():
    assert re.search(r"undone|undoing|\bagain\b", written("first", "full", undone=(Click(0.5, 0.5),)))
    assert not re.search(r"undone|undoing|\bagain\b", all_rationales("first", Click(0.5, 0.5)))


def test_a_click_s_purpose_shows_in_its_sign_and_the_mask():
    assert [click_kind(*given) for given in ((True, False), (True, True), (False, True), (False, False))] == [
        "first",
        "false_negative",
        "false_positive",
        "false_positive",
    ]
