"""Experts in the graph: where they click, what they undo, drop and refuse, and when they stop."""

import asyncio

import numpy as np
import pytest
from conftest import ellipse
from support.expert_runs import action_of, kinds, observation, run
from support.fakes import NOT_THERE, STOP, UNDO, FunctionPolicy, positive, script

from ibisagent.agent import LoopConfig, build_graph
from ibisagent.agent.actions import Backtrack, Terminate
from ibisagent.agent.reply_parser import parse_reply
from ibisagent.tools.clicks import Click, click_to_pixel
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import decode
from ibisagent.training.experts.expert import Expert, ExpertConfig, RelabeledPolicy, parse_style

EMPTY = np.zeros((96, 128), bool)
OTHER = ellipse(centre=(15, 20), radii=(10, 14))


@pytest.mark.parametrize("segmenter", ["geodesic", "geocut"])
def test_an_expert_reaches_its_iou_and_names_the_target(pixels, truth, segmenter):
    record, _ = run(Expert(truth, "spleen"), pixels, segmenter)
    assert (record.stop, record.answer) == ("terminated", "The spleen is segmented.")
    assert iou(decode(record.mask), truth) >= 0.85


def test_an_expert_settles_for_less_with_every_prompt(pixels, truth):
    config = ExpertConfig(stop_iou=1.0, stop_iou_decay=0.1)
    record, _ = run(Expert(truth, "spleen", config), pixels, "disk", max_steps=20)
    reached = [iou(decode(step.mask), truth) for step in record.steps]
    wanted = [1.0 - 0.1 * max(0, count) for count in range(len(reached))]
    assert record.stop == "terminated"
    assert reached[-2] >= wanted[len(reached) - 2]
    assert all(one < other for one, other in zip(reached[:-2], wanted, strict=False))


def test_what_is_absent_is_refused_and_what_is_marked_dropped_before(pixels):
    record, _ = run(
        Expert(EMPTY, "polyp"), pixels, initial_mask=OTHER, prompts=[Click(0.5, 0.5)], prompts_actor="experiment"
    )
    assert kinds(record) == ["point", "backtrack", "backtrack", "terminate"]
    assert (record.stop, record.answer) == ("target_absent", "The polyp is not visible.")
    assert [step.thought for step in record.steps[1:]] == [
        "The last click was wrong. I undo it.",
        "The mask is on something else. I drop it.",
        "I see no polyp here.",
    ]


def test_an_initial_mask_of_something_else_is_dropped_and_a_rough_one_refined(pixels, truth):
    record, _ = run(Expert(truth, "spleen"), pixels, initial_mask=OTHER)
    assert (kinds(record)[:2], record.steps[0].reverts) == (["backtrack", "point"], 0)
    assert record.steps[1].thought.startswith("Nothing is marked yet.")
    rough = ellipse(radii=(12, 20))
    record, _ = run(Expert(truth, "spleen"), pixels, initial_mask=rough)
    assert kinds(record)[0] == "point"
    assert record.steps[0].thought.startswith("The mask misses a part")


@pytest.mark.parametrize("wrong", [Click(0.1, 0.9), Click(0.55, 0.42, positive=False)])
def test_a_wrong_last_prompt_is_undone_and_the_notice_follows(pixels, truth, wrong):
    record, seen = run(Expert(truth, "spleen"), pixels, "disk", prompts=[wrong], prompts_actor="experiment")
    assert [step.action["type"] for step in record.steps[:3]] == ["point", "backtrack", "point"]
    assert seen[1].undone == (wrong,)
    assert click_to_pixel(seen[2].prompts[-1], truth.shape) != click_to_pixel(wrong, truth.shape)


def test_a_wrong_prompt_that_does_no_harm_stays(pixels, truth):
    for mask, action in ((truth, Terminate()), (ellipse(centre=(40, 95)), Backtrack())):
        shown = observation(pixels, mask=mask, prompts=(Click(0.02, 0.02),))
        assert action_of(Expert(truth, "spleen").act(shown)) == action


def test_where_no_undo_is_allowed_none_is_made(pixels, truth):
    graph = build_graph(Expert(truth, "spleen"), "disk", LoopConfig(actions=("point", "terminate"), max_steps=3))
    ended = graph.invoke({"image": pixels, "request": "x", "prompts": [Click(0.1, 0.9)]})
    assert {step["action"]["type"] for step in ended["steps"]} <= {"point", "terminate"}


def test_no_pixel_is_clicked_twice_whether_it_is_in_force_or_undone(pixels, truth):
    expert = Expert(truth, "spleen", ExpertConfig(depth=1.0))
    first = action_of(expert.act(observation(pixels)))
    for known in ({"undone": (first,)}, {"prompts": (first,)}):
        assert action_of(expert.act(observation(pixels, **known))) != first


def test_what_is_done_depends_on_observation_truth_and_seed_alone(pixels, truth):
    def said(seed, step):
        return Expert(truth, "spleen", seed=seed).act(observation(pixels, step=step)).text

    assert said(1, 0) == said(1, 0)
    assert len({said(seed, step) for seed in (1, 2) for step in (0, 1)}) == 4


@pytest.mark.parametrize("depth", [0.5, 0.85, 1.0])
def test_a_click_is_as_deep_as_the_config_says(pixels, truth, depth):
    from scipy.ndimage import distance_transform_edt

    deep = distance_transform_edt(truth)
    config = ExpertConfig(depth=depth, snap=None)
    made = [action_of(Expert(truth, "spleen", config, seed).act(observation(pixels))) for seed in range(40)]
    depths = [deep[click_to_pixel(click, truth.shape)] for click in made]
    assert min(depths) >= depth * deep.max()
    assert (len(set(made)) == 1) == (depth == 1.0)


def test_snapped_coordinates_are_the_centres_of_bins_inside_the_target(pixels, truth):
    texts = [Expert(truth, "spleen", seed=seed).act(observation(pixels)).text for seed in range(40)]
    made = [parse_reply(text, strict=True).action for text in texts]
    assert {(round(click.x * 1e4) % 100, round(click.y * 1e4) % 100) for click in made} == {(50, 50)}
    assert all(truth[click_to_pixel(click, truth.shape)] for click in made)
    assert all("50, 0." in text and "50)" in text for text in texts)


def test_a_target_between_all_bins_is_clicked_exactly():
    big = np.zeros((400, 400), bool)
    big[201, 203] = True  # pixels of a quarter of a bin
    click = action_of(Expert(big, "spot").act(observation(np.zeros((400, 400), np.uint8))))
    assert click_to_pixel(click, big.shape) == (201, 203)


def test_faulty_configs_are_refused(pixels, truth):
    for wrong in ({"stop_iou": 1.5}, {"depth": -1}, {"snap": 0.5}):
        with pytest.raises(InputError, match=f"{next(iter(wrong))}="):
            ExpertConfig(**wrong)
    with pytest.raises(InputError, match="got style 'loud', expected short or full"):
        parse_style("loud")
    with pytest.raises(InputError, match="expected the picture's"):
        Expert(truth[:9], "spleen").act(observation(pixels))


def test_a_relabeled_policy_acts_and_the_expert_s_reply_is_the_label(pixels, truth):
    expert = Expert(truth, "spleen")
    record, _ = run(RelabeledPolicy(script(positive(0.05, 0.05), UNDO, NOT_THERE), expert), pixels, "disk")
    assert (record.policy, kinds(record)) == ("recording", ["point", "backtrack", "terminate"])
    labels = [parse_reply(step.completion["label"], strict=True).action for step in record.steps]
    assert (labels[1], [type(label) for label in labels[::2]]) == (Backtrack(), [Click, Click])
    assert click_to_pixel(labels[2], truth.shape) != click_to_pixel(labels[0], truth.shape) or labels[0] != labels[2]


def test_a_relabeled_policy_keeps_its_name_its_patience_and_its_async_twin(pixels, truth):
    policy = FunctionPolicy(lambda _: STOP)
    policy.reply_timeout = 3.0
    relabeled = RelabeledPolicy(policy, Expert(truth, "spleen"))
    assert (relabeled.name, relabeled.reply_timeout) == ("function", 3.0)
    shown = observation(pixels)
    assert asyncio.run(relabeled.aact(shown)) == relabeled.act(shown)
    assert relabeled.act(shown).text == STOP
