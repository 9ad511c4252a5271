"""A chat model's rationales before an expert's actions."""

import pytest
from conftest import ellipse
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from support.expert_runs import action_of, observation

from ibisagent.agent.reply_parser import parse_reply
from ibisagent.tools.clicks import Click
from ibisagent.training.experts.expert import Expert
from ibisagent.training.experts.llm_rationales import LLMRationaleExpert, oracle_view


def chat(*replies):
    return GenericFakeChatModel(messages=iter([AIMessage(reply) for reply in replies]))


def test_an_llm_expert_s_thought_stands_before_the_expert_s_action(pixels, truth):
    expert = LLMRationaleExpert(Expert(truth, "spleen"), chat("<think>I see a bright\nellipse.</think>"))
    said = parse_reply(expert.act(observation(pixels)).text, strict=True)
    assert (said.thought, said.action) == ("I see a bright ellipse.", action_of(expert.expert.act(observation(pixels))))
    assert expert.fallbacks == 0


@pytest.mark.parametrize("reply", ["", "<think></think>", "Yellow is missed.", "The true mask is here.", "Word " * 200])
def test_an_llm_expert_that_fails_or_tells_too_much_falls_back(pixels, truth, reply):
    expert = LLMRationaleExpert(Expert(truth, "spleen"), chat(reply))
    assert expert.act(observation(pixels)) == expert.expert.act(observation(pixels))
    assert expert.act(observation(pixels)).model == "expert"  # the fake has no further reply and raises
    assert expert.fallbacks == 2


def test_an_llm_expert_is_shown_both_views_and_the_action(pixels, truth):
    shown = observation(pixels, mask=ellipse(centre=(40, 90)), undone=(Click(0.1, 0.2),))
    expert = LLMRationaleExpert(Expert(truth, "spleen"), chat())
    system, user = expert.messages(shown, expert.decide(shown))
    assert "purple" in system.content
    assert [block["type"] for block in user.content] == ["text", "image", "text", "image", "text"]
    assert user.content[1]["base64"] != user.content[3]["base64"]
    words = user.content[-1]["text"].splitlines()
    assert words[:3] == [
        "Request: Segment it.",
        "Target: spleen",
        "Undone at this mask: Positive Point (0.1000, 0.2000).",
    ]
    assert words[3].startswith("Next action: Positive Point (")


def test_the_oracle_view_tells_right_from_missed_and_spilled(pixels, truth):
    mask = ellipse(centre=(40, 90))
    shown = observation(pixels, mask=mask)
    drawn = oracle_view(shown, truth)
    changed = (drawn != shown.picture).any(axis=2)
    assert (changed == (mask | truth)).all()
    tints = [drawn[region].astype(float).mean(axis=0) for region in (mask & truth, truth & ~mask, mask & ~truth)]
    green, yellow, purple = ((red - grn, grn - blue) for red, grn, blue in tints)
    assert green[0] < 0 < green[1]
    assert min(yellow[0] + 20, yellow[1]) > 0
    assert purple[0] > 0 > purple[1]
