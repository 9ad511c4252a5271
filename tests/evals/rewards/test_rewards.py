"""Rewards of real runs on fixed masks, each value worked out by hand.

The picture is 20 x 20; the truth a square of 100 pixels, rows and columns 5 to 14. The disk segmenter's click is a plus
of 5 pixels, its box a rectangle.
"""

from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
from support.fakes import NOT_THERE, STOP, UNDO, CountingSegmenter, FunctionPolicy, script
from support.fakes import negative as negative_at
from support.fakes import positive as positive_at
from support.records import with_target

from ibisagent.agent import Guard, LoopConfig, build_graph
from ibisagent.agent.episode import run_episode
from ibisagent.agent.policies.local import open_named
from ibisagent.agent.proposers import Proposal
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.benchmarks.early_stopping import tabulate_early_stops
from ibisagent.evals.rewards import REWARD_PRESETS, RewardConfig, RewardWeights, compute_terms, score_trajectory
from ibisagent.evals.trajectories.early_stop import stop_after
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.rle import area, encode
from ibisagent.training.phantoms import MODALITIES, draw

PIXELS = np.zeros((20, 20), np.uint8)
TRUTH = np.zeros((20, 20), bool)
TRUTH[5:15, 5:15] = True
ABSENT = np.zeros((20, 20), bool)
DEFAULT, PAPER = REWARD_PRESETS["default"], REWARD_PRESETS["paper"]
BOTH = pytest.mark.parametrize("config", [DEFAULT, PAPER], ids=["default", "paper"])
DECLINE = "<think>x</think>\n<action>Decline</action>\n<answer>I cannot tell.</answer>"
HAZY = "<think>x</think>\n<action>Terminate</action>\n<answer>I cannot tell whether it is there.</answer>"


def positive(row, column):
    return positive_at((column + 0.5) / 20, (row + 0.5) / 20)


def negative(row, column):
    return negative_at((column + 0.5) / 20, (row + 0.5) / 20)


def box(rows, columns):
    corners = (columns[0] / 20, rows[0] / 20, (columns[1] + 1) / 20, (rows[1] + 1) / 20)
    return "<think>All.</think>\n<action>Box ({:.4f}, {:.4f}, {:.4f}, {:.4f})</action>".format(*corners)


WHOLE = box((5, 14), (5, 14))
HIT, MISS = box((5, 14), (5, 12)), positive(1, 1)  # 80 of the truth's pixels; none


class Proposing:
    name = "fixed"

    def __init__(self, mask):
        self.mask = mask

    def propose(self, image, request):
        return Proposal(self.mask, 0.7, self.name)


def run(*replies, truth=TRUTH, segmenter="disk", config=None, proposal=None, **given):
    graph = build_graph(
        script(*replies), segmenter, config, proposer=Proposing(proposal) if proposal is not None else None
    )
    return run_episode(graph, {"image": PIXELS, "request": "Segment.", **given}, truth=truth)


def reward(*replies, preset=DEFAULT, **given):
    return score_trajectory(run(*replies, **given), preset).total


def terms_of(record, config=PAPER, **known):
    return asdict(compute_terms(record, config, **known)[0])


def test_the_terms_of_a_run_worked_out():
    """A plus of 5 true pixels, a box of 80, a plus of 5 false ones that is undone, and a stop: four right of five."""
    record = run(positive(7, 7), HIT, MISS, UNDO, STOP)
    expected = {"answer": 2 / 3, "format": 1.0, "click": 1 / 3, "progress": 2 / 3, "length": 1.0, "steps": 4.0}
    zero = ("wrong_refusal", "wrong_assertion", "decline_present", "decline_absent", "names_target")
    assert terms_of(record) == pytest.approx(expected | dict.fromkeys(zero, 0.0))
    paper = score_trajectory(record, PAPER)
    assert paper.total == pytest.approx((2 + 1 + 1 / 3 + 2 / 3 + 1) / 5)
    summed = terms_of(record, replace(PAPER, fold="sum"))
    assert (summed["click"], summed["progress"]) == (1.0, 2.0)
    off = terms_of(record, replace(PAPER, fold="off", answer="iou"))
    assert (off["click"], off["progress"], off["answer"]) == (0.0, 0.0, 0.8)
    assert score_trajectory(record).total == pytest.approx(0.8 + 0.1 - 0.04)
    assert score_trajectory(Trajectory.from_json(record.to_json())) == score_trajectory(record)


@pytest.mark.parametrize(("columns", "tier"), [((5, 9), 0), ((5, 10), 1), ((5, 11), 1), ((5, 12), 2), ((5, 13), 3)])
def test_tiers_begin_above_their_border(columns, tier):
    record = run(box((5, 14), columns), STOP)
    assert terms_of(record)["answer"] == pytest.approx(tier / 3)
    assert terms_of(record, DEFAULT)["answer"] == pytest.approx((columns[1] - 4) / 10)


def test_the_length_term_counts_every_turn_but_the_last():
    clicks = [positive(row, 7) for row in (5, 7, 9, 11, 13)]
    assert terms_of(run(*clicks, STOP))["length"] == 1.0
    assert terms_of(run(*clicks, positive(7, 10), positive(9, 10), STOP))["length"] == pytest.approx(-0.4)


@BOTH
def test_what_is_worth_most_where_the_target_is_there(config):
    hit, miss = reward(HIT, STOP, preset=config), reward(MISS, STOP, preset=config)
    declined, refused = reward(DECLINE, preset=config), reward(NOT_THERE, preset=config)
    assert hit > miss >= declined >= refused
    assert config is PAPER or miss > declined > refused


@BOTH
@pytest.mark.parametrize("marked", [(MISS, STOP), (HIT, STOP), (MISS, UNDO, HIT, STOP), (negative(3, 3), STOP)])
def test_what_is_worth_most_where_the_target_is_absent(config, marked):
    refused, declined, clicked = (
        reward(*replies, preset=config, truth=ABSENT) for replies in ((NOT_THERE,), (DECLINE,), marked)
    )
    assert refused > declined > clicked
    assert refused > reward(MISS, UNDO, NOT_THERE, preset=config, truth=ABSENT) > clicked


def test_the_order_of_endings_holds_for_any_run_of_twenty_turns():
    """Whatever the format, the answer's words and the number of turns."""
    weights = DEFAULT.weights
    extras = [
        weights.steps * steps + weights.format * exact + weights.names_target * named
        for steps in range(20)
        for exact, named in ((0, 0), (1, 0), (1, 1))
    ]
    ending = {
        "refused": weights.answer,
        "declined absent": weights.decline_absent,
        "marked absent": weights.wrong_assertion,
        "missed": 0.0,
        "declined present": weights.decline_present,
        "left unmarked": weights.wrong_refusal,
    }
    for order in (("refused", "declined absent", "marked absent"), ("missed", "declined present", "left unmarked")):
        for better, worse in pairwise(order):
            assert ending[better] + min(extras) > ending[worse] + max(extras), (better, worse)


def test_words_do_not_buy_what_actions_did_not():
    assert reward(HAZY) == reward(DECLINE)  # an unsure stop with nothing marked declines
    assert reward(UNDO, UNDO, UNDO) < reward(DECLINE)  # nothing readable, nothing marked: as wrong as a refusal
    cut = run(MISS, UNDO, config=LoopConfig(max_steps=2))  # an honest miss that found no time to go on
    assert score_trajectory(cut).total == pytest.approx(-0.01)
    assert reward(MISS, UNDO, NOT_THERE) < reward(DECLINE)
    empty = run(positive(7, 7), negative(7, 7), STOP, truth=ABSENT)
    assert not with_target(empty).measurements["area_px"]
    assert (empty.stop, terms_of(empty)["wrong_assertion"]) == ("terminated", 1.0)
    assert score_trajectory(empty).total < reward(DECLINE, truth=ABSENT)


@BOTH
def test_a_right_stop_beats_a_useless_click_on_a_perfect_mask(config):
    stop = reward(STOP, preset=config, initial_mask=TRUTH)
    for useless in (positive(7, 7), negative(2, 2)):
        assert stop > reward(useless, STOP, preset=config, initial_mask=TRUTH)


def test_a_gain_is_worth_its_step_and_stopping_early_never_pays():
    cost = DEFAULT.weights.steps
    ious = [0.05 * step for step in range(20)]
    totals = [score_trajectory(with_iou(iou, clicks)).total for clicks, iou in enumerate(ious[1:], 1)]
    for before, after in pairwise(totals):
        assert after - before == pytest.approx(0.05 + cost)
        assert after - before >= cost
    one, two = with_iou(0.5, 1), with_iou(0.6, 2)
    assert score_trajectory(two).total > score_trajectory(one).total
    assert score_trajectory(with_iou(0.45, 2), PAPER).total < score_trajectory(with_iou(0.1, 1), PAPER).total


def with_iou(iou, clicks):
    """A run of some clicks, of which the first hits, with a final mask of this IoU."""
    mask = np.zeros((20, 20), bool)
    mask[5:15, 5:15].flat[: round(100 * iou)] = True
    record = run(positive(7, 7), *[positive(1, column) for column in range(1, clicks)], STOP)
    return with_target(record, mask=encode(mask))


@BOTH
def test_a_bad_click_and_its_undo_never_pay(config):
    assert reward(HIT, STOP, preset=config) > reward(HIT, MISS, UNDO, STOP, preset=config)
    assert reward(HIT, STOP, preset=config) >= reward(HIT, positive(7, 13), UNDO, STOP, preset=config)


@BOTH
def test_a_proposal_is_rewarded_as_the_mask_that_it_is(config):
    good, bad = TRUTH.copy(), np.zeros_like(TRUTH)
    good[5] = False
    bad[0:3, 0:3] = True
    kept = run(STOP, proposal=good)
    assert kept.target.proposal["outcome"] == "proposed"
    assert terms_of(kept, DEFAULT)["answer"] == 0.9
    assert (terms_of(kept)["click"], terms_of(kept)["wrong_refusal"]) == (0.0, 0.0)
    assert reward(STOP, proposal=good, preset=config) == reward(STOP, initial_mask=good, preset=config)
    assert reward(STOP, proposal=good, preset=config) > reward(MISS, STOP, proposal=good, preset=config)
    assert reward(UNDO, HIT, STOP, proposal=bad, preset=config) > reward(STOP, proposal=bad, preset=config)
    gone = {"proposal": bad, "truth": ABSENT, "preset": config}
    assert reward(UNDO, NOT_THERE, **gone) > reward(DECLINE, **gone) >= reward(STOP, **gone)
    assert config is PAPER or reward(DECLINE, **gone) > reward(STOP, **gone)
    assert score_trajectory(kept).turns[0].reward == 0.0  # the proposal's IoU is not the policy's gain


def test_the_paper_s_score_pays_for_stopping_early_and_the_default_does_not():
    """A run of hits that gain less and less, as if it had stopped earlier: with its mask and its own kind of end."""
    record = run(*[box((5, 14), (5, 5 + columns)) for columns in (5, 7, 8)], positive(7, 14), STOP)
    stopped = [stop_after(record, prompts) for prompts in range(5)]
    assert stopped[4] is record
    assert [each.stop for each in stopped] == ["target_absent", *["terminated"] * 4]
    assert [area(each.mask) for each in stopped] == [0, 60, 80, 90, 94]
    assert [len(each.target.prompts) for each in stopped] == [0, 1, 2, 3, 4]
    assert [terms_of(each)["format"] for each in stopped] == [1.0] * 5
    undone = stop_after(run(MISS, UNDO, HIT, STOP), 1)
    assert (undone.stop, len(undone.steps), area(undone.mask)) == ("target_absent", 3, 0)
    worse = run(HIT, MISS, positive(18, 18), STOP)
    table = tabulate_early_stops([record, worse, replace(record, stop="cancelled")], REWARD_PRESETS, most=2)
    assert [row["prompts"] for row in table] == [0, 1, 2]
    assert table[1]["default"] == pytest.approx(
        np.mean([score_trajectory(stop_after(each, 1)).total for each in (record, worse)])
    )
    gains = [[score_trajectory(each, config).total for each in stopped[1:]] for config in (DEFAULT, PAPER)]
    assert gains[0] == sorted(gains[0])


def test_failures_are_dropped_and_not_scored():
    failing = [
        run(positive(7, 7), STOP, segmenter=CountingSegmenter(fails_at=1)),
        replace(run(positive(7, 7), STOP), stop="store_error"),
        replace(run(positive(7, 7), STOP), stop="cancelled"),
        replace(run(positive(7, 7), STOP), stop=None),
    ]
    graph = build_graph(FunctionPolicy(lambda seen: 1 / 0), "disk")
    failing.append(run_episode(graph, {"image": PIXELS, "request": "Segment."}, truth=TRUTH))
    assert [record.stop for record in failing[::4]] == ["segmenter_error", "policy_error"]
    assert [score_trajectory(record, config) for record in failing for config in (DEFAULT, PAPER)] == [None] * 10
    unknown = with_target(run(HIT, STOP), truth=None)
    assert score_trajectory(unknown) is None
    with pytest.raises(InputError, match="expected one; rewards need the true mask"):
        compute_terms(unknown, DEFAULT)


def test_what_ends_a_run_but_the_policy_is_scored_by_its_mask_without_format():
    ended = run(HIT, MISS, config=LoopConfig(max_steps=2))
    assert ended.stop == "max_steps"
    assert (terms_of(ended)["format"], terms_of(ended, DEFAULT)["answer"]) == (0.0, pytest.approx(80 / 105))
    loop = run(MISS, MISS, MISS)
    assert (loop.stop, terms_of(loop)["format"]) == ("loop", 0.0)


@pytest.mark.parametrize(
    "reply",
    [
        STOP.replace("<think>It fits.</think>\n", ""),
        STOP.replace("Terminate", "Termination"),
        STOP.replace("There it is.", ""),
        f"Well. {STOP}",
    ],
)
def test_the_format_is_exact_or_nothing(reply):
    record = run(HIT, reply)
    assert (record.stop, terms_of(record)["format"]) == ("terminated", 0.0)
    assert terms_of(run("nothing to read", HIT, STOP))["format"] == 0.0


def test_what_turns_contributed_and_the_rest_sum_to_the_total():
    records = [
        run(positive(7, 7), HIT, MISS, UNDO, STOP),
        run(MISS, STOP, truth=ABSENT),
        run(DECLINE),
        run(HIT, DECLINE),
        run(STOP, proposal=TRUTH),
    ]
    folds = [RewardConfig(answer="iou", fold=fold, weights=PAPER.weights) for fold in ("mean", "sum", "off")]
    for record in records:
        for config in (DEFAULT, PAPER, *folds):
            scored = score_trajectory(record, config)
            assert scored.rest + sum(turn.reward for turn in scored.turns) == pytest.approx(scored.total)
    turns = score_trajectory(records[0]).turns
    lost = 80 / 105 - 0.8
    assert [turn.reward for turn in turns] == pytest.approx([0.04, 0.74, lost - 0.01, -lost - 0.01, 0.0])
    paper = [turn.reward for turn in score_trajectory(records[0], PAPER).turns]
    assert paper == pytest.approx([0.4 / 3, 0.4 / 3, -0.2 / 3, 0.0, 0.0])


def test_an_undo_by_the_guard_belongs_to_the_turn_before_it():
    record = run(HIT, box((0, 19), (0, 19)), STOP, config=LoopConfig(guard=Guard(flood=0.5)))
    assert [step.actor for step in record.steps] == ["policy", "policy", "guard", "policy"]
    assert [turn.gain for turn in compute_terms(record, DEFAULT)[1]] == pytest.approx([0.8, 0.0, 0.0])


def test_an_answer_that_names_the_target_is_worth_a_little_where_its_name_is_known():
    record = run(HIT, STOP.replace("There it is.", "The Left  Kidney, whole."))
    assert terms_of(record, target="left kidney")["names_target"] == 1.0
    assert [terms_of(record, target=name)["names_target"] for name in ("kid", "right kidney", "", None)] == [0.0] * 4
    gain = score_trajectory(record, target="left kidney").total - score_trajectory(record).total
    assert gain == pytest.approx(DEFAULT.weights.names_target)


def test_a_closed_question_is_right_by_the_same_words():
    asked = {"kind": "question", "truth": ABSENT}
    record = run(STOP.replace("There it is.", "No."), **asked)
    assert record.stop == "answered"
    assert [terms_of(record, answer=answer)["answer"] for answer in ("no", "yes")] == [1.0, 0.0]
    assert terms_of(run(NOT_THERE, **asked))["answer"] == 1.0  # of its mask: nothing is there, and it says so
    assert terms_of(run(NOT_THERE, kind="question"))["wrong_refusal"] == 1.0


def test_settings_that_there_are_not_are_refused():
    with pytest.raises(InputError, match="got answer='dice', expected one of tiers, iou"):
        RewardConfig(answer="dice")
    with pytest.raises(InputError, match="got fold='max', expected one of mean, sum, off"):
        RewardConfig(fold="max")
    assert RewardConfig() == DEFAULT
    assert RewardConfig(weights=RewardWeights(steps=0.0)) != DEFAULT


def test_released_defect_a_right_stop_scored_below_a_useless_click():
    """It had .20 for a right Terminate and .80 for a click on a perfect mask."""
    stop, click = (reward(*replies, preset=PAPER, initial_mask=TRUTH) for replies in ((STOP,), (positive(7, 7), STOP)))
    assert stop == pytest.approx(1.0)
    assert click == pytest.approx(0.8)


def test_released_defect_the_length_was_equal_within_a_group():
    """It came from the recorded state, not from the rollout: no rollout of a group was better than another."""
    clicks = [positive(row, column) for row in (6, 8, 10, 12) for column in (6, 9, 12)]
    group = [run(*clicks[:count], STOP) for count in (3, 7, 12)]
    assert [terms_of(record)["length"] for record in group] == pytest.approx([1.0, -0.4, -1.4])


def test_released_defect_the_sign_of_a_click_was_lost():
    """What the files kept of a click was its place."""
    signs = [run(click, STOP, initial_mask=ABSENT) for click in (positive(7, 7), negative(7, 7))]
    read = [Trajectory.from_json(record.to_json()) for record in signs]
    assert [terms_of(record)["click"] for record in read] == [1.0, -1.0]


def test_released_defect_the_reward_called_the_segmenter_and_its_failure_was_a_reward():
    segmenter = CountingSegmenter()
    record = run(positive(7, 7), HIT, STOP, segmenter=segmenter)
    before = segmenter.predictions
    score_trajectory(record, PAPER)
    assert segmenter.predictions == before == 2
    assert score_trajectory(run(positive(7, 7), STOP, segmenter=CountingSegmenter(fails_at=1)), PAPER) is None


@pytest.mark.slow
def test_always_declining_scores_below_the_shipped_policy():
    """Also always refusing: over present and absent targets of phantoms, under both rewards."""
    graphs = [
        build_graph(policy, "geocut", LoopConfig(max_steps=4)) for policy in (open_named("nano"), always(DECLINE))
    ]
    graphs.append(build_graph(always(NOT_THERE), "geocut"))
    totals = {name: np.zeros(3) for name in REWARD_PRESETS}
    for modality in MODALITIES[:6]:
        phantom = draw(modality, 41, size=96)
        name, mask = max(phantom.masks.items(), key=lambda item: item[1].sum())
        for target, truth in ((name, mask), *((gone, np.zeros_like(mask)) for gone in phantom.absent[:1])):
            given = {"image": phantom.image, "request": f"Segment the {target}."}
            records = [run_episode(graph, given, truth=truth) for graph in graphs]
            for preset, config in REWARD_PRESETS.items():
                totals[preset] += [score_trajectory(record, config, target=target).total for record in records]
    for preset, (nano, declining, refusing) in totals.items():
        assert nano > declining, preset
        assert nano > refusing, preset


def always(reply):
    return FunctionPolicy(lambda seen: reply)
