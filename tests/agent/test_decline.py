"""A policy that declines: neither a mask nor an absence is asserted."""

import re
from dataclasses import replace

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from support.fakes import STOP, RecordingPolicy, positive, script

from ibisagent.agent import Click, Decline, LoopConfig, build_graph
from ibisagent.agent.actions import KINDS, OPTIONAL, from_plain, to_plain, write_reply
from ibisagent.agent.config import preset
from ibisagent.agent.coordinates import CoordinateFrame
from ibisagent.agent.grammar import reply_regex
from ibisagent.agent.integrations import segmentation_tool, summarize, summarize_result
from ibisagent.agent.prompting import load_prompts
from ibisagent.agent.replay import replay
from ibisagent.agent.reply_parser import parse_reply
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.evals.behavior_metrics import behavior_metrics
from ibisagent.evals.stats import Bootstrap
from ibisagent.evals.trajectories import trajectory_metrics
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import decode, encode

REASON = "I was never shown a tibia."
UNSURE = write_reply("What is that?", Decline(), REASON)


def run(pixels, *replies, config=None, **given):
    graph = build_graph(script(*replies), "disk", config)
    return graph, graph.invoke({"image": pixels, "request": "Segment the tibia.", **given})


def test_a_declined_run_asserts_nothing_and_gives_the_reason(pixels):
    _, ended = run(pixels, UNSURE)
    assert (ended["stop"], ended["answer"], decode(ended["mask"]).any()) == ("declined", REASON, False)
    assert [step["action"] for step in ended["steps"]] == [{"type": "decline"}]
    assert ended["measurements"]["area_px"] == 0


def test_a_question_may_be_declined(pixels):
    assert run(pixels, UNSURE, kind="question")[1]["stop"] == "declined"


def test_what_a_person_gave_stays_in_force(pixels, truth):
    clicked = run(pixels, UNSURE, prompts=[Click(0.5, 0.4)])[1]
    begun = run(pixels, UNSURE, initial_mask=truth)[1]
    assert decode(clicked["mask"])[38, 64]
    assert np.array_equal(decode(begun["mask"]), truth)
    assert (clicked["stop"], begun["stop"]) == ("declined", "declined")


def test_a_guess_of_the_policy_s_own_is_no_result(pixels):
    graph, ended = run(pixels, positive(0.5, 0.5), UNSURE)
    assert (ended["stop"], decode(ended["mask"]).any(), ended["score"]) == ("declined", False, None)
    assert replay(build_trajectory(graph, ended), "disk", open_image(pixels)).differences == ()


def test_a_record_of_a_declined_run_is_read_and_counted(pixels):
    graph, ended = run(pixels, positive(0.5, 0.5), UNSURE)
    record = Trajectory.from_json(build_trajectory(graph, ended).to_json())
    figures = trajectory_metrics(record)
    assert (record.stop, record.answer) == ("declined", REASON)
    assert (figures.turns, figures.length, figures.valid_actions) == (2, 1, 2)


def test_a_thread_goes_on_after_it_was_declined(pixels):
    thread = {"configurable": {"thread_id": "1"}}
    graph = build_graph(script(UNSURE, STOP), "disk", checkpointer=InMemorySaver())
    graph.invoke({"image": pixels, "request": "Segment the tibia."}, thread)
    ended = intervene(graph, thread, Click(0.5, 0.4))
    assert (ended["stop"], decode(ended["mask"]).any()) == ("terminated", True)


def test_a_person_may_decline_at_a_review(pixels):
    thread = {"configurable": {"thread_id": "1"}}
    graph = build_graph(script(positive(0.5, 0.5), STOP), "disk", LoopConfig(review=True), checkpointer=InMemorySaver())
    graph.invoke({"image": pixels, "request": "Segment the tibia."}, thread)
    ended = graph.invoke(Command(resume={"type": "decline", "answer": REASON}), thread)
    assert (ended["stop"], ended["answer"], decode(ended["mask"]).any()) == ("declined", REASON, False)


@pytest.mark.parametrize("text", ["Decline", "DECLINED.", '{"action": "decline"}', "decline for tibia", "Decline: why"])
def test_its_spellings_are_read(text):
    reply = parse_reply(f"<think>a</think>\n<action>{text}</action>\n<answer>{REASON}</answer>")
    assert (type(reply.action), reply.answer, reply.error) == (Decline, REASON, None)


def test_in_prose_it_is_no_action():
    assert parse_reply("I would decline if I had to choose").action is None
    assert from_plain(to_plain(Decline("tibia"))) == Decline("tibia")


def test_the_strict_judge_takes_it_where_it_is_allowed():
    assert parse_reply(UNSURE, strict=True).action == Decline()
    assert parse_reply(UNSURE.partition("\n<answer>")[0], strict=True).error
    refused = parse_reply(UNSURE, allow=("point", "terminate"), strict=True)
    assert (refused.action, refused.error) == (
        None,
        "decline is switched off, expected one of: Positive Point (x, y), Negative Point (x, y), Terminate",
    )


def test_the_grammar_holds_it_where_it_is_allowed():
    without = [kind for kind in KINDS if kind != "decline"]
    assert re.fullmatch(reply_regex(), UNSURE)
    assert re.fullmatch(reply_regex(["decline"], CoordinateFrame("thousand")), UNSURE)
    assert not re.fullmatch(reply_regex(without), UNSURE)
    assert not re.fullmatch(reply_regex(["decline"]), STOP)


def test_the_preset_of_the_released_weights_has_it_not(pixels):
    assert "decline" not in preset("ibis").actions
    config = replace(preset("ibis"), max_parse_failures=1)
    assert run(pixels, UNSURE, config=config)[1]["stop"] == "parse_failures"


def prompt_file(path, kinds):
    ours = load_prompts()
    lines = [f'{key} = "{key} $actions"' for key in ours.texts]
    lines += ["[actions]", *[f'{kind} = "may {kind}"' for kind in kinds]]
    path.write_text("\n".join([*lines, "[coordinates]", *[f'{name} = "{name}"' for name in ours.coordinates]]))
    return load_prompts(path)


def test_a_prompt_file_of_before_offers_and_allows_it_not(tmp_path, pixels):
    chats = pytest.importorskip("ibisagent.agent.policies.chat")
    models = pytest.importorskip("langchain_core.language_models.fake_chat_models")
    stops = {}
    for name, kinds in (("before", [kind for kind in KINDS if kind not in OPTIONAL]), ("after", KINDS)):
        prompts = prompt_file(tmp_path / f"{name}.toml", kinds)
        policy = chats.ChatPolicy(models.FakeListChatModel(responses=[UNSURE]), prompts=prompts)
        graph = build_graph(policy, "disk")
        watched = RecordingPolicy(policy)
        watched.actions = policy.actions
        ended = build_graph(watched, "disk").invoke({"image": pixels, "request": "Segment the tibia."})
        seen = watched.seen[0]
        stops[name] = (ended["stop"], "may decline" in prompts.system(seen), "decline" in seen.actions)
        assert graph.invoke({"image": pixels, "request": "Segment the tibia."})["stop"] == ended["stop"]
    assert stops == {"before": ("parse_failures", False, False), "after": ("declined", True, True)}


def test_our_own_prompts_offer_it(pixels):
    assert "decline" in load_prompts().kinds
    assert "you do not know what it looks like" in load_prompts().actions["decline"]


def test_what_is_told_is_neither_found_nor_absent(pixels, truth):
    graph, ended = run(pixels, UNSURE)
    told = summarize(graph, ended)
    assert told.text.startswith("Not answered: the policy does not know this target, or cannot judge it here. There ")
    assert f"Reason: {REASON}" in told.text
    left = summarize_result({"mask": encode(truth), "stop": "declined", "answer": REASON}, open_image(pixels))
    assert left.text.startswith("Not answered: ")
    assert "The current mask, which is not the policy's: " in left.text
    for each in (told, left):
        assert not each.found
        assert not re.search("Not found|no such target|Found:", each.text)


def test_the_tool_says_that_it_was_not_answered(pixels):
    tool = segmentation_tool(script(UNSURE), "disk", root={"scan": pixels})
    call = {"type": "tool_call", "name": tool.name, "id": "1", "args": {"image": "scan", "request": "The tibia."}}
    message = tool.invoke(call)
    assert message.content.startswith("Not answered: ")
    assert (message.artifact["found"], message.artifact["stop"]) == (False, "declined")


def test_a_declined_run_is_no_refusal_in_the_figures():
    row = {"first_click_hit": None, "length": 0, "turns": 1, "valid_actions": 1, "iou": 1.0, "start": None, "image": 1}
    stops = [(0, "declined"), (9, "declined"), (0, "target_absent"), (9, "terminated")]
    rows = [row | {"true_area_px": area, "stop": stop} for area, stop in stops]
    found = {
        name: (share.value, share.n) for name, share in behavior_metrics(rows, 0.5, Bootstrap(resamples=0)).items()
    }
    assert (found["refusal_rate"], found["false_refusal_rate"], found["decline_rate"]) == ((0.5, 2), (0.0, 2), (0.5, 4))
