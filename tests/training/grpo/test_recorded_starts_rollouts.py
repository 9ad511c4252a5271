"""Rollouts from recorded states: what becomes a row and a reward, which tasks they are, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from support.fakes import STOP, UNDO, positive, script
from support.grpo_runs import write_tasks

from ibisagent.agent import LoopConfig, build_graph
from ibisagent.agent.policies.local import NANO, PROFILE, open_local
from ibisagent.agent.prompting import load_prompts
from ibisagent.agent.record_parts import first_steps, later_steps
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.evals.rewards import REWARD_PRESETS, score_trajectory
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.training.grpo.config import RolloutSettings
from ibisagent.training.grpo.episodes import EpisodeRunner
from ibisagent.training.grpo.metrics import rollout_facts, rollout_metrics
from ibisagent.training.grpo.recorded_replies import ReplySource, first_learned_step, why_not_learned
from ibisagent.training.grpo.start_tasks import add_starts, describe_starts
from ibisagent.training.grpo.tasks import RecordedStarts, TaskSet, balance_cases, mix_starts, order_tasks
from ibisagent.training.starts import Start, write_starts

REPLIES = (positive(0.2, 0.2), "rubbish", positive(0.8, 0.8), UNDO)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_tasks(tmp_path_factory.mktemp("tasks") / "set")


@pytest.fixture(scope="module")
def policy():
    return open_local(NANO, name="nano", temperature=1.0, logprobs=True)


def start_of(case, count=4, segmenter="disk"):
    """The state of a scripted run on a case after some of its replies."""
    image = case.open()
    graph = build_graph(script(*REPLIES), segmenter, proposer="none")
    ended = graph.invoke({"image": image, "request": case.request})
    record = first_steps(build_trajectory(graph, ended, truth=case.read_truth(image)), count)
    return Start("a run", count, "undone", record)


def runner_of(policy, data, starts, *, segmenter="disk", max_steps=5, **options):
    tasks = TaskSet(read_dataset(data), RecordedStarts(starts, data, (data,)))
    given = {"segmenter": segmenter, "loop": LoopConfig(max_steps=max_steps), "workers": 4}
    return EpisodeRunner(policy, load_prompts(NANO / PROFILE), tasks, REWARD_PRESETS["default"], **given | options)


def replies(rollout):
    return [step.reply for step in rollout.record.steps]


def test_a_group_begins_at_the_recorded_state_and_only_its_own_turns_are_rows(data, policy):
    start = start_of(read_dataset(data)[0])
    runner = runner_of(policy, data, [start])
    task = len(runner.tasks) - 1
    group = runner.run([task] * 3, seed=0, update=0)
    assert len({str(replies(rollout)) for rollout in group}) > 1
    for rollout in group:
        assert rollout.dropped is None
        assert rollout.record.fork_step == 5
        assert np.array_equal(replies(rollout)[:4], REPLIES)
        assert [step.mask for step in rollout.record.steps[:4]] == [step.mask for step in start.record.steps]
        assert [row.step for row in rollout.rows] == list(range(4, len(rollout.record.steps)))
        own = score_trajectory(later_steps(rollout.record, 4), REWARD_PRESETS["default"])
        assert rollout.reward == own
        assert own.terms.steps == len(rollout.rows) - 1
    figures = rollout_metrics([rollout_facts(each) for each in (*group, *runner.run([0], seed=0, update=0))], 3)
    assert figures["recorded_starts"] == pytest.approx(0.75)


def test_what_came_before_a_start_is_neither_rewarded_nor_punished(data):
    case = next(case for case in read_dataset(data) if case.present)
    graph, image = build_graph(script(*REPLIES, STOP), "disk", proposer="none"), case.open()
    ended = graph.invoke({"image": image, "request": case.request})
    record = build_trajectory(graph, ended, truth=case.read_truth(image))
    whole, own = (score_trajectory(each, REWARD_PRESETS["paper"]).terms for each in (record, later_steps(record, 4)))
    assert (whole.answer, whole.wrong_refusal) == (own.answer, own.wrong_refusal)
    assert [(terms.format, terms.steps) for terms in (whole, own)] == [(0.0, 4.0), (1.0, 0.0)]
    assert whole.click != 0.0 == own.click


def test_draws_from_a_start_depend_on_neither_the_batch_nor_the_workers(data, policy):
    cases = read_dataset(data)
    starts = [start_of(case, count) for case, count in zip(cases, (0, 2), strict=False)]
    runner = runner_of(policy, data, starts, max_steps=2)
    first = len(runner.tasks) - 2
    together = runner.run([first, 0, first + 1, first], seed=3, update=2)
    assert [each.record.fork_step for each in together] == [1, None, 3, 1]
    alone = runner_of(policy, data, starts, max_steps=2, workers=1)
    for numbers, places in (([first] * 2, (0, 3)), ([first + 1], (2,))):
        again = alone.run(numbers, seed=3, update=2)
        assert [replies(each) for each in again] == [replies(together[place]) for place in places]


def test_a_start_that_is_not_reproduced_is_dropped_and_counted(data, policy):
    start = start_of(read_dataset(data)[0])
    other = replace(start.record.steps[3], mask=start.record.steps[0].mask)
    wrong = replace(start, record=replace(start.record, steps=(*start.record.steps[:2], other, start.record.steps[3])))
    gone = replace(start, record=replace(start.record, image=start.record.image | {"uri": "gone.png"}))
    runner = runner_of(policy, data, [wrong, gone])
    first = len(runner.tasks) - 2
    dropped = [rollout.dropped for rollout in runner.run([first, first + 1], seed=0, update=0)]
    assert dropped[0].startswith("case: start: it is not as recorded (")
    assert dropped[1].startswith("case: gone.png: got no such image")


def test_starts_of_another_segmenter_are_refused_or_replayed(data, policy, tmp_path):
    cases = read_dataset(data)
    start = start_of(cases[0], segmenter="geodesic")
    file = tmp_path / "starts.jsonl"
    write_starts(file, [start, start_of(cases[0])])
    said = r"starts\.jsonl: got 1 of 2 starts of the segmenter 'geodesic-3 .*', expected 'disk-1 .*replay_starts=true$"
    with pytest.raises(InputError, match=said):
        add_starts(TaskSet(cases), TaskSet([]), file, (data,), RolloutSettings(segmenter="disk"), 0)
    replays = RolloutSettings(segmenter="disk", replay_starts=True)
    assert start in add_starts(TaskSet(cases), TaskSet([]), file, (data,), replays, 0).recorded.starts
    runner = runner_of(policy, data, [start])
    (rollout,) = runner.run([len(runner.tasks) - 1], seed=0, update=0)
    assert rollout.dropped.startswith("case: start: it is not as recorded (segmenter: recorded with geodesic-3")
    runner = runner_of(policy, data, [start], replay_starts=True)
    (rollout,) = runner.run([len(runner.tasks) - 1], seed=0, update=0)
    assert rollout.dropped is None
    assert replies(rollout)[:4] == list(REPLIES)
    assert rollout.record.steps[0].mask != start.record.steps[0].mask


def test_recorded_replies_are_learned_only_with_tokens_probabilities_and_the_present_weights(data):
    record = start_of(read_dataset(data)[0]).record
    source = ReplySource("abc", {"temperature": 1.0, "seed": 4, "max_tokens": 9})
    drawn = [replace(step, completion={"token_ids": [1, 2], "logprobs": [-1.0, -2.0]}) for step in record.steps]
    bare = replace(drawn[0], completion=drawn[0].completion | {"logprobs": None})
    assert why_not_learned(drawn[0], source, source) is None
    assert why_not_learned(drawn[0], source, ReplySource("abc", source.sampling | {"seed": 5})) is None
    assert why_not_learned(bare, source, source) == "its tokens and their log-probabilities are not recorded"
    assert why_not_learned(replace(drawn[0], origin="automatic"), source, source) == "it is no reply"
    others = (
        ReplySource("other", source.sampling),
        ReplySource(None, source.sampling),
        ReplySource("abc", None),
        ReplySource("abc", source.sampling | {"temperature": 0.5}),
    )
    for other in others:
        for pair in ((source, other), (other, source)):
            assert why_not_learned(drawn[0], *pair) == "other weights or settings drew it"
    assert why_not_learned(drawn[0], others[1], others[1]) == "other weights or settings drew it"

    own = replace(record, steps=tuple(drawn), weights="abc", sampling=source.sampling)
    assert [first_learned_step(own, each) for each in (source, *others)] == [0, 4, 4, 4, 4]
    assert first_learned_step(replace(own, steps=(drawn[0], bare)), source) == 2
    assert first_learned_step(replace(own, steps=(bare, drawn[1])), source) == 1
    assert first_learned_step(record, source) == 4


@pytest.mark.slow
def test_the_policy_s_own_recorded_turns_are_rows_where_its_weights_are_named(data, policy):
    runner = runner_of(policy, data, [])
    present = next(number for number, case in enumerate(runner.tasks.cases) if case.present)
    drawn = next(each.record for each in runner.run([present] * 8, seed=1, update=0) if len(each.rows) > 3)
    start = Start("a run", 2, "lost", first_steps(drawn, 2))
    for weights, first in ((None, 2), (drawn.weights, 0)):
        learned = runner_of(policy, data, [start], weights=weights)
        (rollout,) = learned.run([len(learned.tasks) - 1], seed=0, update=0)
        assert [row.step for row in rollout.rows] == list(range(first, len(rollout.record.steps)))
        assert len(rollout.reward.turns) == len(rollout.rows)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_any_tasks_in_a_row_have_the_shares_of_all(data, seed):
    cases = read_dataset(data)
    tasks = TaskSet(balance_cases(cases, 0.3, 0), RecordedStarts([start_of(cases[0])] * 9))
    order, count = order_tasks(tasks, seed), len(tasks.cases)
    assert sorted(order) == list(range(len(tasks)))
    assert order == order_tasks(tasks, seed)
    assert order != order_tasks(tasks, seed + 1)
    absent = np.array([number < count and not tasks.cases[number].present for number in order])
    for kind in (absent, np.array(order) >= count):
        inside = np.convolve(kind, np.ones(6), "valid")
        assert np.abs(inside - 6 * kind.mean()).max() < 2
        assert np.abs(inside - 6 * kind.mean()).mean() < 0.6


def test_cases_and_starts_are_mixed_by_share_and_each_occurs(data):
    cases = read_dataset(data)
    starts = [start_of(cases[0], count) for count in range(4)]
    for some, share in ((starts, 0.3), (starts[:1], 0.5), (starts * 40, 0.5), (starts, 1.0)):
        fresh, recorded = mix_starts(cases, some, share, 7)
        assert len(recorded) / (len(fresh) + len(recorded)) == pytest.approx(share, abs=0.02)
        assert recorded[: len(some)] == some
        assert fresh == [] if share == 1 else fresh[: len(cases)] == cases
        assert mix_starts(cases, some, share, 7) == (fresh, recorded)
    for share in (0.0, 1.1):
        with pytest.raises(ValueError, match="expected a share above 0, at most 1"):
            RolloutSettings(starts=share)


def test_starts_on_validated_pictures_and_without_an_action_left_are_left_out(data, tmp_path, caplog):
    cases = read_dataset(data)
    pictures = list(dict.fromkeys(case.image for case in cases))
    seen, unseen = ([case for case in cases if case.image == picture] for picture in pictures[:2])
    starts = [start_of(seen[0], 4), start_of(seen[0], 0), start_of(unseen[0], 1)]
    file = tmp_path / "starts.jsonl"
    write_starts(file, starts)
    settings = RolloutSettings(segmenter="disk", starts=0.5, max_steps=3)
    faulty = replace(unseen[0], id="faulty", fault="its row is faulty")
    tasks = add_starts(TaskSet(seen), TaskSet([faulty, *unseen]), file, (data,), settings, 0)
    assert {start.step for start in tasks.recorded.starts} == {0}
    assert len(tasks) == 2 * len(seen)
    opened = tasks.open(len(tasks) - 1)
    assert (opened.start.step, opened.request, opened.target) == (0, seen[0].request, None)
    assert np.array_equal(opened.truth, seen[0].read_truth(opened.image))
    assert "1 on pictures to validate on, 1 with no action of rollouts.max_steps=3 left" in caplog.text
    with pytest.raises(InputError, match="got no start to train on"):
        add_starts(TaskSet(seen), TaskSet(seen), file, (data,), RolloutSettings(max_steps=1), 0)
    with pytest.raises(InputError, match="name its folder by --root"):
        add_starts(TaskSet(seen), TaskSet([]), file, (), settings, 0)
    before = describe_starts(file, settings)
    write_starts(file, starts[:2])
    assert {name for name, value in describe_starts(file, settings).items() if value != before[name]} == {"starts"}
    assert describe_starts(None, settings) == {}
