"""Runs in figures, every one worked out by hand.

The picture is 20 x 20; the truth a square of 100 pixels, rows and columns 5 to 14. The disk segmenter's click is a plus
of 5 pixels, its box a rectangle.
"""

import json
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from support.fakes import NOT_THERE, STOP, UNDO, CountingSegmenter, FunctionPolicy, script
from support.fakes import negative as negative_at
from support.fakes import positive as positive_at
from support.records import with_target

from ibisagent.agent import Box, Click, Completion, Guard, LoopConfig, OraclePolicy, PersonPolicy, build_graph
from ibisagent.agent.actions import KINDS
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.evals.trajectories import (
    Reversal,
    TrajectoryMetrics,
    TrajectoryTableRow,
    TruthFit,
    oracle_gap,
    summarize_metrics,
    tabulate_records,
    trajectory_metrics,
)
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import encode

PIXELS = np.zeros((20, 20), np.uint8)
TRUTH = np.zeros((20, 20), bool)
TRUTH[5:15, 5:15] = True
ABSENT = np.zeros((20, 20), bool)


def positive(row, column):
    return positive_at((column + 0.5) / 20, (row + 0.5) / 20)


def negative(row, column):
    return negative_at((column + 0.5) / 20, (row + 0.5) / 20)


def box(x0, y0, x1, y1):
    return f"<think>All of it.</think>\n<action>Box ({x0:.4f}, {y0:.4f}, {x1:.4f}, {y1:.4f})</action>"


BOX = box(0.25, 0.25, 0.65, 0.75)  # rows 5 to 14, columns 5 to 12


def record_of(policy, segmenter="disk", config=None, truth=TRUTH, **given):
    graph = build_graph(policy, segmenter, config)
    return build_trajectory(graph, graph.invoke({"image": PIXELS, "request": "Segment.", **given}), truth=truth)


WALK = (
    positive(7, 7),  # 5 true pixels: hit
    BOX,  # 80 true pixels, the plus among them: hit
    positive(2, 2),  # and 5 false ones: miss
    UNDO,
    negative(7, 7),  # 75 true ones: miss
    UNDO,
    positive(7, 13),  # its plus has one pixel in column 12: 84 true ones: hit
    UNDO,
    STOP,
)


def test_a_run_in_figures():
    record = record_of(script(*WALK))
    run = trajectory_metrics(record)
    assert run == TrajectoryMetrics(
        kind="segment",
        stop="terminated",
        turns=9,
        length=8,
        valid_actions=9,
        repaired_replies=0,
        valid_action_rate=1.0,
        repair_rate=0.0,
        prompts=5,
        person_steps=0,
        undos=(
            Reversal(4, "policy", 3, 0.8 - 80 / 105),
            Reversal(6, "policy", 5, 0.8 - 0.75),
            Reversal(8, "policy", 7, 0.8 - 0.84),
        ),
        redos=(),
        seconds=record.seconds,
        policy_seconds=tuple(step.seconds["policy"] for step in record.steps),
        segmenter_seconds=tuple(record.steps[index].seconds["segmenter"] for index in (0, 1, 2, 4, 6)),
        first_mask_seconds=sum(record.steps[0].seconds.values()),
        tokens=(),
        fit=TruthFit(
            present=True,
            start_iou=0.0,
            policy_start_iou=0.0,
            ious=(0.05, 0.8, 80 / 105, 0.8, 0.75, 0.8, 0.84, 0.8, 0.8),
            iou_at_step={"1": 0.05, "3": 80 / 105, "5": 0.75, "10": 0.8, "20": 0.8},
            final_iou=0.8,
            final_dice=1.6 / 1.8,
            best_iou=0.84,
            regret=0.84 - 0.8,
            first_click_hit=True,
            hits=3,
            misses=2,
            improving_clicks=3,
            wasted_clicks=2,
            click_hit_rate=0.6,
            progress_rate=0.6,
        ),
    )
    assert list(asdict(run)) == [field.name for field in fields(run)]
    plain = json.loads(json.dumps(asdict(run), allow_nan=False))
    assert plain["fit"]["ious"] == list(run.fit.ious)
    assert plain["undos"][0] == {"step_index": 4, "actor": "policy", "reversed_step": 3, "iou_gain": 0.8 - 80 / 105}


def test_without_a_truth_only_what_needs_it_is_missing():
    record = record_of(script(*WALK), truth=None)
    known = trajectory_metrics(with_target(record, truth=encode(TRUTH)))
    unknown = tuple(replace(undo, iou_gain=None) for undo in known.undos)
    assert trajectory_metrics(record) == replace(known, fit=None, undos=unknown)
    told = summarize_metrics([trajectory_metrics(record)])
    assert told["with_truth"] == 0
    nothing = {"mean": None, "median": None}
    assert [told[name] for name in ("start_iou", "final_iou", "final_dice", "best_iou", "regret")] == [nothing] * 5
    assert told["click_hit_rate"] == {"pooled": None, "per_run": None}
    assert told["wasted_clicks"] is None
    assert told["undos"] == {"policy": {"count": 3, "helpful": None, "mean_gain": None}}
    assert tabulate_records([record]) == [TrajectoryTableRow("all", 1, 9, 8.0, None, None, None, None, None)]
    assert oracle_gap(record, "disk", open_image(PIXELS)) is None


def test_unparseable_and_repaired_replies():
    bare = "Positive Point (0.3750, 0.3750)"
    run = trajectory_metrics(record_of(script("hm", bare, UNDO, UNDO, positive(7, 7), STOP)))
    assert (run.turns, run.length, run.valid_actions, run.repaired_replies) == (
        6,
        5,
        4,
        1,
    )  # the second undo found nothing to undo
    assert (run.valid_action_rate, run.repair_rate) == (4 / 6, 1 / 6)
    assert (run.fit.hits, run.fit.misses) == (2, 0)
    assert run.fit.ious == (0.0, 0.05, 0.0, 0.0, 0.05, 0.05)
    assert run.fit.iou_at_step == {"1": 0.05, "3": 0.05, "5": 0.05, "10": 0.05, "20": 0.05}
    assert trajectory_metrics(record_of(script("hm", "hm", "hm"))).stop == "parse_failures"


def test_a_repetition_is_no_valid_action_and_no_click():
    run = trajectory_metrics(record_of(script(positive(7, 7), positive(7, 7), positive(7, 7))))
    assert (run.stop, run.turns, run.valid_actions, run.length) == ("loop", 3, 2, 3)
    assert (run.prompts, run.fit.hits, run.fit.misses, run.fit.wasted_clicks) == (2, 1, 1, 1)


def test_the_segmenter_s_failure_is_not_the_policy_s():
    run = trajectory_metrics(
        record_of(script("hm", positive(7, 7), positive(9, 9)), CountingSegmenter(radius=0.05, fails_at=2))
    )
    assert (run.stop, run.turns, run.valid_actions, run.prompts) == ("segmenter_error", 3, 2, 1)
    assert (run.fit.hits, run.fit.misses, run.fit.final_iou) == (1, 0, 0.05)


def test_negative_clicks_hit_what_spills():
    run = trajectory_metrics(
        record_of(script(negative(2, 2), positive(2, 2), negative(2, 2), STOP), initial_mask=TRUTH)
    )
    assert run.fit.ious == (1.0, 100 / 105, 1.0, 1.0)
    assert (run.fit.hits, run.fit.misses, run.fit.improving_clicks, run.fit.wasted_clicks) == (1, 2, 1, 2)
    assert (run.fit.start_iou, run.fit.best_iou, run.fit.regret) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize("most", [box(0.25, 0.25, 0.55, 0.75), box(0.25, 0.25, 0.75, 0.55)])  # 6 of 10 columns, rows
def test_a_box_hits_above_half_of_the_truth_s_box(most):
    run = trajectory_metrics(record_of(script(most, STOP)))
    assert (run.fit.hits, run.fit.misses, run.fit.final_iou) == (1, 0, 0.6)
    half = trajectory_metrics(record_of(script(box(0.25, 0.25, 0.5, 0.75), STOP)))
    assert (half.fit.hits, half.fit.misses, half.fit.final_iou) == (0, 1, 0.5)


def test_a_box_apart_from_the_truth_misses():
    truth = np.zeros((20, 20), bool)
    truth[:4, :4] = True
    run = trajectory_metrics(record_of(script(box(0.4, 0.4, 0.6, 0.6), STOP), truth=truth))
    assert (run.fit.hits, run.fit.misses, run.fit.final_iou) == (0, 1, 0.0)


def test_a_gain_of_a_thousandth_is_wasted_though_it_is_progress():
    truth = np.zeros((80, 80), bool)
    truth[:50, :40] = True  # 2000 pixels
    pixels = np.zeros((80, 80), np.uint8)
    graph = build_graph(
        script(positive_at(0.5 / 80, 0.5 / 80), positive_at(20.5 / 80, 20.5 / 80), STOP), CountingSegmenter(0.0)
    )
    ended = graph.invoke({"image": pixels, "request": "Segment."})
    run = trajectory_metrics(build_trajectory(graph, ended, truth=truth))
    assert run.fit.ious == (1 / 2000, 2 / 2000, 2 / 2000)
    assert (run.fit.hits, run.fit.improving_clicks, run.fit.wasted_clicks) == (2, 2, 2)


def test_a_right_refusal_is_perfect_and_a_click_at_nothing_misses():
    right = trajectory_metrics(record_of(script(NOT_THERE), truth=ABSENT))
    assert (right.stop, right.turns, right.length, right.prompts) == ("target_absent", 1, 0, 0)
    assert right.fit == TruthFit(
        present=False,
        start_iou=1.0,
        policy_start_iou=1.0,
        ious=(1.0,),
        iou_at_step=dict.fromkeys(("1", "3", "5", "10", "20"), 1.0),
        final_iou=1.0,
        final_dice=1.0,
        best_iou=1.0,
        regret=0.0,
        first_click_hit=None,
        hits=0,
        misses=0,
        improving_clicks=0,
        wasted_clicks=0,
        click_hit_rate=None,
        progress_rate=None,
    )
    wrong = trajectory_metrics(record_of(script(positive(7, 7), BOX, STOP), truth=ABSENT))
    assert (wrong.fit.hits, wrong.fit.misses, wrong.fit.final_iou, wrong.fit.regret) == (0, 2, 0.0, 1.0)
    assert wrong.fit.first_click_hit is False


def test_an_initial_mask_undone_is_told_as_zero():
    run = trajectory_metrics(record_of(script(UNDO, NOT_THERE), truth=ABSENT, initial_mask=TRUTH))
    assert run.undos == (Reversal(1, "policy", 0, 1.0),)
    assert (run.fit.start_iou, run.fit.iou_at_step["1"], run.stop) == (0.0, 1.0, "target_absent")


def test_an_answered_question_has_turns_and_no_figures():
    run = trajectory_metrics(record_of(script(STOP), truth=None, kind="question"))
    assert (run.kind, run.stop, run.turns, run.length, run.fit) == ("question", "answered", 1, 0, None)
    assert summarize_metrics([run, replace(run, stop=None)])["stops"] == {"answered": 1, "unfinished": 1}


def test_the_guard_s_undo_stands_apart_and_belongs_to_the_action_it_answers():
    config = LoopConfig(guard=Guard(flood=0.5))
    run = trajectory_metrics(record_of(script(box(0, 0, 1, 1), BOX, UNDO, STOP), config=config))
    assert run.undos == (Reversal(2, "guard", 1, -0.25), Reversal(4, "policy", 3, -0.8))
    assert run.fit.ious == (0.25, 0.0, 0.8, 0.0, 0.0)
    assert run.fit.iou_at_step == {"1": 0.0, "3": 0.0, "5": 0.0, "10": 0.0, "20": 0.0}
    assert (run.turns, run.prompts, run.fit.hits, run.fit.misses, run.fit.regret) == (4, 2, 1, 1, 0.8)
    assert summarize_metrics([run])["undos"] == {
        "guard": {"count": 1, "helpful": 0, "mean_gain": -0.25},
        "policy": {"count": 1, "helpful": 0, "mean_gain": -0.8},
    }


def test_a_person_s_prompts_are_where_the_policy_begins():
    given = {"prompts": [Box(0.25, 0.25, 0.65, 0.75), Click(0.1, 0.1)]}
    run = trajectory_metrics(record_of(script(STOP), **given))
    assert (run.turns, run.prompts, run.person_steps) == (1, 0, 2)
    assert (run.fit.hits, run.fit.misses, run.fit.start_iou, run.fit.final_iou) == (0, 0, 0.0, 80 / 105)
    assert (run.fit.policy_start_iou, run.fit.iou_at_step["1"], run.fit.first_click_hit) == (80 / 105, 80 / 105, None)
    assert len(run.segmenter_seconds) == 2
    silent = trajectory_metrics(record_of(script(), **given))
    assert (silent.stop, silent.turns, silent.valid_action_rate) == ("policy_error", 0, None)
    assert silent.fit.iou_at_step == dict.fromkeys(("1", "3", "5", "10", "20"), 80 / 105)


def test_a_person_s_correction_in_review_is_not_the_policy_s():
    thread = {"configurable": {"thread_id": "1"}}
    graph = build_graph(
        script(positive(2, 2), STOP, NOT_THERE, STOP), "disk", LoopConfig(review=True), checkpointer=InMemorySaver()
    )
    graph.invoke({"image": PIXELS, "request": "Segment."}, thread)
    for said in ("Backtrack", BOX, "accept"):
        ended = graph.invoke(Command(resume=said), thread)
    run = trajectory_metrics(build_trajectory(graph, ended, truth=TRUTH))
    assert run.undos == (Reversal(3, "person", 1, 0.0),)
    assert (run.turns, run.length, run.prompts, run.person_steps) == (4, 1, 1, 2)
    assert (run.fit.hits, run.fit.misses, run.fit.final_iou) == (0, 1, 0.8)
    assert run.fit.ious == (0.0, 0.0, 0.0, 0.0, 0.8, 0.8, 0.8)
    assert run.fit.iou_at_step == {"1": 0.0, "3": 0.0, "5": 0.8, "10": 0.8, "20": 0.8}


def test_a_person_as_policy_is_judged_as_one():
    thread = {"configurable": {"thread_id": "1"}}
    graph = build_graph(PersonPolicy(), "disk", checkpointer=InMemorySaver())
    ended = graph.invoke({"image": PIXELS, "request": "Segment."}, thread)
    for said in (positive(7, 7), "Backtrack", BOX, "Terminate"):
        ended = graph.invoke(Command(resume=said), thread)
    run = trajectory_metrics(build_trajectory(graph, ended, truth=TRUTH))
    assert (run.turns, run.length, run.prompts, run.person_steps) == (4, 3, 2, 0)
    assert run.undos == (Reversal(2, "person", 1, -0.05),)
    assert (run.fit.hits, run.fit.final_iou) == (2, 0.8)


def test_seconds_and_tokens_a_step():
    spent = iter([(0.5, {"input_tokens": 90, "output_tokens": 10}), (1.5, {"total_tokens": 300}), (4.0, {})])

    def act(seen):
        seconds, usage = next(spent)
        return Completion(STOP if seen.step == 2 else positive(7, 7 + 3 * seen.step), usage=usage, seconds=seconds)

    run = trajectory_metrics(record_of(FunctionPolicy(act)))
    assert (run.policy_seconds, run.tokens) == ((0.5, 1.5, 4.0), (100, 300))
    told = summarize_metrics([run])
    assert told["policy_seconds_per_step"] == {"mean": 2.0, "p50": 1.5, "p95": pytest.approx(3.75)}
    assert told["tokens_per_step"] == {"mean": 200.0, "p50": 200.0, "p95": pytest.approx(290.0)}


def test_a_record_without_seconds_and_completions_has_no_figures_of_them():
    record = record_of(script(*WALK))
    plain = json.loads(json.dumps(record.to_json()))
    for step in plain["steps"]:
        step.update(completion={}, seconds={})
    old = Trajectory.from_json(plain)
    bare = replace(
        trajectory_metrics(record), policy_seconds=(), segmenter_seconds=(), first_mask_seconds=None, tokens=()
    )
    assert trajectory_metrics(old) == bare
    told = summarize_metrics([bare])
    assert (told["policy_seconds_per_step"], told["tokens_per_step"]) == (None, None)


def test_a_redo_is_told_with_what_it_gained():
    redo = UNDO.replace("Backtrack", "Redo")
    run = trajectory_metrics(record_of(script(BOX, UNDO, redo, STOP), config=LoopConfig(actions=(*KINDS, "redo"))))
    assert run.undos == (Reversal(2, "policy", 1, -0.8),)
    assert run.redos == (Reversal(3, "policy", 1, 0.8),)
    assert (run.prompts, run.fit.hits, run.fit.iou_at_step["3"]) == (1, 1, 0.8)
    assert summarize_metrics([run])["redos"] == {"policy": {"count": 1, "helpful": 1, "mean_gain": 0.8}}


def test_masks_of_another_size_and_odd_prompts_are_told():
    record = record_of(script(BOX, STOP))
    with pytest.raises(InputError, match=r"mask of \(20, 20\), expected the true mask's \(40, 10\)"):
        trajectory_metrics(with_target(record, truth=encode(np.zeros((40, 10), bool))))
    odd = replace(record.steps[0], action={"type": "point", "x": 7})
    with pytest.raises(InputError, match="x=7"):
        trajectory_metrics(replace(record, steps=(odd, *record.steps[1:])))


def test_many_runs_in_figures():
    """Final IoUs 0.8, 0.05 and 0; clicks 3 of 5, 1 of 2 and none."""
    records = [
        record_of(script(*WALK)),
        record_of(script("hm", positive(7, 7), positive(2, 2), UNDO, STOP)),
        record_of(script(NOT_THERE)),
        record_of(script(STOP), truth=None, kind="question"),
    ]
    told = summarize_metrics(map(trajectory_metrics, records))
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["runs"], told["with_truth"], told["person_steps"]) == (4, 3, 0)
    assert told["stops"] == {"answered": 1, "target_absent": 1, "terminated": 2}
    assert told["turns"] == {"mean": 4.0, "p50": 3.0, "p95": pytest.approx(8.4)}
    assert told["length"] == {"mean": 3.0, "p50": 2.0, "p95": pytest.approx(7.4)}
    assert told["start_iou"] == {"mean": 0.0, "median": 0.0}
    assert told["final_iou"] == {"mean": pytest.approx(0.85 / 3), "median": 0.05}
    assert told["final_dice"] == {"mean": pytest.approx((1.6 / 1.8 + 0.1 / 1.05) / 3), "median": 0.1 / 1.05}
    assert told["best_iou"] == {"mean": pytest.approx(0.89 / 3), "median": 0.05}
    assert told["regret"] == {"mean": pytest.approx(0.04 / 3), "median": 0.0}
    assert told["iou_at"]["1"] == pytest.approx((0.05 + 0.05 + 0) / 3)
    assert told["iou_at"]["3"] == pytest.approx((80 / 105 + 0.05 + 0) / 3)
    assert told["wasted_clicks"] == {"mean": 1.0, "p50": 1.0, "p95": pytest.approx(1.9)}
    assert told["click_hit_rate"] == {"pooled": 4 / 7, "per_run": 0.55}
    assert told["progress_rate"] == {"pooled": 4 / 7, "per_run": 0.55}
    assert told["wasted_rate"] == {"pooled": 3 / 7, "per_run": 0.45}
    assert told["valid_action_rate"] == {"pooled": 15 / 16, "per_run": pytest.approx(0.95)}
    assert told["repair_rate"] == {"pooled": 0.0, "per_run": 0.0}
    gains = [0.8 - 80 / 105, 0.8 - 0.75, 0.8 - 0.84, 0.05 - 5 / 105]
    assert told["undos"] == {"policy": {"count": 4, "helpful": 3, "mean_gain": pytest.approx(sum(gains) / 4)}}
    assert told["redos"] == {}


def test_nothing_at_all_is_no_zero():
    told = summarize_metrics([])
    assert (told["runs"], told["stops"], told["turns"], told["seconds_per_run"]) == (0, {}, None, None)
    assert told["iou_at"] == dict.fromkeys(("1", "3", "5", "10", "20"))
    assert tabulate_records([]) == []


def test_the_data_table_by_modality():
    records = [record_of(script(*WALK)), record_of(script(BOX, STOP)), record_of(script(positive(2, 2), STOP))]
    records.append(replace(records[2], image={"sha": "another"}))
    known = {records[0].image["sha"]: "MR", "another": "CT"}
    assert tabulate_records(records, lambda record: known[record.image["sha"]]) == [
        TrajectoryTableRow("CT", 1, 2, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        TrajectoryTableRow("MR", 3, 13, 10 / 3, (0.8 + 0.8 + 0) / 3, 0.8, (2 * 1.6 / 1.8) / 3, 1.6 / 1.8, 4 / 7),
    ]
    (row,) = tabulate_records(records)
    assert (row.modality, row.samples, row.states) == ("all", 4, 15)


def test_the_oracle_s_table_counts_one_state_more_than_clicks():
    run = tabulate_records([record_of(OraclePolicy(TRUTH, target_iou=0.1))])
    assert run == [TrajectoryTableRow("all", 1, 3, 2.0, 0.1, 0.1, 0.2 / 1.1, 0.2 / 1.1, 1.0)]


@pytest.mark.parametrize(
    ("replies", "given", "gap"),
    [
        ((positive(2, 2), STOP), {}, 0.05),  # one true click instead of one beside it
        ((positive(2, 2), UNDO, positive(7, 7), STOP), {}, 0.1 - 0.05),  # two: the undone one was made as well
        ((STOP,), {}, 0.0),  # no click, for either
        ((STOP,), {"initial_mask": ABSENT | TRUTH}, 0.0),
        ((UNDO, positive(7, 7), STOP), {"initial_mask": TRUTH}, 0.95),  # nothing was to be done
        ((positive(2, 2), STOP), {"prompts": [Box(0.25, 0.25, 0.65, 0.75)]}, 83 / 101 - 80 / 105),  # at a corner
        ((positive(7, 7), STOP), {"truth": ABSENT}, 1.0),
        ((STOP,), {"truth": ABSENT, "initial_mask": TRUTH}, 1.0),
        ((STOP,), {"truth": ABSENT, "initial_mask": TRUTH, "prompts": [Click(0.1, 0.1)]}, 1.0),
    ],
)
def test_what_true_clicks_would_have_gained(replies, given, gap):
    record = record_of(script(*replies), **given)
    assert oracle_gap(record, "disk", open_image(PIXELS)) == pytest.approx(gap, abs=1e-12)


def test_the_oracle_has_the_record_s_guard():
    guarded = record_of(script(positive(7, 7), STOP), CountingSegmenter(radius=1.5), LoopConfig(guard=Guard(flood=0.5)))
    assert (
        oracle_gap(guarded, CountingSegmenter(radius=1.5), open_image(PIXELS)) == 0.0
    )  # every click floods and is undone
    free = replace(guarded, config=guarded.config | {"guard": None})
    assert oracle_gap(free, CountingSegmenter(radius=1.5), open_image(PIXELS)) == 0.25


class Unprimed(CountingSegmenter):
    def prior_from_mask(self, embedding, mask):
        raise AssertionError("nobody gave an initial mask")


def test_the_oracle_has_no_initial_mask_where_the_record_had_none():
    record = record_of(script(positive(2, 2), STOP), Unprimed(radius=0.05))
    assert oracle_gap(record, Unprimed(radius=0.05), open_image(PIXELS)) == 0.05


def test_the_oracle_s_failure_gives_no_gap():
    record = record_of(script(positive(7, 7), STOP), CountingSegmenter(radius=0.05))
    assert oracle_gap(record, CountingSegmenter(radius=0.05, fails_at=1), open_image(PIXELS)) is None


def test_another_segmenter_or_image_is_refused():
    record = record_of(script(positive(7, 7), STOP))
    with pytest.raises(InputError, match=r"segmenter: got 'disk-1 radius=0.2', expected the record's 'disk-1"):
        oracle_gap(record, CountingSegmenter(radius=0.2), open_image(PIXELS))
    with pytest.raises(InputError, match="image: got"):
        oracle_gap(record, "disk", open_image(PIXELS + 1))


def test_an_oracle_has_nothing_to_gain(pixels, truth):
    graph = build_graph(OraclePolicy(truth, target_iou=0.9), "geodesic")
    record = build_trajectory(graph, graph.invoke({"image": pixels, "request": "Segment."}), truth=truth)
    assert trajectory_metrics(record).prompts > 0
    assert oracle_gap(record, "geodesic", open_image(pixels)) == 0.0
