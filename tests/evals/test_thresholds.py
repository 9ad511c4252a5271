"""Rewards under other thresholds, of runs whose every mask is known.

The picture is 20 x 20; the truth a square of 100 pixels, rows and columns 5 to 14. The disk segmenter's click is a plus
of 5 pixels, its box a rectangle, so that a run's IoU after each prompt can be counted.
"""

import csv
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support.command_line import call
from support.fakes import NOT_THERE, STOP, UNDO, negative, positive, script

from ibisagent.agent import build_graph
from ibisagent.agent.episode import run_episode
from ibisagent.agent.trajectory_files import write_trajectory
from ibisagent.evals.rewards import CLICK_RULES, REWARD_PRESETS, JudgingRules, judge_masks, score_trajectory
from ibisagent.evals.thresholds import list_settings, measure_run, summarize_thresholds
from ibisagent.evals.trajectories.early_stop import stop_after
from ibisagent.tools.errors import InputError

PIXELS = np.zeros((20, 20), np.uint8)
TRUTH = np.zeros((20, 20), bool)
TRUTH[5:15, 5:15] = True


def box(columns):
    """A box of so many of the truth's ten columns: an IoU of a tenth of their number."""
    return f"<think>All.</think>\n<action>Box (0.25, 0.25, {0.25 + columns / 20:.4f}, 0.75)</action>"


def at(row, column, make=positive):
    return make((column + 0.5) / 20, (row + 0.5) / 20)


def run(*replies, truth=TRUTH, pixels=PIXELS, **given):
    graph = build_graph(script(*replies), "disk")
    return run_episode(graph, {"image": pixels, "request": "Segment.", **given}, truth=truth)


def setting(knob, value, settings):
    return next(number for number, each in enumerate(settings) if (each.knob, each.value) == (knob, value))


def summarize(settings, modalities=None, **policies):
    runs = {
        name: {str(number): measure_run(record, settings) for number, record in enumerate(records)}
        for name, records in policies.items()
    }
    return summarize_thresholds(runs, settings, modalities)


def row_of(summary, policy, knob, value, group="all"):
    wanted = (policy, knob, value, group)
    return next(row for row in summary.rows if (row.policy, row.knob, row.value, row.group) == wanted)


def test_two_policies_change_their_order_where_a_tier_lies_between_them():
    """One ends at an IoU of .8 after one prompt, not above .8; the other at .9 after two, of which one hits nothing."""
    settings = list_settings(tiers=[(0.5, 0.7), (0.8,)])
    quick, thorough = run(box(8), STOP), run(at(1, 1), UNDO, box(9), STOP)
    summary = summarize(settings, quick=[quick], thorough=[thorough])
    for tiers, answers in (("0.5 0.7", (1.0, 1.0)), ("0.5 0.7 0.8", (2 / 3, 1.0)), ("0.8", (0.0, 1.0))):
        row = [row_of(summary, name, "IoU tiers", tiers.replace("0.", ".")) for name in ("quick", "thorough")]
        clicks = (1.0, 0.0)  # of two, one is on the error, and one raises the IoU
        progress = (1.0, 0.5)
        expected = [
            0.6 * answer + 0.2 * (1 + click + gain + 1)
            for answer, click, gain in zip(answers, clicks, progress, strict=True)
        ]
        assert [each.reward for each in row] == pytest.approx(expected)
        assert [each.rank for each in row] == ([1, 2] if expected[0] > expected[1] else [2, 1])
    (found,) = [each for each in summary.order_changes if (each.knob, each.group) == ("IoU tiers", "all")]
    assert (found.value, found.above, found.below) == (".8", "quick", "thorough")
    assert found.base.value == pytest.approx(0.1)
    assert found.changed.value == pytest.approx(-0.3)
    assert not found.is_clear  # one case has no interval
    assert not [each for each in summary.order_changes if each.value in (".5 .7", ".5 .7 .8")]


def test_the_interval_of_a_change_of_order_says_whether_it_is_clear():
    settings = list_settings(tiers=[(0.8,)], clicks=["error"], steps=[5])
    pictures = [np.full((20, 20), shade, np.uint8) for shade in range(4)]
    quick = [run(box(8), STOP, pixels=each) for each in pictures]
    thorough = [run(at(1, 1), UNDO, box(9), STOP, pixels=each) for each in pictures]
    clear = summarize(settings, quick=quick, thorough=thorough).order_changes
    assert {(each.value, each.is_clear) for each in clear if (each.group, each.knob) == ("all", "IoU tiers")} == {
        (".8", True)
    }
    mixed = [*thorough[:2], *(run(box(5), STOP, pixels=each) for each in pictures[2:])]
    unclear = summarize(settings, quick=quick, thorough=mixed).order_changes
    assert not any(each.is_clear for each in unclear)


@pytest.mark.parametrize(
    ("click", "right"),
    [
        (at(9, 9), {"error", "deep", "side", "gain"}),
        (at(5, 14), {"error", "side", "gain"}),  # a corner of the error
        (at(9, 5), {"side"}),  # on the target, where it is marked already
        (at(1, 1), set()),
        (at(1, 1, negative), {"side"}),  # off the target, where nothing is marked
        (at(9, 9, negative), set()),
    ],
)
def test_which_clicks_are_right_by_which_rule(click, right):
    """After a box of the left two columns; the error left is the 8 columns beside it."""
    record = run(box(2), click, STOP)
    judged = judge_masks(record, CLICK_RULES)
    assert {rule for rule in CLICK_RULES if 1 in judged.right[rule]} == right
    assert {rule for rule in CLICK_RULES if 0 in judged.right[rule]} <= {"error", "deep", "side", "gain"}
    for rule in CLICK_RULES:
        scored = score_trajectory(record, REWARD_PRESETS["paper"], rules=JudgingRules(clicks=rule))
        signs = [1.0 if index in judged.right[rule] else -1.0 for index in (0, 1)]
        assert scored.terms.click == pytest.approx(np.mean(signs))


def test_t_opt_moves_the_reward_of_a_long_run_and_its_best_stop():
    """Six boxes, each a column wider: to .5 for the first five, past the first tier with the sixth."""
    settings = list_settings(clicks=["error"], steps=[1, 2, 5, 8])
    record = run(*[box(columns) for columns in range(1, 7)], STOP)
    long = summarize(settings, policy=[record])
    rewards = [row_of(long, "policy", "T_opt", str(most)).reward for most in (1, 2, 5, 8)]
    length = [-0.2 * 5, -0.2 * 4, -0.2 * 1, 1.0]
    click = 1 / 6 * (1 - 5 + 0)  # boxes: right from an IoU above .5 with the truth's
    assert rewards == pytest.approx([0.6 / 3 + 0.2 * (1 + click + 1 + each) for each in length])
    at_end = {most: row_of(long, "policy", "T_opt", str(most)) for most in (1, 2, 5, 8)}
    assert [each.prompts for each in at_end.values()] == [6.0] * 4
    for most, row in at_end.items():
        stopped = [stop_after(record, count) for count in range(7)]
        config = replace(REWARD_PRESETS["paper"], optimal_steps=most)
        by_hand = [score_trajectory(each, config).total for each in stopped]
        assert row.best_stop == row.best_common_stop == int(np.argmax(by_hand))
        assert row.lost == pytest.approx(max(by_hand) - by_hand[-1])
    assert (at_end[1].best_stop, at_end[8].best_stop) == (1, 6)


def test_every_stop_of_every_setting_is_scored_as_the_run_that_stopped_there():
    settings = list_settings()
    undone = run(at(7, 7), at(1, 1), UNDO, box(8), at(12, 14), STOP)
    refused = run(at(1, 1), UNDO, NOT_THERE, truth=np.zeros_like(TRUTH))
    refined = run(at(7, 7), UNDO, STOP, initial_mask=TRUTH)
    for record in (undone, refused, refined):
        scores = measure_run(record, settings)
        prompts = len(scores.rewards[0]) - 1
        for each, rewards in zip(settings, scores.rewards, strict=True):
            stopped = [stop_after(record, count) for count in range(prompts + 1)]
            assert list(rewards) == [score_trajectory(one, each.config, rules=each.rules).total for one in stopped]
    assert [len(measure_run(each, settings).rewards[0]) for each in (undone, refused, refined)] == [5, 2, 2]
    assert measure_run(replace(undone, stop="cancelled"), settings) is None


def test_cases_are_grouped_by_the_size_of_the_target_and_by_modality():
    settings = list_settings(tiers=[(0.8,)], clicks=["error"], steps=[5])
    small = np.zeros_like(TRUTH)
    small[7:8, 7:10] = True  # three of 400 pixels
    records = [run(box(8), STOP), run(at(7, 8), STOP, truth=small), run(NOT_THERE, truth=np.zeros_like(TRUTH))]
    assert [measure_run(each, settings).size for each in records] == ["large", "small", "absent"]
    summary = summarize(settings, {"0": "ct", "1": "ct"}, policy=records)
    groups = {(row.group_by, row.group): row.cases for row in summary.rows}
    assert groups == {
        ("all", "all"): 3,
        **{("size", name): 1 for name in ("small", "large", "absent")},
        ("modality", "ct"): 2,
        ("modality", "unknown"): 1,
    }
    own = [score_trajectory(each, REWARD_PRESETS["paper"]).total for each in records]
    assert row_of(summary, "policy", "T_opt", "5", "ct").reward == pytest.approx(np.mean(own[:2]))
    assert row_of(summary, "policy", "T_opt", "5", "absent").reward == pytest.approx(own[2])


def test_settings_that_cannot_be_are_refused():
    for tiers in ((), (0.7, 0.5), (0.5, 0.5), (0.0, 0.5), (0.5, 1.0)):
        with pytest.raises(InputError, match=r"got tiers .*, expected rising numbers between 0 and 1; correct them"):
            JudgingRules(tiers=tiers)
    with pytest.raises(InputError, match="got the click rule 'hit', expected one of error, deep, side, gain; choose"):
        list_settings(clicks=["hit"])
    with pytest.raises(InputError, match="got T_opt 0, expected numbers of steps of 1 or more; correct it"):
        list_settings(steps=[0])
    with pytest.raises(InputError, match="got 1 policies and no case that all of them have a reward of"):
        summarize_thresholds({"nano": {}}, list_settings())


@pytest.mark.slow
def test_the_command_writes_a_table_a_figure_and_every_row(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "scan.png")
    for folder, *replies in (("quick", box(8), STOP), ("thorough", at(1, 1), UNDO, box(9), STOP)):
        for case in ("a", "b"):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_trajectory(tmp_path / folder / f"{case}.json", run(*replies))
    write_trajectory(tmp_path / "quick" / "c.json", run(box(8), STOP))
    command = ("trajectories", "thresholds", "quick", "thorough", "--out", "made", "--tiers", "0.8")
    ended = call(*command, "--click-rule", "gain", "--t-opt", "2", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "2 cases that every policy has; 1 left out." in ended.stdout
    assert "| all | IoU tiers .8 | scripted, thorough | scripted, quick | +0.100" in ended.stdout
    wrote = "wrote thresholds.csv, order_changes.csv, thresholds.md and thresholds.png in made"
    assert ended.stdout.endswith(f"{wrote}\n")
    with (tmp_path / "made" / "order_changes.csv").open(newline="") as file:
        found = [each for each in csv.DictReader(file) if (each["group"], each["knob"]) == ("all", "IoU tiers")]
    assert [(each["value"], each["above"], float(each["base_difference"])) for each in found] == [
        (".8", "scripted, quick", pytest.approx(0.1))
    ]
    with (tmp_path / "made" / "thresholds.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["policy"] for row in rows} == {"scripted, quick", "scripted, thorough"}
    assert len(rows) == 2 * 2 * (3 + 2 + 2 + 1)  # of all cases and of the large ones, by policy and setting
    with Image.open(tmp_path / "made" / "thresholds.png") as figure:
        assert np.asarray(figure.convert("L")).std() > 5


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--tiers", "a,b"), "got --tiers 'a,b', expected numbers such as 0.5,0.7,0.8; correct them"),
        (("--tiers", "0.9,0.1"), "got tiers [0.9, 0.1], expected rising numbers between 0 and 1; correct them"),
        (("--click-rule", "hit"), "got the click rule 'hit', expected one of error, deep, side, gain; choose one"),
    ],
)
def test_wrong_options_are_one_line_and_write_nothing(tmp_path, options, line):
    (tmp_path / "runs").mkdir()
    ended = call("trajectories", "thresholds", "runs", "--out", "made", *options, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (2, f"ibisagent: {line}\n")
    assert not (tmp_path / "made").exists()
