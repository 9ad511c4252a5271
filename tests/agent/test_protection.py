"""A person's clicks take precedence over the policy: a prompt that contradicts them is undone and recorded."""

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from support.fakes import STOP, UNDO, RecordingPolicy, negative, positive, script

from ibisagent.agent import Click, LoopConfig, build_graph
from ibisagent.agent.replay import replay
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import decode

HIS, NOT = Click(0.55, 0.42), Click(0.2, 0.8, positive=False)


def run(policy, pixels, config=None, segmenter="disk", **given):
    graph = build_graph(policy, segmenter, config)
    return graph, graph.invoke({"image": pixels, "request": "Segment it.", "prompts": [HIS, NOT], **given})


def step_summary(steps):
    return [(step["actor"], step["action"]["type"] if step["action"] else None, step["reverts"]) for step in steps]


def mask_at(ended, click):
    mask = decode(ended["mask"])
    return mask[int(click.y * mask.shape[0]), int(click.x * mask.shape[1])]


def test_a_click_that_takes_his_out_is_undone_and_said(pixels):
    policy = RecordingPolicy(script(negative(0.55, 0.42), positive(0.7, 0.42), STOP))
    _, ended = run(policy, pixels)
    assert step_summary(ended["steps"])[2:5] == [
        ("policy", "point", None),
        ("protection", "backtrack", 3),
        ("policy", "point", None),
    ]
    assert policy.seen[1].undone == (Click(0.55, 0.42, positive=False),)
    assert (mask_at(ended, HIS), mask_at(ended, NOT), mask_at(ended, Click(0.7, 0.42))) == (True, False, True)


def test_a_click_or_a_box_that_fills_his_negative_one_is_undone(pixels):
    box = "<think>All of it.</think>\n<action>Box (0.1000, 0.1000, 0.9000, 0.9000)</action>"
    for reply in (positive(0.2, 0.8), box):
        _, ended = run(script(reply, STOP), pixels)
        assert step_summary(ended["steps"])[3] == ("protection", "backtrack", 3)
        assert not mask_at(ended, NOT)


def test_his_click_is_not_the_policy_s_to_undo(pixels):
    policy = RecordingPolicy(script(UNDO, positive(0.7, 0.42), UNDO, UNDO, STOP))
    _, ended = run(policy, pixels)
    assert step_summary(ended["steps"]) == [
        ("person", "point", None),
        ("person", "point", None),
        ("policy", None, None),
        ("policy", "point", None),
        ("policy", "backtrack", 4),
        ("policy", None, None),
        ("policy", "terminate", None),
    ]
    assert (
        policy.seen[1].feedback == "Backtrack: the last prompt is a person's and stays; click elsewhere, or terminate"
    )
    assert mask_at(ended, HIS)


def test_what_his_click_did_not_reach_is_free(pixels):
    """A click that the segmenter did not follow protects nothing; neither does an undone one."""
    graph = build_graph(script(negative(0.2, 0.2), STOP), "disk", checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    graph.invoke({"image": pixels, "request": "Segment it.", "prompts": [HIS]}, thread, interrupt_before=["reason"])
    intervene(graph, thread, "Backtrack", interrupt_before=["reason"])
    ended = intervene(graph, thread, NOT)
    assert "protection" not in {step["actor"] for step in ended["steps"]}


def test_it_can_be_switched_off(pixels):
    _, ended = run(script(negative(0.55, 0.42), UNDO, UNDO, STOP), pixels, LoopConfig(protect=False))
    assert step_summary(ended["steps"])[2:] == [
        ("policy", "point", None),
        ("policy", "backtrack", 3),
        ("policy", "backtrack", 2),
        ("policy", "terminate", None),
    ]


def test_what_an_experiment_planted_is_not_protected(pixels):
    _, ended = run(script(UNDO, negative(0.55, 0.42), STOP), pixels, prompts_actor="experiment")
    assert step_summary(ended["steps"]) == [
        ("experiment", "point", None),
        ("experiment", "point", None),
        ("policy", "backtrack", 2),
        ("policy", "point", None),
        ("policy", "terminate", None),
    ]


def test_a_person_who_acts_may_undo_his_own(pixels):
    graph = build_graph("person", "disk", checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    graph.invoke({"image": pixels, "request": "Segment it.", "prompts": [HIS]}, thread)
    for words in ("Backtrack", "Negative Point (0.3, 0.3)", "Terminate"):
        ended = graph.invoke(Command(resume=words), thread)
    assert step_summary(ended["steps"])[1] == ("person", "backtrack", 1)


@pytest.mark.parametrize("planted", [False, True])
def test_a_protected_run_is_replayed(planted, pixels):
    policy = script(negative(0.55, 0.42), UNDO, positive(0.7, 0.42), STOP)
    graph, ended = run(policy, pixels, prompts_actor="experiment" if planted else "person")
    record = build_trajectory(graph, ended)
    assert replay(record, "disk", open_image(pixels)).differences == ()


def test_a_record_from_before_is_replayed_as_it_was(pixels):
    graph, ended = run(script(negative(0.55, 0.42), UNDO, UNDO, STOP), pixels, LoopConfig(protect=False))
    record = build_trajectory(graph, ended)
    del record.config["protect"]
    assert replay(record, "disk", open_image(pixels)).differences == ()


def test_a_policy_that_clicks_the_other_way_round_does_not_move_what_he_marked(pixels):
    replies = [negative(HIS.x, HIS.y), positive(NOT.x, NOT.y), negative(HIS.x + 0.01, HIS.y)]
    _, ended = run(script(*replies, STOP), pixels, segmenter="geocut")
    assert [step["actor"] for step in ended["steps"]].count("protection") >= 2
    assert (mask_at(ended, HIS), mask_at(ended, NOT)) == (True, False)
