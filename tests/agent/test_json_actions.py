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
