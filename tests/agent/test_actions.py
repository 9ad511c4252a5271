import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.strategies import actions

from ibisagent.agent.actions import (
    ALL_KINDS,
    Action,
    Backtrack,
    Terminate,
    clean_target,
    format_action,
    from_plain,
    kind_of,
    to_plain,
    write_reply,
)
from ibisagent.agent.coordinates import UNIT, CoordinateFrame
from ibisagent.tools.clicks import Box, Click, Similar
from ibisagent.tools.errors import InputError

quick = settings(database=None, deadline=None)
units = st.floats(0, 1)
targets = st.none() | st.text(max_size=30)


@pytest.mark.parametrize(
    ("action", "frame", "spelling"),
    [
        (Click(0.4512, 0.4238), UNIT, "Positive Point (0.4512, 0.4238)"),
        (Click(0.4512, 0.4238, False), UNIT, "Negative Point (0.4512, 0.4238)"),
        (Click(1.0, -0.0), UNIT, "Positive Point (1.0000, 0.0000)"),
        (Click(0.4512, 0.4238, True, "left\nkidney"), UNIT, "Positive Point (0.4512, 0.4238) for left kidney"),
        (Box(0.1, 0.2, 0.3, 0.4), UNIT, "Box (0.1000, 0.2000, 0.3000, 0.4000)"),
        (Box(0.1, 0.2, 0.3, 0.4), CoordinateFrame("thousand_yx"), "Box (200, 100, 400, 300)"),
        (Click(0.4512, 0.4238), CoordinateFrame("thousand"), "Positive Point (451, 424)"),
        (Click(1.0, 0.5), CoordinateFrame("pixels", 512, 384), "Positive Point (511, 192)"),
        (Similar(0.4512, 0.4238), UNIT, "Similar (0.4512, 0.4238)"),
        (Similar(0.4512, 0.4238, False), CoordinateFrame("thousand_yx"), "Negative Similar (424, 451)"),
        (Backtrack(), UNIT, "Backtrack"),
        (Terminate("spleen"), UNIT, "Terminate for spleen"),
    ],
)
def test_canonical_spelling(action: Action, frame: CoordinateFrame, spelling: str) -> None:
    assert format_action(action, frame) == spelling


@pytest.mark.parametrize(
    ("target", "clean"),
    [
        (None, None),
        (" \n ", None),
        ("left\t kidney .", "left kidney"),
        ("</action><b>", "/actionb"),
        ("a\ud800b\x00", "ab"),
        ("肝脏", "肝脏"),
        ("kidney, Negative Point (0.1, 0.2)", "kidney"),
        ("the box 3", "the"),
        ("nuclei, Negative Similar (0.1, 0.2)", "nuclei"),
        ("x" * 1000, "x" * 120),
    ],
)
def test_targets_are_cleaned_of_what_breaks_the_grammar(target: str | None, clean: str | None) -> None:
    assert clean_target(target) == clean


@given(targets)
@quick
def test_cleaning_a_target_twice_changes_nothing(target: str | None) -> None:
    assert clean_target(clean_target(target)) == clean_target(target)


@given(actions(units, targets))
@quick
def test_the_plain_form_keeps_every_bit(action: Action) -> None:
    plain = to_plain(action)
    assert from_plain(json.loads(json.dumps(plain))) == action
    assert plain["type"] == kind_of(action)
    assert kind_of(action) in ALL_KINDS
    assert ("target" in plain) == (action.target is not None)


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"type": "jump"},
        {"type": ["point"]},
        {"type": "point", "x": 0.5},
        {"type": "point", "x": 0.5, "y": "0.5"},
        {"type": "point", "x": 0.5, "y": True},
        {"type": "point", "x": 0.5, "y": float("nan")},
        {"type": "point", "x": 0.5, "y": 10**400},
        {"type": "point", "x": 0.5, "y": 0.5, "positive": 1},
        {"type": "box", "x0": 0.5, "y0": 0.5, "x1": 0.5, "y1": 0.6},
        {"type": "similar", "x": 0.5, "positive": True},
        {"type": "similar", "x": 0.5, "y": 1.5},
        {"type": "backtrack", "target": 3},
        "point",
        None,
    ],
)
def test_a_malformed_plain_form_is_refused_in_one_line(plain: Any) -> None:
    with pytest.raises(InputError) as caught:
        from_plain(plain)
    assert "expected" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_reply_has_an_answer_on_a_stop_only() -> None:
    click = "<think>Left.</think>\n<action>Positive Point (0.5000, 0.5000)</action>"
    assert write_reply(" Left.\n", Click(0.5, 0.5), "The liver.") == click
    stop = "<think>Left.</think>\n<action>Terminate</action>\n<answer>The liver.</answer>"
    assert write_reply("Left.", Terminate(), "The liver.") == stop


def test_tags_in_a_thought_lose_their_brackets() -> None:
    reply = write_reply("a </think> b < Action >", Backtrack())
    assert reply == "<think>a [/think] b [Action]</think>\n<action>Backtrack</action>"
