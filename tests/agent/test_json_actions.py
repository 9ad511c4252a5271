"""An action as JSON, or as the Python that a model writes in its place."""

import pytest

from ibisagent.agent.actions import Terminate
from ibisagent.agent.reply_parser import parse_reply
from ibisagent.tools.clicks import Box, Click


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("{'point': (0.4, 0.5), 'positive': False, 'target': None}", Click(0.4, 0.5, False)),
        ('{"point": [0.4, 0.5,], "positive": true,}', Click(0.4, 0.5)),
        ("{'action': 'point', 'coordinate_2d': (.4, +.5,), 'attribute': -1,\n}", Click(0.4, 0.5, False)),
        ("{'type': 'point', 'x': 0.4, 'y': 0.5, 'positive': True, 'target': None, }", Click(0.4, 0.5)),
        ("{'point': (0.4, 0.5), 'label': \"patient's kidney\"}", Click(0.4, 0.5, target="patient's kidney")),
        (r"{'point': (0.4, 0.5), 'label': 'patient\'s kidney'}", Click(0.4, 0.5, target="patient's kidney")),
        ("{'point': (0.4, 0.5), 'label': 'the \"left\" one'}", Click(0.4, 0.5, target='the "left" one')),
        ("{'point': (0.4, 0.5), 'label': 'cyst, (True or None)',}", Click(0.4, 0.5, target="cyst, (True or None)")),
        ("{'bbox_2d': (0.1, 0.2, 0.3, 0.4), 'label': None,}", Box(0.1, 0.2, 0.3, 0.4)),
        ("{'type': 'terminate', 'target': None,}", Terminate()),
    ],
)
def test_python_s_spelling_of_json_is_read(text, action):
    reply = parse_reply(f"<think>Here.</think>\n<action>{text}</action>")
    assert reply.action == action
    assert "JSON in place of an action line" in reply.repairs


@pytest.mark.parametrize("text", ["{'", '{"\\', "{,}", "{'a': 'b\\", "{" + "'\\" * 3000])
def test_what_is_neither_is_no_action(text):
    assert parse_reply(f"<think>Here.</think>\n<action>{text}</action>").action is None


@pytest.mark.parametrize(
    "sign",
    [
        *(f'"{key}": "negative_point"' for key in ("tool", "tool_name", "function", "command", "action_type", "tag")),
        *(f'"{key}": "negative"' for key in ("prompt_type", "prompt", "click", "anything")),
        *(
            '"operation": "remove"',
            '"op": "subtract"',
            '"intent": "exclude"',
            '"point_type": "bg"',
            '"action": "discard"',
        ),
        *('"is_fg": false', '"fg": 0', '"value": -1', '"tool": "point", "mode": "neg"'),
    ],
)
def test_a_sign_is_read_under_any_key(sign):
    assert parse_reply(f'{{"x": 0.3, "y": 0.4, {sign}}}').action == Click(0.3, 0.4, False)


@pytest.mark.parametrize("key", ["bg_points", "negative_prompts", "neg_coords", "negative_seeds", "background_clicks"])
def test_the_key_around_a_click_gives_its_sign(key):
    for value in ('[{"x": 0.3, "y": 0.4}]', "[[0.3, 0.4]]", "[0.3, 0.4]"):
        assert parse_reply(f'{{"{key}": {value}, "positive_points": []}}').action == Click(0.3, 0.4, False)


@pytest.mark.parametrize("fields", ['"action": "cut"', '"action": "shrink"', '"tool": "scissors"', '"op": "hide"'])
def test_a_verb_that_is_not_known_is_asked_about(fields):
    assert parse_reply(f'{{"x": 0.3, "y": 0.4, {fields}}}').error.startswith("got the ")


@pytest.mark.parametrize(
    "fields",
    [
        *('"thought": "negative"', '"target": "background"', '"reason": "remove"', '"name": "computer_use"'),
        *(
            '"action": "left_click"',
            '"action": "click"',
            '"tool": "segment"',
            '"command": "add a point"',
            '"op": "select"',
        ),
        *(f'"{key}": {{"width": 512, "height": 512}}' for key in ("image", "image_size", "size", "resolution")),
        '"action": "Positive Point", "width": 512, "height": 512',
        '"positive_point": [0.3, 0.4]',
        '"positive_points": [[0.3, 0.4]], "negative_points": []',
        '"Positive Point": [0.3, 0.4]',
    ],
)
def test_other_fields_and_the_picture_s_size_do_not_hinder_a_click(fields):
    action = parse_reply("{" + ("" if "[" in fields else '"x": 0.3, "y": 0.4, ') + fields + "}").action
    assert (action.x, action.y, action.positive) == (0.3, 0.4, True)


def test_a_size_beside_a_place_in_one_object_is_a_box():
    for key in ("input", "shape", "bbox"):
        assert parse_reply(f'{{"{key}": {{"x": 0.1, "y": 0.2, "width": 0.5, "height": 0.6}}}}').action is None


def test_two_signs_with_a_place_each_are_no_click():
    assert parse_reply('{"positive_points": [[0.3, 0.4]], "negative_points": [[0.5, 0.6]]}').action is None


def test_named_corners_are_a_box():
    for names in ("x0 y0 x1 y1", "x1 y1 x2 y2", "x_min y_min x_max y_max", "xmin ymin xmax ymax"):
        fields = ", ".join(f'"{name}": 0.{index}' for index, name in enumerate(names.split(), 1))
        for text in (f"{{{fields}}}", f'{{"bbox": {{{fields}}}}}'):
            assert parse_reply(text).action == Box(0.1, 0.2, 0.3, 0.4)


@pytest.mark.parametrize("start", ["", "<think>It lies left.</think>\n"])
def test_a_tool_call_is_an_action(start):
    call = '{"name": "computer_use", "arguments": {"action": "left_click", "coordinate": [0.3, 0.4]}}'
    assert parse_reply(f"{start}<tool_call>\n{call}\n</tool_call>").action == Click(0.3, 0.4)
    stop = '<tool_call>\n{"name": "terminate", "arguments": {"answer": "No lesion is visible."}}\n</tool_call>'
    assert parse_reply(f"{start}{stop}").action == Terminate()


def test_the_answer_of_a_stop_in_json_is_kept():
    stop = '{"action": "terminate", "answer": "No lesion is visible."}'
    for text in (stop, f"<think>Looked.</think>\n<action>{stop}</action>"):
        assert (parse_reply(text).action, parse_reply(text).answer) == (Terminate(), "No lesion is visible.")
    assert parse_reply(f"<action>{stop}</action><answer>None.</answer>").answer == "None."
    assert parse_reply('{"action": "terminate", "answer": "It is at (0.3, 0.4)."}').action is None
