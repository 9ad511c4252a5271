"""The expression for constrained decoding: whatever matches it is a canonical reply."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibisagent.agent.actions import KINDS, POLICY_KINDS, Backtrack, Decline, Terminate, write_reply
from ibisagent.agent.coordinates import CoordinateFrame
from ibisagent.agent.grammar import reply_regex
from ibisagent.agent.reply_parser import parse_reply
from ibisagent.tools.clicks import Box, Click, Similar

FRAMES = [
    CoordinateFrame(),
    CoordinateFrame("thousand"),
    CoordinateFrame("thousand_yx"),
    CoordinateFrame("pixels", 672, 308),
]


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame.profile)
@settings(max_examples=60)
@given(data=st.data())
def test_whatever_fits_the_grammar_is_strictly_in_format(frame, data):
    without_box = [kind for kind in POLICY_KINDS if kind != "box"]  # whose corners no expression can set in order
    text = data.draw(st.from_regex(re.compile(reply_regex(without_box, frame), re.ASCII), fullmatch=True))
    assert parse_reply(text, frame=frame, allow=POLICY_KINDS, strict=True).error is None


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame.profile)
@given(st.tuples(*[st.floats(0, 1)] * 4))
def test_what_is_written_fits_the_grammar(frame, numbers):
    x0, y0, x1, y1 = numbers
    written = [Click(x0, y0), Click(x1, y1, False), Box(0.4 * x0, 0.4 * y0, 0.5 + 0.5 * x1, 0.5 + 0.5 * y1)]
    for action in (*written, Backtrack(), Terminate(), Decline()):
        reply = write_reply("Left of it.", action, "The liver.", frame)
        assert re.fullmatch(reply_regex(frame=frame), reply)
    for example in (Similar(x0, y0), Similar(x1, y1, False)):
        reply = write_reply("All like this.", example, frame=frame)
        assert re.fullmatch(reply_regex(POLICY_KINDS, frame), reply)
        assert not re.fullmatch(reply_regex(KINDS, frame), reply)
    assert not re.fullmatch(reply_regex(["point"], frame), write_reply("a", Terminate(), "b", frame))
