import json
import random
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.strategies import actions

from ibisagent.agent.action_parser import contains_position
from ibisagent.agent.actions import (
    POLICY_KINDS,
    Action,
    Backtrack,
    Terminate,
    clean_target,
    format_action,
    from_plain,
    to_plain,
    write_reply,
)
from ibisagent.agent.coordinates import PROFILES, UNIT, CoordinateFrame
from ibisagent.agent.reply_parser import Reply, parse_reply
from ibisagent.tools.clicks import Box, Click, Similar, click_to_pixel

quick = settings(database=None, deadline=None)
FRAMES = [UNIT, CoordinateFrame("thousand"), CoordinateFrame("thousand_yx"), CoordinateFrame("pixels", 512, 384)]
CLICK = Click(0.45, 0.42)
EXPECTED = (
    "expected one of: Positive Point (x, y), Negative Point (x, y), Box (x0, y0, x1, y1), Backtrack, Terminate, Decline"
)
SPELLING = "spelling of the action"
JSON = "JSON in place of an action line"
UNSIGNED = "no sign: taken as positive"
NO_ANSWER = "missing <answer> </answer>"
NO_TAGS = "missing <think> </think> <action> </action>"
OUTSIDE = "text outside the tags"
ORDER = "tags repeated or out of order"


def expected_reply(action: Action, *repairs: str, thought: str = "Left.", answer: str | None = None) -> Reply:
    return Reply(thought, action, answer, repairs, None)


def expected_error(error: str, *repairs: str, thought: str = "Left.") -> Reply:
    return Reply(thought, None, None, repairs, error)


LINES = {
    "Positive Point (0.4500, 0.4200)": expected_reply(CLICK),
    "  Positive Point (0.4500, 0.4200)\n": expected_reply(CLICK),
    "Negative Point (0.4500, 0.4200)": expected_reply(Click(0.45, 0.42, False)),
    "Negative Point (0.4500, 0.4200) for left kidney": expected_reply(Click(0.45, 0.42, False, "left kidney")),
    "Positive Point (1.0000, 0.0000)": expected_reply(Click(1.0, 0.0)),
    "Box (0.1000, 0.2000, 0.3000, 0.4000) for liver": expected_reply(Box(0.1, 0.2, 0.3, 0.4, "liver")),
    "Backtrack": expected_reply(Backtrack()),
    "Terminate": expected_reply(Terminate(), NO_ANSWER),
    "Termination": expected_reply(Terminate(), NO_ANSWER, SPELLING),
    "TERMINATE.": expected_reply(Terminate(), NO_ANSWER, SPELLING),
    "Terminate: the mask is good": expected_reply(Terminate(), NO_ANSWER, SPELLING),
    "Terminate for spleen": expected_reply(Terminate("spleen"), NO_ANSWER),
    "Stop": expected_reply(Terminate(), NO_ANSWER, SPELLING),
    "Undo": expected_reply(Backtrack(), SPELLING),
    "**Backtrack**": expected_reply(Backtrack(), SPELLING),
    "Positive Point (0.45, 0.42)": expected_reply(CLICK),
    "positive point(0.4500,0.4200)": expected_reply(CLICK, SPELLING),
    "POSITIVE_POINT: [0.45, 0.42]": expected_reply(CLICK, SPELLING),
    "Positive Point\n(\n 0.45,\n 0.42\n)": expected_reply(CLICK, SPELLING),
    "Positive Point 0.45 0.42": expected_reply(CLICK, SPELLING),
    "Positive Point (0.45; 0.42": expected_reply(CLICK, SPELLING),
    "Positive Point at (0.45, 0.42).": expected_reply(CLICK, SPELLING),
    "Positive Point (x=0.45, y=0.42)": expected_reply(CLICK, SPELLING),
    "Positive Point (y: 0.42, x: 0.45)": expected_reply(CLICK, SPELLING),
    "Positive Point (.45, 4.2e-1)": expected_reply(CLICK, SPELLING),
    "Positive Point（0.45，0.42）": expected_reply(CLICK, SPELLING),
    "Positive Click (0.45, 0.42)": expected_reply(CLICK, SPELLING),
    "negative (0.45, 0.42)": expected_reply(Click(0.45, 0.42, False), SPELLING),
    "Click (0.45, 0.42)": expected_reply(CLICK, UNSIGNED),
    "```\nPositive Point (0.45, 0.42)\n```": expected_reply(CLICK, SPELLING),
    "Action: `Positive Point (0.45, 0.42)`": expected_reply(CLICK, SPELLING),
    "Positive Point (0.45, 0.42) for **liver**.": expected_reply(Click(0.45, 0.42, True, "liver"), SPELLING),
    "Box [[0.1, 0.2], [0.3, 0.4]]": expected_reply(Box(0.1, 0.2, 0.3, 0.4), SPELLING),
    "Bounding Box: 0.1, 0.2, 0.3, 0.4": expected_reply(Box(0.1, 0.2, 0.3, 0.4), SPELLING),
    "Box (0.3000, 0.2000, 0.1000, 0.4000)": expected_reply(Box(0.1, 0.2, 0.3, 0.4), "box corners sorted"),
    "Positive Point (1.0300, 0.4200)": expected_reply(Click(1.0, 0.42), "x=1.03 clamped to 1"),
    "Positive Point (0.45, -0)": expected_reply(Click(0.45, 0.0), SPELLING),
    "Positive Point (0.4500, 0.4200)\nNegative Point (0.1, 0.2)": expected_reply(
        CLICK, SPELLING, "further actions dropped"
    ),
    "Positive Point (0.4500, 0.4200), (0.1, 0.2)": expected_reply(CLICK, SPELLING, "further numbers dropped"),
    '{"Target": "liver", "Attribute": "+1", "Coordinate 2d": [0.45, 0.42]}': expected_reply(
        Click(0.45, 0.42, True, "liver"), JSON
    ),
    '```json\n[{"target": null, "attribute": -1, "coordinate_2d": [0.45, 0.42]}]\n```': expected_reply(
        Click(0.45, 0.42, False), JSON
    ),
    "{'Target': 'liver', 'Attribute': +1, 'Coordinate2D': (0.45, 0.42)}": expected_reply(
        Click(0.45, 0.42, True, "liver"), JSON
    ),
    '{"ATTRIBUTE": "Negative", "coordinate": "(0.45, 0.42)"}': expected_reply(Click(0.45, 0.42, False), JSON),
    '{"bbox_2d": [0.1, 0.2, 0.3, 0.4], "label": "liver"}': expected_reply(Box(0.1, 0.2, 0.3, 0.4, "liver"), JSON),
    '{"point_2d": [0.45, 0.42], "label": "liver"}': expected_reply(Click(0.45, 0.42, True, "liver"), UNSIGNED, JSON),
    '{"type": "point", "x": 0.45, "y": 0.42, "positive": false}': expected_reply(Click(0.45, 0.42, False), JSON),
    '{"type": "box", "x0": 0.1, "y0": 0.2, "x1": 0.3, "y1": 0.4}': expected_reply(Box(0.1, 0.2, 0.3, 0.4), JSON),
    '{"action": "Terminate"}': expected_reply(Terminate(), NO_ANSWER, JSON),
    '{"action": "Negative Point (0.45, 0.42)", "target": "liver"}': expected_reply(
        Click(0.45, 0.42, False, "liver"), JSON
    ),
    "Positive Point (451, 423)": expected_error("x=451 is out of range: expected a number from 0 to 1", SPELLING),
    "Positive Point (nan, 0.42)": expected_error("x=nan is out of range: expected a number from 0 to 1", SPELLING),
    "Positive Point (0.45, -inf)": expected_error("y=-inf is out of range: expected a number from 0 to 1", SPELLING),
    "Positive Point (1e999, 0.42)": expected_error("x=inf is out of range: expected a number from 0 to 1", SPELLING),
    "Positive Point (45%, 42%)": expected_error(f"got 'Positive Point (45%, 42%)', {EXPECTED}"),
    "Positive Point (0.1, 0.2, 0.3)": expected_error(f"got 'Positive Point (0.1, 0.2, 0.3)', {EXPECTED}"),
    "Positive Point (0.45)\n0.42 is its score": expected_error(
        f"got 'Positive Point (0.45) 0.42 is its score', {EXPECTED}"
    ),
    "Positive Point (left, top)": expected_error(f"got 'Positive Point (left, top)', {EXPECTED}"),
    "I will not terminate yet": expected_error(f"got 'I will not terminate yet', {EXPECTED}"),
    "": expected_error(f"got no action, {EXPECTED}"),
    "z\x00\ud800" * 99: expected_error(f"got '{('z ' * 99)[:77]}...', {EXPECTED}"),
    "Box (0.1000, 0.2000, 0.1000, 0.4000)": expected_error(
        "empty box (0.1, 0.2, 0.1, 0.4): expected (x0, y0, x1, y1) with x0 < x1 and y0 < y1"
    ),
    '{"Attribute": "maybe", "Coordinate 2d": [0.45, 0.42]}': expected_error(
        "got the attribute 'maybe': expected +1 or -1"
    ),
    '{"Attribute": 1, "Coordinate 2d": [NaN, 0.42]}': expected_error(
        "x=nan is out of range: expected a number from 0 to 1", JSON
    ),
}


@pytest.mark.parametrize(("line", "reply"), LINES.items())
def test_lines_in_an_action_tag(line: str, reply: Reply) -> None:
    assert parse_reply(f"<think>Left.</think>\n<action>{line}</action>") == reply


P, N = "Positive Point (0.4500, 0.4200)", "Negative Point (0.1000, 0.2000)"
REPLIES = {
    f"\n <think>\nLeft.\n</think>\n\n<action> {P} </action>\r\n": expected_reply(CLICK),
    "<think>Left.</think>\n<action>Terminate</action>\n<answer>The liver.</answer>": expected_reply(
        Terminate(), answer="The liver."
    ),
    f"<THINK>Left.</THINK>\n< action >{P}</action>": expected_reply(CLICK, "spelling of a tag"),
    f"<thinking>Left.</thinking>\n<action>{P}</action>": expected_reply(CLICK, "spelling of a tag"),
    f"<think>Left.</think><action>{P}</action>": expected_reply(CLICK, "two tags on a line"),
    f"<think>Left.\n<action>{P}</action>": expected_reply(CLICK, "missing </think>"),
    f"<think>Left.</think>\n<action>{P}": expected_reply(CLICK, "missing </action>"),
    f"Left.</think>\n<action>{P}</action>": expected_reply(CLICK, "missing <think>"),
    f"<think>Left.</think>\n{P}</action>": expected_reply(CLICK, "missing <action>"),
    f"<action>{P}</action>\n<think>Left.</think>": expected_reply(CLICK, ORDER),
    f"<think>Left.\n<action>{P}</action></think>": expected_reply(CLICK, ORDER),
    f"<action>{P}</action>": expected_reply(CLICK, "missing <think> </think>", thought=""),
    f"<think>Left.</think>\n{P}": expected_reply(CLICK, "missing <action> </action>", OUTSIDE),
    f"```xml\n<think>Left.</think>\n<action>{P}</action>\n```": expected_reply(CLICK, OUTSIDE),
    f"Left.\n<action>{P}</action>": expected_reply(CLICK, "missing <think> </think>", OUTSIDE),
    P: expected_reply(CLICK, NO_TAGS, OUTSIDE, thought=""),
    f"Left.\n\n**Action:** {P}": expected_reply(CLICK, NO_TAGS, OUTSIDE, thought="Left."),
    f"Left.\nAction: {P}<|im_end|>": expected_reply(CLICK, NO_TAGS, OUTSIDE, SPELLING),
    f"Not {N}, but\n{P}": expected_reply(CLICK, NO_TAGS, OUTSIDE, "further actions dropped", thought=f"Not {N}, but"),
    f"Left, so {P} for better coverage.": expected_error(
        f"got 'Left, so {P} for better coverage.', {EXPECTED}", NO_TAGS, OUTSIDE, thought=""
    ),
    f"<think>Left. Not {N}.</think>\n<action>{P}</action>": expected_reply(CLICK, thought=f"Left. Not {N}."),
    f"<think>Not <action>{N}</action></think>\n<action>{P}</action>": expected_reply(
        CLICK, ORDER, thought=f"Not <action>{N}</action>"
    ),
    f"<think>Not <action>{N}</action></think>\n{P}": expected_reply(
        CLICK, ORDER, OUTSIDE, thought=f"Not <action>{N}</action>"
    ),
    f"<think>Left.\n{P}": expected_reply(
        CLICK, "missing </think> <action> </action>", "action taken from the end of the thought", thought=f"Left.\n{P}"
    ),
    f"<think>Left.</think>\n<action>{P}</action>\n<action>{N}</action>": expected_reply(
        CLICK, ORDER, "further action tags dropped"
    ),
    f"<think>Left.</think>\n<action>{P}</action>\n<answer>The liver.</answer>": expected_reply(
        CLICK, "answer dropped: the action is no stop"
    ),
    "<think>Left.</think>\n<answer>The liver.</answer>": replace(
        expected_error(f"got '<answer> without an action: The liver.', {EXPECTED}", "missing <action> </action>"),
        answer="The liver.",
    ),
    "<think>Left.</think>\n<action>Terminate</action>\n<answer>The liver.": expected_reply(
        Terminate(), "missing </answer>", answer="The liver."
    ),
    "I do not stop.\nstop": expected_reply(
        Terminate(), f"{NO_TAGS} <answer> </answer>", OUTSIDE, SPELLING, thought="I do not stop."
    ),
    "<think>Left, so I terminate": expected_error(
        f"got no action, {EXPECTED}", "missing </think> <action> </action>", thought="Left, so I terminate"
    ),
    "": expected_error(f"got an empty reply, {EXPECTED}", NO_TAGS, thought=""),
    "The liver is on the left.": expected_error(
        f"got 'The liver is on the left.', {EXPECTED}", NO_TAGS, OUTSIDE, thought=""
    ),
}


@pytest.mark.parametrize(("text", "reply"), REPLIES.items())
def test_whole_replies(text: str, reply: Reply) -> None:
    assert parse_reply(text) == reply


@pytest.mark.parametrize("text", [*REPLIES, *(f"<think>Left.</think>\n<action>{line}</action>" for line in LINES)])
def test_strict_accepts_what_needs_no_repair_and_nothing_else(text: str) -> None:
    tolerant, strict = parse_reply(text), parse_reply(text, strict=True)
    if tolerant.error or not tolerant.repairs:
        assert strict == tolerant
    else:
        assert strict == replace(tolerant, action=None, error=strict.error)
        assert strict.error
        assert strict.error.startswith(f"the format is not exact ({'; '.join(tolerant.repairs)}): expected <think>")


def test_a_kind_that_is_switched_off_is_refused_with_those_allowed() -> None:
    reply = parse_reply("<think>Left.</think>\n<action>Backtrack</action>", allow=("point", "terminate"))
    advice = "expected one of: Positive Point (x, y), Negative Point (x, y), Terminate"
    assert reply == expected_error(f"backtrack is switched off, {advice}")


@pytest.mark.parametrize(
    ("frame", "line", "action"),
    [
        (CoordinateFrame("thousand"), "Positive Point (250, 1000)", Click(0.25, 1.0)),
        (CoordinateFrame("thousand_yx"), "Positive Point (250, 1000)", Click(1.0, 0.25)),
        (CoordinateFrame("thousand_yx"), "Positive Point (x=250, y=1000)", Click(0.25, 1.0)),
        (CoordinateFrame("thousand_yx"), '{"x": 250, "y": 1000}', Click(0.25, 1.0)),
        (CoordinateFrame("thousand_yx"), '{"box_2d": [100, 200, 300, 400]}', Box(0.2, 0.1, 0.4, 0.3)),
        (CoordinateFrame("pixels", 512, 384), "Box (128, 96, 512, 384)", Box(0.25, 0.25, 1.0, 1.0)),
    ],
)
def test_numbers_are_read_in_the_frame(frame: CoordinateFrame, line: str, action: Action) -> None:
    assert parse_reply(f"<action>{line}</action>", frame=frame).action == action


def test_advice_is_given_in_the_order_of_the_frame() -> None:
    error = parse_reply("Point", frame=CoordinateFrame("thousand_yx"), allow=("point", "box")).error
    expected = "Positive Point (y, x), Negative Point (y, x), Box (y0, x0, y1, x1)"
    assert error == f"got 'Point', expected one of: {expected}"


def test_one_is_the_last_column() -> None:
    action = parse_reply("<action>Positive Point (1.0000, 0.5000)</action>").action
    assert isinstance(action, Click)
    assert click_to_pixel(action, (100, 200)) == (50, 199)


EXAMPLES = {
    "Similar (0.4500, 0.4200)": (Similar(0.45, 0.42), ()),
    "Negative Similar (0.4500, 0.4200)": (Similar(0.45, 0.42, False), ()),
    "Similar (0.4500, 0.4200) for nuclei": (Similar(0.45, 0.42, True, "nuclei"), ()),
    "similar(0.45,0.42)": (Similar(0.45, 0.42), (SPELLING,)),
    "**Negative Similar** (0.45, 0.42)": (Similar(0.45, 0.42, False), (SPELLING,)),
    "NEGATIVE_SIMILAR: [0.45, 0.42]": (Similar(0.45, 0.42, False), (SPELLING,)),
    "Positive Similar Point at (0.45, 0.42).": (Similar(0.45, 0.42), (SPELLING,)),
    "Action: similar click (y=0.42, x=0.45)": (Similar(0.45, 0.42), (SPELLING,)),
    '{"type": "similar", "x": 0.45, "y": 0.42, "positive": false}': (Similar(0.45, 0.42, False), (JSON,)),
    '{"action": "similar", "coordinate": [0.45, 0.42]}': (Similar(0.45, 0.42), (JSON,)),
    '{"action": "Negative Similar", "x": 0.45, "y": 0.42}': (Similar(0.45, 0.42, False), (JSON,)),
    '{"negative_similar": [0.45, 0.42]}': (Similar(0.45, 0.42, False), (JSON,)),
    '{"similar": {"x": 0.45, "y": 0.42}}': (Similar(0.45, 0.42), (JSON,)),
    '{"point_2d": [0.45, 0.42], "similar": true, "label": "nuclei"}': (Similar(0.45, 0.42, True, "nuclei"), (JSON,)),
    '{"action": "Similar (0.45, 0.42)"}': (Similar(0.45, 0.42), (JSON,)),
}


@pytest.mark.parametrize("line", EXAMPLES)
def test_the_spellings_of_an_example_are_read_where_it_is_switched_on(line: str) -> None:
    text = f"<think>Left.</think>\n<action>{line}</action>"
    assert parse_reply(text, allow=POLICY_KINDS) == expected_reply(EXAMPLES[line][0], *EXAMPLES[line][1])
    assert parse_reply(text) == expected_error(f"similar is switched off, {EXPECTED}", *EXAMPLES[line][1])


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("Similar (1.4, 0.2)", "x=1.4 is out of range: expected a number from 0 to 1"),
        ('{"type": "similar", "bbox": [0.1, 0.2, 0.3, 0.4]}', "got a box for Similar: expected one point, an example"),
        ("Similar (0.4)", "got 'Similar (0.4)', expected one of: Positive Point"),
        ("Similar things (0.4, 0.5) are elsewhere", "got 'Similar things"),
    ],
)
def test_what_is_no_example_is_refused(line: str, error: str) -> None:
    reply = parse_reply(f"<think>a</think>\n<action>{line}</action>", allow=POLICY_KINDS)
    assert reply.action is None
    assert (reply.error or "").startswith(error)


def test_an_answer_may_call_things_similar() -> None:
    answer = "Nodules of similar 12, 14 mm size, similar (12, 14 mm) to those before."
    assert parse_reply(write_reply("a", Terminate(), answer), strict=True).answer == answer


targets = st.none() | st.text(max_size=20) | st.sampled_from(["left kidney", "box 3", "a positive point (0.1, 0.2)"])
answers = st.text(max_size=20).filter(lambda answer: not contains_position(answer))
steps = st.integers(0, 10000).map(lambda step: step / 10000)


@pytest.mark.parametrize("frame", FRAMES, ids=PROFILES)
@given(thought=st.text(max_size=60), action=actions(steps, targets), answer=answers)
@quick
def test_every_canonical_reply_reads_back(frame: CoordinateFrame, thought: str, action: Action, answer: str) -> None:
    reply = parse_reply(write_reply(thought, action, answer, frame), frame=frame, allow=POLICY_KINDS, strict=True)
    assert reply.error is None
    assert reply.action is not None
    assert format_action(reply.action, frame) == format_action(action, frame)
    if frame == UNIT:
        assert reply.action == replace(action, target=clean_target(action.target))
    again = write_reply(reply.thought, reply.action, reply.answer, frame)
    assert reply == parse_reply(again, frame=frame, allow=POLICY_KINDS)


@given(x=steps, y=steps, positive=st.booleans(), target=targets)
@quick
def test_the_plain_form_of_an_example_is_read_as_an_action(x: float, y: float, positive: bool, target: str) -> None:
    example = Similar(x, y, positive, clean_target(target))
    reply = parse_reply(f"<action>{json.dumps(to_plain(example))}</action>", allow=POLICY_KINDS)
    assert reply.action == example == from_plain(to_plain(example))


def check(text: str, frame: CoordinateFrame = UNIT, cut: bool = False) -> Reply:
    reply = parse_reply(text, frame=frame, cut=cut, allow=POLICY_KINDS)
    assert (reply.action is None) == (reply.error is not None)
    assert reply.error is None or (reply.error.isprintable() and len(reply.error) < 280)
    assert all(repair.isprintable() for repair in reply.repairs)
    if isinstance(reply.action, Click | Box | Similar):
        format_action(reply.action, frame)  # its coordinates were checked when it was made
    return reply


@given(st.text(st.characters()))
@quick
def test_no_text_raises(text: str) -> None:
    check(text)
    check(f"<action>{text}</action>")
    check(f'{{"Coordinate 2d": {text}')


PIECES = (
    *("<think>", "</think>", "<action>", "</action>", "<answer>", "</answer>", "\n", " for ", "{", "}", '"', "[", ")"),
    *(
        "Positive Point (",
        "negative click",
        "Similar (",
        "similar",
        "Box (",
        "Backtrack",
        "Terminate",
        "liver",
        ": ",
        ", ",
        "\ud800",
        "\x00",
    ),
    *('{"Target": "liver", "Attribute": "+1", "Coordinate 2d": [0.4, 0.5]}', '{"bbox_2d": [1, 2, 3, 4]}', "x=", "%"),
)
NUMBERS = ("nan", "-inf", "1e999", "-0", "1.03", "451", "0.4512", "1.0000", "9" * 400, "0.", ".5", "-0.05", "0x1", "٣")


def mutate(text: str, rng: random.Random) -> str:
    at, end = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
    match rng.randrange(6):
        case 0:
            return text[:at] + text[at + 1 :]
        case 1:
            return text[:end] + text[at:]
        case 2:
            return text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]
        case 3:
            return text.replace(rng.choice(PIECES[:6]), "", 1)
        case 4:
            return text.replace(rng.choice(("0.4512", "0.4238", "0.1000")), rng.choice(NUMBERS), 1)
    return text[:at] + rng.choice(PIECES + NUMBERS) + text[at:]


def generate_reply(rng: random.Random) -> str:
    if rng.random() < 0.2:
        return "".join(rng.choices(PIECES + NUMBERS, k=rng.randrange(12)))
    target = rng.choice((None, "liver"))
    kinds = (
        Click(0.4512, 0.4238, target=target),
        Box(0.1, 0.2, 0.4512, 0.4238, target),
        Similar(0.4512, 0.4238, False, target),
        Backtrack(target),
        Terminate(target),
    )
    text = write_reply("Left of it.", rng.choice(kinds), "The liver.")
    for _ in range(rng.randrange(5)):
        text = mutate(text, rng)
    return text


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_broken_replies_are_read_or_refused(count: int) -> None:
    rng = random.Random(0)
    read_count = 0
    for index in range(count):
        text = generate_reply(rng)
        reply = check(text, FRAMES[index % 4] if index % 2 else UNIT)
        read_count += reply.action is not None
        if index % 10 == 0:
            strict = parse_reply(text, strict=True)
            assert strict == parse_reply(text, strict=True)
            assert strict.action is None or not strict.repairs
            check(text[: rng.randrange(len(text) + 1)], cut=True)
    assert 0.3 * count < read_count < 0.95 * count


REPEATED = (
    *(
        "<think>",
        "<think><action>",
        "</think>",
        "<",
        "(",
        "[",
        "{",
        "[{",
        '{"a":',
        "`",
        "\n",
        '"\n',
        " ",
        "1",
        "- ",
        "x=",
    ),
    *("point ", "positive ", "positive point (", "box 1,", "stop\n", "action: \n", "0.1, ", "Positive Point (0.1, "),
    *("Point (0.1, 0.2) for ", "for ", '{"Attribute": "+1", "Coordinate 2d": '),
)


@pytest.mark.slow
@pytest.mark.parametrize("unit", REPEATED)
@pytest.mark.parametrize("start", ["", "<action>", "<action>Positive Point ("])
def test_two_megabytes_take_no_quadratic_time(unit: str, start: str) -> None:
    text = start + unit * (2_000_000 // len(unit))
    before = time.process_time()
    check(text)
    assert time.process_time() - before < 3  # about 0.5; a quadratic search takes hours
