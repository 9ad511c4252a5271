"""Replies that were cut, that hold no action or only mention one; and where a JSON click has its sign."""

import random
from dataclasses import replace

import pytest

from ibisagent.agent.actions import Action, Backtrack, Terminate, format_action, write_reply
from ibisagent.agent.coordinates import UNIT, CoordinateFrame
from ibisagent.agent.reply_parser import parse_completion, parse_reply
from ibisagent.tools.clicks import Box, Click

FRAMES = [UNIT, CoordinateFrame("thousand"), CoordinateFrame("thousand_yx"), CoordinateFrame("pixels", 512, 384)]
CLICK = Click(0.4, 0.5)
BOX = Box(0.1, 0.2, 0.3, 0.4)
BEGUN = "<think>Left.</think>\n<action>"


def parsed_action(text, **given):
    return parse_reply(text, **given).action


TOUCHING = [
    "Positive Point (0.375, 0.",
    "Positive Point (0.375, 0.42",
    "Positive Point 0.4 0.5",
    "Positive Point (x=0.4, y=0",
    "Positive Point (0.4, 4.2e-1",
    "Box (0.1, 0.2, 0.3, 0.4",
    "Box (0.3, 0.4, 0.1, 0.",
    "Box (0.1, 0.2), (0.3, 0.4",
    "Box [[0.1, 0.2], [0.3, 0.",
]


@pytest.mark.parametrize("text", TOUCHING)
@pytest.mark.parametrize("begun", [BEGUN, "", "<think>Left.\n"], ids=["tag", "bare", "thought"])
@pytest.mark.parametrize("cut", [False, True])
def test_a_number_that_the_reply_ends_with_is_no_number(text, begun, cut):
    reply = parse_reply(begun + text, cut=cut)
    assert reply.action is None
    assert reply.error.startswith("got a reply that was cut at ")
    assert (parsed_action(f"{BEGUN}{text}</action>") is None) == text.endswith(".")
    assert parsed_action(f"{BEGUN}{text})</action>") is not None


@pytest.mark.parametrize(
    "behind", ["..", "...)", "…)", "....", "\n", "`", "*", '"', "\t", "<|im_end|>", "</action>", "\n</action>", "\n```"]
)
@pytest.mark.parametrize("text", ["Positive Point (0.375, 0.", "Box (0.3, 0.4, 0.8, 0.", "Positive Point (0.3, 1."])
@pytest.mark.parametrize("begun", [BEGUN, ""], ids=["tag", "bare"])
def test_a_number_without_its_decimals_is_cut_wherever_it_stands(text, behind, begun):
    for cut in (False, True):
        reply = parse_reply(f"{begun}{text}{behind}", cut=cut)
        assert reply.action is None
        assert reply.error.startswith("got a reply that was cut at ")


@pytest.mark.parametrize("behind", ["<|endoftext|>", "<|im_end|>", "[...]", " [truncated]", "[…]"])
@pytest.mark.parametrize("begun", [BEGUN, ""], ids=["tag", "bare"])
def test_an_open_bracket_before_a_mark_of_the_end_is_cut(behind, begun):
    for text in ("Positive Point (0.375, 0.4", "Box (0.1, 0.2, 0.3, 0.4"):
        assert parsed_action(f"{begun}{text}{behind}") is None
    assert parsed_action(f"{begun}Positive Point (0.4, 0.5)<|im_end|>") == CLICK


def test_a_full_stop_behind_a_whole_number_is_none_of_it():
    assert parsed_action("Positive Point 451, 42.\n", frame=CoordinateFrame("thousand")) == Click(0.451, 0.042)
    assert parsed_action(f"{BEGUN}Positive Point (0., 1. )</action>") == Click(0.0, 1.0)


@pytest.mark.parametrize("finish", ["length", "error", "abort", "pause_turn", "incomplete"])
def test_a_reply_that_its_provider_did_not_finish_is_cut(finish):
    assert parse_completion({"text": f"{BEGUN}Terminate", "finish_reason": finish}).action is None
    assert parse_completion({"text": f"{BEGUN}Terminate", "finish_reason": "stop"}).action == Terminate()


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (CoordinateFrame("thousand"), "Positive Point (451, 42"),
        (CoordinateFrame("thousand_yx"), "Negative Point (45, 4"),
        (CoordinateFrame("pixels", 512, 384), "Box (10, 20, 300, 4"),
    ],
)
def test_a_whole_number_may_be_cut_as_well(frame, text):
    assert parsed_action(BEGUN + text, frame=frame) is None
    assert parsed_action(f"{BEGUN}{text}0)", frame=frame) is not None


OPEN = [
    *TOUCHING,
    "Positive Point (0.4, 0.5\n",
    "Positive Point (0.4, 0.5) for left kid",
    "Positive Point (0.4, 0.5): the li",
    *("Terminate", "Terminat", "Termin", "Backtrack", "Backtr", "Undo", "Stop", "Terminate for sple"),
    '{"point_2d": [0.4, 0.5], "lab',
]


@pytest.mark.parametrize("text", OPEN)
def test_an_action_that_is_not_closed_before_a_cut_is_none(text):
    reply = parse_reply(BEGUN + text, cut=True)
    assert reply.action is None
    assert "cut" in reply.error


@pytest.mark.parametrize(
    "text",
    [
        *("Termin", "Terminat", "Backtr", "Positive Point (0.4", "Positive Point (0.4, -", "Box (0.1, 0.2, 0.3, "),
        *('{"point_2d": [0.4, 0.5]', '{"point_2d": [0.4, 0.5], "label', '{\n"point_2d": [0.4, 0.5],\n'),
        '{"action": "negative", "arguments": {"x": 0.4, "y": 0.5}',
        '{"Target": "liver", "Attribute": "-1", "Coordinate 2d": [0.4, 0.5]',
    ],
)
@pytest.mark.parametrize("cut", [False, True])
def test_half_a_word_or_object_is_none_however_the_reply_ended(text, cut):
    assert parsed_action(BEGUN + text, cut=cut) is None


@pytest.mark.parametrize(
    ("text", "action"),
    [
        (f"{BEGUN}Positive Point (0.4, 0.5)", CLICK),
        (f"{BEGUN}Positive Point (0.4, 0.5).", CLICK),
        (f"{BEGUN}Positive Point (0.4, 0.5)</act", CLICK),
        (f"{BEGUN}Positive Point (0.4, 0.5) for liver</", Click(0.4, 0.5, True, "liver")),
        (f"{BEGUN}Positive Point 0.4 0.5\nfor the li", CLICK),
        (f"{BEGUN}Positive Point (0.4, 0.5)</action> and then I wou", CLICK),
        (f"{BEGUN}Box (0.1, 0.2, 0.3, 0.4)", BOX),
        (f"{BEGUN}Box (0.1, 0.2), (0.3, 0.4)", BOX),
        (f"{BEGUN}Terminate</", Terminate()),
        (f"{BEGUN}Backtrack\n", Backtrack()),
        (f'{BEGUN}[{{"point_2d": [0.4, 0.5], "label": "liver"}}', Click(0.4, 0.5, True, "liver")),
        ("Positive Point (0.4, 0.5)", CLICK),
    ],
)
def test_an_action_that_is_closed_counts_in_a_reply_that_was_cut(text, action):
    assert parse_completion({"text": text, "finish_reason": "length"}).action == action
    assert parse_completion({"text": text, "finish_reason": "stop"}).action == action


def test_a_thought_that_was_cut_decides_nothing():
    for thought in ("<think>Left.\nPositive Point (0.4, 0.5)", "<think>Left.\nPositive Point (0.4, 0.5)\n</th"):
        assert parsed_action(thought) == CLICK
        assert parsed_action(thought, cut=True) is None


def test_a_cut_answer_is_not_passed_on():
    stop = f"{BEGUN}Terminate</action>\n<answer>There is no tumour"
    reply = parse_reply(stop, cut=True)
    assert (reply.action, reply.answer) == (Terminate(), None)
    assert "answer dropped: it was cut" in reply.repairs
    for whole in (f"{stop}.</answer>", f"{stop}.</ans"):
        assert parse_reply(whole, cut=True).answer == "There is no tumour."
    assert parse_reply(f"{stop} <", cut=True).answer is None
    assert parse_reply(f"{stop}.</answer>", cut=True, strict=True).action == Terminate()


@pytest.mark.parametrize(
    "text",
    [
        *("<answer>There is no tumour.</answer>", "<answer>", "</answer>", "<think>Left.</think>\n<answer></answer>"),
        *(
            "<answer>I cannot help with medical images.</answer>",
            "zz</answer>",
            "<action></action>\n<answer>No.</answer>",
        ),
        "<answer>Terminate</answer>",
        "<answer>The liver lies at Box (0.1, 0.2, 0.3, 0.4).</answer>",
        f"{BEGUN}Termi nate</action>\n<answer>No.</answer>",
        f"{BEGUN}Terminate</actio>\n<answer>No.</answer>",
        *(
            f"{BEGUN}{text}</action>"
            for text in ("Terminate 0.4", "Terminate? Not yet", "Terminate: no", "Terminate it not")
        ),
        f"{BEGUN}Terminate\nPositive Point (0.4, 0.5)</action>",
        f"{BEGUN}Terminate: Positive Point (0.4, 0.5)</action>",
        f"{BEGUN}Terminate</action>\n<action>Positive Point (0.4, 0.5)</action>",
        "Positive Point (0.4, 0.5)\nTerminate",
        *(
            f"{BEGUN}Terminate</action>\n<answer>{answer}</answer>"
            for answer in (
                "Box (0.1, 0.2, 0.3, 0.4)",
                "It is at point (0.4, 0.5).",
                '{"bbox_2d": [0.1, 0.2, 0.3, 0.4], "label": "liver"}',
                '```json\n[{"x": 0.4, "y": 0.5}]\n```',
                "(0.4, 0.5)",
                "[0.1, 0.2, 0.3, 0.4]",
                "<box>(100,200),(300,400)</box>",
                "<|box_start|>(100,200),(300,400)<|box_end|>",
                "<loc_12><loc_33><loc_55><loc_90>",
                '<point x="30" y="40">cyst</point>',
                "Found at [0.2, 0.3, 0.5, 0.6].",
                "It is at (30%, 40%).",
                *("x=0.3, y=0.4", "It is at x 0.3 and y 0.4.", "y: 0.3, x: 0.4"),
                *("Click here: 0.3,0.4", "It is at 0.3, 0.4.", "0.3 0.4"),
                "[[10,20],[30,40],[50,60]]",
                '{"size": [4, 4], "counts": "04"}',
                *("centre at 0.3/0.4", "<click>0.3, 0.4</click>", "left=0.2, top=0.3, right=0.5, bottom=0.6"),
                *("at pixel 120, 340.", "row 120, column 340", "located around 0.3, 0.4", r"\boxed{0.3, 0.4}"),
                "It is at (120, 340) px.",
            )
        ),
        f'{BEGUN}{{"action": "terminate", "coordinate": [0.4, 0.5]}}</action>',
        f'{BEGUN}{{"action": "terminate"}}, {{"point": [0.4, 0.5]}}</action>',
    ],
)
def test_a_stop_that_was_not_said_alone_is_none(text):
    reply = parse_reply(text)
    assert reply.action is None
    assert "expected" in reply.error


def test_an_answer_that_is_a_click_or_a_box_and_nothing_else_is_one():
    reply = parse_reply("<think>Left.</think>\n<answer>Box (0.1, 0.2, 0.3, 0.4)</answer>")
    assert (reply.action, reply.answer) == (BOX, None)
    assert "action taken from the answer" in reply.repairs
    assert parsed_action("<answer>\n[{'bbox_2d': [0.1, 0.2, 0.3, 0.4]}]\n</answer>") == BOX


@pytest.mark.parametrize(
    "text",
    [
        *(
            "I will not Terminate yet",
            "I will not\nTerminate yet.",
            "Terminate would be too early.",
            "Shall I\nTerminate?",
        ),
        "'Positive Point (0.1, 0.2)' would be wrong, so I look again.",
        "'Positive Point (0.1, 0.2)' for the liver would be wrong.",
        "Positive Point (0.1, 0.2) for the liver would be wrong.",
        "I click Positive Point (0.1, 0.2)",
        "Positive Point (0.1, 0.2)\nwould be wrong.",
        'Not {"point_2d": [0.1, 0.2]}',
        '{"point_2d": [0.1, 0.2]} would be wrong',
        *("I will not <action>Terminate</action>", "I could <action>Terminate</action>, but I do not."),
        "<think>Not <action>Terminate</action> here.</think>",
        f"{BEGUN}I would click Positive Point (0.1, 0.2)</action>",
        f"{BEGUN}Positive Point (0.1, 0.2) would be wrong</action>",
        f"{BEGUN}Positive Point (0.1, 0.2)?</action>",
        f"{BEGUN}Not Backtrack</action>",
    ],
)
def test_an_action_that_is_only_spoken_of_does_nothing(text):
    assert parsed_action(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "'Positive Point (0.1, 0.2)' would be wrong, so\nPositive Point (0.4, 0.5)",
        "I do not terminate: <action>Positive Point (0.4, 0.5)</action>",
        "I could <action>Terminate</action>, but no.\n<action>Positive Point (0.4, 0.5)</action>",
        "The set {a, b} is left.\n**Action:** Positive Point (0.4, 0.5)<|im_end|>",
        "Left, so:\n```json\n{'x': 0.4, 'y': 0.5, 'positive': True}\n```",
        f"{BEGUN}Here it is.\nPositive Point (0.4, 0.5)</action>",
        f"{BEGUN}Positive Point (0.4, 0.5): its centre</action>",
        f"{BEGUN}Positive Point (0.4, 0.5) and Negative Point (0.1, 0.2)</action>",
        f"{BEGUN}Positive Point (0.4, 0.5)\nTerminate</action>",
        "<think>Left.\n<action>Positive Point (0.4, 0.5)</action>\n</think>",
    ],
)
def test_an_action_that_stands_by_itself_counts(text):
    assert parsed_action(text) == CLICK


WRONG = [
    *("Do not use\n", "Not this:\n", "I must not output the following\n", "Never do\n", "Don't click:\n\n"),
    *("I will not\n", "This must not be used:\n", "The following is wrong:\n", "Wrong:\n", "Avoid:\n"),
    *("You should avoid using:\n", "Instead of\n", "If I did\n", "For example:\n", "My last action was\n"),
    *("Refrain from\n", "It would be wrong to click\n", "A bad action would be:\n", "An option I reject:\n"),
    *("I decided against\n", "Do not under any circumstances output:\n", "I was told to write, for instance,\n"),
    *("My previous action:\n", "Undone:\n", "There is no reason to\n", "It's too early to\n", "Previous reply:\n"),
    *("The user said:\n> ", "As the user wrote\n> ", "Earlier\n> ", "Avoid:\n```\n"),
]


@pytest.mark.parametrize("said", WRONG)
def test_an_action_below_words_that_only_speak_of_it_does_nothing(said):
    for action in ("Positive Point (0.4, 0.5)", "Terminate", '{"point_2d": [0.4, 0.5]}'):
        tagged = f"<action>{action}</action>"
        for text in (said + action, said + tagged, f"<think>{said}{action}", f"<think>{said}{tagged}\n</think>"):
            assert parsed_action(text) is None, text
    assert parsed_action(f"{BEGUN}{said}Positive Point (0.4, 0.5)</action>") is None


@pytest.mark.parametrize(
    "said",
    [
        *("The mask is not complete:\n", "Its left is not yet covered:\n", "I do not terminate:\n", "I will not.\n"),
        *("I avoid the liver:\n", "To avoid the vessel:\n", "The mask was wrong, so\n", "Final answer:\n"),
        *("Here is my action in the required format:\n", "The user asked for the liver:\n", "> \n", "**Action**\n"),
        *("The mask should avoid this:\n", "This part is incorrect:\n", "The bright area is where the lesion was:\n"),
        *("The part that my last click did not add:\n", "I have decided to click\n", "It is time to\n", "I want to\n"),
        *("The mask is wrong and I need to\n", "Nothing is marked yet, so I have to\n"),
        *("The mask does not follow the border\n", "The best click would be\n", "> the request\n\n"),
    ],
)
def test_an_action_below_words_that_lead_to_it_counts(said):
    assert parsed_action(f"{said}Positive Point (0.4, 0.5)") == CLICK
    assert parsed_action(f"{said}<action>Positive Point (0.4, 0.5)</action>") == CLICK


@pytest.mark.parametrize(
    "said",
    [
        "I will not click again:",
        "I don't want to add any more:",
        "There is no need to click:",
        "This click was bad, so:",
    ],
)
def test_words_against_another_click_lead_to_a_stop_or_an_undo(said):
    assert (
        parsed_action(f"{said}\n<action>Terminate</action>\n<answer>The lesion is segmented.</answer>") == Terminate()
    )
    assert parsed_action(f"{said}\nTerminate") == Terminate()
    assert parsed_action(f"{said}\n<action>Backtrack</action>") == Backtrack()


@pytest.mark.parametrize(
    "answer",
    [
        *(
            "It measures 3 x 4 cm.",
            "It would lie at (3 cm, 4 cm).",
            "No cyst in slices 3, 4.",
            "None, at 12, 14 weeks.",
        ),
        *("See ref [1, 2]: no lesion is visible.", "Hounsfield range (30, 60) HU inside the lesion."),
        *("The lesion spans slices (10, 14).", "Left: 3, right: 4 cysts."),
        *("The liver (12, 34 mm) is free.", "No x-ray sign; y axis cut.", "T1/T2 at 1.5 T: nothing."),
    ],
)
def test_numbers_that_are_no_place_do_not_spoil_an_answer(answer):
    assert parse_reply(f"{BEGUN}Terminate</action>\n<answer>{answer}</answer>").answer == answer


@pytest.mark.parametrize(
    ("sign", "positive"),
    [
        *((f'"attribute": {value}', False) for value in ('"-1"', "-1", "0", '"negative"', "false", "-1.0")),
        *((f'"Attribute": {value}', True) for value in ('"+1"', "1", "+1", '"Positive"')),
        *((f'"{key}": "negative_point"', False) for key in ("action", "type", "name")),
        *((f'"action": "{value}"', False) for value in ("Negative Click", "click_negative", "NegativePoint", "-1")),
        *((f'"action": "{value}"', True) for value in ("click", "point", "left_click", "add_positive_point")),
        *((f'"{key}": false', False) for key in ("is_positive", "positive", "isPositive")),
        *((f'"polarity": "{value}"', value == "positive") for value in ("positive", "negative")),
        *((f'"{key}": [0]', False) for key in ("labels", "label", "point_labels")),
        *((f'"label": {value}', value == 1) for value in (0, 1, -1)),
        *(
            (f'"label": "{text}"', True)
            for text in ("false lumen", "negative control", "background tissue", "0 degrees")
        ),
        *((f'"name": "{text}"', True) for text in ("false lumen", "negative control")),
        ('"label": "false lumen", "attribute": -1', False),
        ('"label": "negative", "attribute": 1', True),
        ('"negative": true', False),
        *((f'"{key}": "neg"', False) for key in ("action", "type")),
        *((f'"action": "{word}"', False) for word in ("exclude", "remove", "subtract_point", "deselect")),
        *((f'"{key}": "negative"', False) for key in ("click_type", "point_type", "kind", "mode", "point_label")),
        *((f'"{key}": ["0"]', False) for key in ("labels", "point_labels")),
        *((f'"{key}": false', False) for key in ("foreground", "is_foreground", "include")),
        *((f'"{key}": true', False) for key in ("background", "exclude")),
        *((f'"{key}": "liver"', True) for key in ("background", "mode", "class", "labels")),
    ],
)
@pytest.mark.parametrize(
    "place", ['"point_2d": [0.4, 0.5]', '"arguments": {"x": 0.4, "y": 0.5}'], ids=["flat", "nested"]
)
def test_a_json_click_has_the_sign_that_it_tells(sign, positive, place):
    for fields in (f"{{{place}, {sign}}}", f"{{{sign}, {place}}}"):
        action = parsed_action(f"{BEGUN}{fields}</action>")
        assert (action.x, action.y, action.positive) == (0.4, 0.5, positive)


@pytest.mark.parametrize("place", ['{"x": 0.4, "y": 0.5}', '[{"point_2d": [0.4, 0.5]}]'])
@pytest.mark.parametrize(
    ("key", "positive"),
    [
        *((key, False) for key in ("negative_point", "negative", "negativeClick", "negative_points", "exclude", "neg")),
        *((key, True) for key in ("positive_point", "foreground", "point", "click")),
    ],
)
def test_the_key_of_a_nested_click_may_tell_its_sign(key, positive, place):
    assert parsed_action(f'{BEGUN}{{"{key}": {place}}}</action>') == Click(0.4, 0.5, positive)
    assert parsed_action(f'{BEGUN}{{"action": {{"{key}": {place}}}}}</action>') == Click(0.4, 0.5, positive)
    assert parsed_action(f'{BEGUN}{{"{key}": {place}, "positive": {str(not positive).lower()}}}</action>') is None or (
        key in ("point", "click")
    )


def test_the_letters_of_a_written_place_are_heeded():
    for fields, action in [
        ('"point": "(y=0.5, x=0.4)"', CLICK),
        ('"point": "x: 0.4, y: 0.5"', CLICK),
        ('"box": "(y0=0.2, x0=0.1, y1=0.4, x1=0.3)"', BOX),
        ('"box": "x0=0.1, x1=0.3, y0=0.2, y1=0.4"', None),
    ]:
        assert parsed_action(f"{BEGUN}{{{fields}}}</action>") == action


@pytest.mark.parametrize(
    "fields",
    [
        *('"bbox": {"x": 0.1, "y": 0.2, "w": 0.5, "h": 0.6}', '"bbox": {"x": 0.1, "y": 0.2}'),
        *('"x": 0.1, "y": 0.2, "width": 0.5, "height": 0.6', '"x": 0.1, "y": 0.2, "x2": 0.5, "y2": 0.6'),
        *(f'"box": [0.1, 0.2, 0.3, 0.4], "format": "{form}"' for form in ("xywh", "cxcywh", "coco", "yolo", "yxyx")),
    ],
)
def test_numbers_that_may_be_no_corners_are_asked_for_again(fields):
    reply = parse_reply(f"{BEGUN}{{{fields}}}</action>")
    assert reply.action is None
    assert "x0, y0, x1, y1 of a box" in reply.error
    assert parsed_action(f'{BEGUN}{{"box": [0.1, 0.2, 0.3, 0.4], "format": "xyxy"}}</action>') == BOX


def test_points_with_labels_as_segmenters_take_them():
    assert parsed_action(f'{BEGUN}{{"points": [[0.4, 0.5]], "labels": [0]}}</action>') == Click(0.4, 0.5, False)
    assert parsed_action(f'{BEGUN}{{"points": [[0.4, 0.5], [0.1, 0.2]], "labels": [1, 0]}}</action>') is None


@pytest.mark.parametrize(
    "fields",
    [
        *('"label": "negative"', '"label": "0"', '"type": "false positive"', '"action": "negative control"'),
        *('"class": "background"', '"label": ["negative"]', '"button": "right"', '"action": "remove background"'),
        *('"attribute": 1, "positive": false', '"action": "negative", "label": 1', '"polarity": "left"'),
        '"type": "point", "inner": {"type": "negative"}',
    ],
)
def test_a_sign_that_is_in_doubt_is_asked_for(fields):
    assert parsed_action(f'{BEGUN}{{"point_2d": [0.4, 0.5], {fields}}}</action>') is None


def test_a_box_is_never_negative():
    assert parsed_action(f'{BEGUN}{{"bbox_2d": [0.1, 0.2, 0.3, 0.4], "label": 0}}</action>') == BOX
    assert "negative box" in parse_reply(f'{BEGUN}{{"bbox_2d": [0.1, 0.2, 0.3, 0.4], "attribute": -1}}</action>').error


def random_action(rng: random.Random) -> Action:
    target = rng.choice((None, "left kidney"))
    x, y = (rng.randrange(5000) / 10000 for _ in "xy")
    return rng.choice(
        (
            Click(x, y, rng.random() < 0.5, target),
            Box(x, y, x + 0.1 + rng.random() * 0.4, y + 0.1 + rng.random() * 0.4, target),
            Backtrack(target),
            Terminate(target),
        )
    )


@pytest.mark.parametrize("count", [5_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_canonical_reply_cut_anywhere_acts_as_it_would_have_or_not_at_all(count):
    rng = random.Random(0)
    acted_on = 0
    for index in range(count):
        action, frame = random_action(rng), FRAMES[index % 4]
        text = write_reply("Left of it, at 0.5.", action, "The kidney, as asked.", frame)
        whole = parse_reply(text, frame=frame, strict=True)
        assert format_action(whole.action, frame) == format_action(action, frame)
        short = text[: rng.randrange(len(text))]
        known, unknown = (parse_reply(short, frame=frame, cut=cut) for cut in (True, False))
        if known.action is not None:  # a cut between the bracket and "for" loses no more than the target's name
            assert known.action in (whole.action, replace(whole.action, target=None))
        assert known.answer in (None, whole.answer)
        assert known.action is not None or "cut" in known.error
        assert unknown.action is None or format_action(whole.action, frame).startswith(
            format_action(unknown.action, frame)
        )
        acted_on += known.action is not None
    assert 0.1 * count < acted_on < 0.5 * count
