"""A person's clicks take precedence over the policy: a prompt that contradicts them is undone and recorded."""

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from support.fakes import NOT_THERE, STOP, UNDO, RecordingPolicy, negative, positive, script

from ibisagent.agent import Box, Click, LoopConfig, build_graph
from ibisagent.agent.protected_regions import violates_regions
from ibisagent.agent.replay import replay
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import area, decode
from ibisagent.tools.segmenters.disk import DiskSegmenter

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


def test_an_unprotected_run_is_replayed_as_it_was(pixels):
    graph, ended = run(script(negative(0.55, 0.42), UNDO, UNDO, STOP), pixels, LoopConfig(protect=False))
    assert replay(build_trajectory(graph, ended), "disk", open_image(pixels)).differences == ()


def test_a_policy_that_clicks_the_other_way_round_does_not_move_what_he_marked(pixels):
    replies = [negative(HIS.x, HIS.y), positive(NOT.x, NOT.y), negative(HIS.x + 0.01, HIS.y)]
    _, ended = run(script(*replies, STOP), pixels, segmenter="geocut")
    assert [step["actor"] for step in ended["steps"]].count("protection") >= 2
    assert (mask_at(ended, HIS), mask_at(ended, NOT)) == (True, False)


# What a prompt marks is a region


def beside(click, distance, shape):
    """The replies that click against a click, in a ring around it of so many pixels."""
    away = negative if click.positive else positive
    steps = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)]
    return [away(click.x + distance * x / shape[1], click.y + distance * y / shape[0]) for x, y in steps]


def asked(pixels, prompts, *replies, segmenter="geocut", **given):
    _, ended = run(script(*replies, STOP), pixels, LoopConfig(max_steps=12), segmenter, prompts=prompts, **given)
    return ended, decode(ended["mask"])


@pytest.mark.parametrize(("distance", "least"), [(1, 0.9), (2, 0.9), (3, 0.9), (5, 0.65), (8, 0.65)])
def test_clicks_around_his_take_little_of_what_it_marked(distance, least, pixels, truth):
    his = Click(0.55, 0.42)
    _, alone = asked(pixels, [his])
    assert iou(alone, truth) > 0.9
    ended, mask = asked(pixels, [his], *beside(his, distance, pixels.shape))
    assert "protection" in {step["actor"] for step in ended["steps"]}
    assert iou(mask, truth) > least


@pytest.mark.parametrize("reply", ["Box (0.0, 0.0, 0.1, 0.1)", "Box (0.54, 0.41, 0.56, 0.43)"])
def test_what_his_box_holds_stays(reply, pixels, truth):
    rows, columns = truth.nonzero()
    (height, width) = truth.shape
    box = Box(columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height)
    _, alone = asked(pixels, [box])
    ended, mask = asked(pixels, [box], f"<think>There.</think>\n<action>{reply}</action>")
    assert "protection" in {step["actor"] for step in ended["steps"]}
    assert (mask == alone).all()
    assert iou(mask, truth) > 0.9


def test_what_is_around_his_negative_click_stays_out(pixels):
    no = Click(0.2, 0.8, positive=False)
    ended, mask = asked(pixels, [no], *beside(no, 3, pixels.shape)[:4], segmenter=DiskSegmenter(0.02))
    assert [step["actor"] for step in ended["steps"]].count("protection") == 4
    assert not mask.any()


def test_what_his_negative_click_took_out_stays_out(pixels):
    prompts = [Click(0.5, 0.4), Click(0.55, 0.4), Click(0.55, 0.4, positive=False)]
    _, alone = asked(pixels, prompts, segmenter="disk")
    for far in (0.6, 0.61):  # each reaches a part of it, but not what is around the click
        ended, mask = asked(pixels, prompts, positive(far, 0.4), segmenter="disk")
        assert "protection" in {step["actor"] for step in ended["steps"]}
        assert (mask == alone).all()


def test_a_trim_of_the_edge_is_the_policy_s_to_make_and_trims_add_up(pixels):
    far = 0.05 * 1.5
    edge = [negative(0.55 + far, 0.42), negative(0.55 - far, 0.42), negative(0.55, 0.42 + far * 4 / 3)]
    ended, mask = asked(pixels, [HIS], *edge, segmenter="disk")
    assert [step["actor"] for step in ended["steps"]][1:3] == ["policy", "policy"]
    assert "protection" in {step["actor"] for step in ended["steps"][3:]}
    _, alone = asked(pixels, [HIS], segmenter="disk")
    assert 0.65 * alone.sum() <= mask.sum() < 0.9 * alone.sum()


def test_what_he_took_out_himself_later_is_no_longer_marked(pixels):
    prompts = [Click(0.5, 0.4), Click(0.45, 0.4, positive=False)]
    ended, _ = asked(pixels, prompts, negative(0.44, 0.4), positive(0.7, 0.7), segmenter="disk")
    assert "protection" not in {step["actor"] for step in ended["steps"]}


def test_a_flood_from_his_click_is_the_policy_s_to_stop():
    """Its click marked what is near, which stays; of the rest nobody knows whether he meant it."""
    rows, columns = np.ogrid[:100, :100]
    blob, core = (np.hypot(rows - 50, columns - 50) <= radius for radius in (12, 2))
    river = blob | ((abs(rows - 50) < 8) & (columns > 50)) | (columns > 80)
    empty, his = np.zeros_like(blob), Click(0.505, 0.505)
    for before, after, spoilt in [
        *((river, blob, False), (river, core, False), (river, empty, True), (blob, core, True), (blob, empty, True)),
        *((~empty, blob, False), (~empty, empty, True), (blob, blob & (rows > 38 + 1), False)),
    ]:
        masks = [empty, before]
        assert violates_regions([his], [0], masks.__getitem__, before, after) is spoilt
    masks = [empty, blob]
    assert not violates_regions([his], [0], masks.__getitem__, core, core)  # it was as bad before
    assert not violates_regions([his], [], masks.__getitem__, blob, core)  # a policy's own


def test_a_given_mask_is_the_policy_s_to_drop(pixels, truth):
    ended, mask = asked(pixels, [], UNDO, NOT_THERE, initial_mask=truth)
    assert (ended["stop"], mask.any()) == ("target_absent", False)


def test_a_region_is_known_again_without_the_run_store(pixels):
    """It is a function of the active prompts: resumed by another process, a thread goes on the same way."""
    memory, thread = InMemorySaver(), {"configurable": {"thread_id": "1"}}
    first = build_graph(script(*beside(HIS, 2, pixels.shape), STOP), "geocut", checkpointer=memory)
    first.invoke({"image": pixels, "request": "Segment it.", "prompts": [HIS]}, thread, interrupt_before=["reason"])
    images = first.components.images
    again = build_graph(script(negative(HIS.x + 0.01, HIS.y), STOP), "geocut", checkpointer=memory, images=images)
    ended = again.invoke(None, thread)
    assert [step["actor"] for step in ended["steps"]] == ["person", "policy", "protection", "policy"]


def test_a_record_of_the_pixel_s_rule_is_replayed_by_it(pixels):
    near = negative(HIS.x + 0.02, HIS.y)
    graph, ended = run(script(near, STOP), pixels, LoopConfig(protect="click"), "geocut")
    assert replay(build_trajectory(graph, ended), "geocut", open_image(pixels)).differences == ()
    graph, now = run(script(near, STOP), pixels, None, "geocut")
    assert area(now["mask"]) > area(ended["mask"])
    assert build_trajectory(graph, now).config["protect"] == "region"
    assert replay(build_trajectory(graph, now), "geocut", open_image(pixels)).differences == ()


def test_another_rule_is_refused():
    with pytest.raises(InputError, match="protect=True: expected 'region', 'click' or False"):
        LoopConfig(protect=True)
