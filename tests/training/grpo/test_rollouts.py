"""Rollouts of the real graph by nano: what becomes a row, seeds, one encoder call a picture, dropped episodes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.grpo_runs import write_tasks

from ibisagent.agent import LoopConfig
from ibisagent.agent.policies.abstention import AbstainingPolicy
from ibisagent.agent.policies.local import NANO, PROFILE, EncodedConversation, open_local
from ibisagent.agent.prompting import load_prompts
from ibisagent.evals.rewards import REWARD_PRESETS
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.training.grpo.episodes import EpisodeRunner, episode_seed
from ibisagent.training.grpo.metrics import rollout_facts, rollout_metrics
from ibisagent.training.grpo.rows import pad_rows, to_batch
from ibisagent.training.grpo.tasks import TaskSet, balance_cases


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_tasks(tmp_path_factory.mktemp("tasks") / "set")


@pytest.fixture(scope="module")
def policy():
    return open_local(NANO, name="nano", temperature=1.0, logprobs=True)


def runner_of(policy, data, segmenter="geocut", workers=8, **options):
    tasks = TaskSet(balance_cases(read_dataset(data), 0.3, 0))
    given = {"segmenter": segmenter, "loop": LoopConfig(max_steps=3), "workers": workers}
    return EpisodeRunner(policy, load_prompts(NANO / PROFILE), tasks, REWARD_PRESETS["default"], **given | options)


def present(runner):
    return next(number for number, case in enumerate(runner.tasks.cases) if case.present)


class CountingGeocut:
    """geocut, counting its calls; each ``every``-th prediction fails."""

    def __init__(self, every=None):
        self.segmenter, self.embeds, self.predictions, self.every = get_segmenter("geocut"), 0, 0, every

    def __getattr__(self, name):
        return getattr(self.segmenter, name)

    def embed(self, pixels):
        self.embeds += 1
        return self.segmenter.embed(pixels)

    def predict(self, embedding, prompts, prior):
        self.predictions += 1
        if self.every and self.predictions % self.every == 0:
            raise RuntimeError("out of memory")
        return self.segmenter.predict(embedding, prompts, prior)


def test_rows_are_what_the_policy_was_shown_and_drew(data, policy, monkeypatch):
    runner, seen = runner_of(policy, data, workers=1), []
    encode = policy.inputs.encode

    def keep(conversation):
        seen.append(encode(conversation))
        return seen[-1]

    monkeypatch.setattr(policy.inputs, "encode", keep)
    (rollout,) = runner.run([present(runner)], seed=0, update=0)
    shown = seen[: len(seen) // 2]  # the other half are the rows
    assert len(rollout.rows) == len(shown) == len(rollout.record.steps) > 1
    for row, encoded, step in zip(rollout.rows, shown, rollout.record.steps, strict=True):
        assert row.prompt_ids == encoded.ids
        assert np.array_equal(row.patches, encoded.patches)
        assert np.array_equal(row.grid, encoded.grid)
        assert (row.completion_ids, row.logprobs) == (step.completion["token_ids"], step.completion["logprobs"])
        assert policy.inputs.tokenizer.decode(row.completion_ids, skip_special_tokens=True) == step.reply
    assert [turn.step for turn in rollout.reward.turns] == [row.step for row in rollout.rows]
    assert rollout.path.tokens == tuple(len(row.completion_ids) for row in rollout.rows)


@pytest.mark.slow
def test_draws_depend_on_neither_the_batch_nor_the_workers_but_on_update_task_and_rollout(data, policy):
    def replies(rollouts):
        return [[step.reply for step in rollout.record.steps] for rollout in rollouts]

    runner = runner_of(policy, data)
    task = present(runner)
    together = replies(runner.run([task, task, task, task + 1, task + 1], seed=3, update=2))
    assert replies(runner_of(policy, data, workers=1).run([task] * 3, seed=3, update=2)) == together[:3]
    assert replies(runner.run([task + 1], seed=3, update=2)) == together[3:4]
    assert together[0] != together[1]
    assert replies(runner.run([task], seed=3, update=3))[0] != together[0]
    assert len({episode_seed(*drawn) for drawn in ((0, 0, 0, 1), (0, 0, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0))}) == 4


def test_a_picture_is_encoded_once_for_all_rollouts_of_a_task(data, policy):
    segmenter = CountingGeocut()
    runner = runner_of(policy, data, segmenter)
    rollouts = runner.run([present(runner)] * 8, seed=0, update=0)
    prefixes = set()
    for rollout in rollouts:
        prompts = [step.action for step in rollout.record.steps if step.action and step.action["type"] == "point"]
        prefixes |= {str(prompts[:count]) for count in range(1, len(prompts) + 1)}
    assert segmenter.embeds == 1
    assert 0 < segmenter.predictions <= len(prefixes)


def test_failed_episodes_are_dropped_and_counted_and_change_no_other(data, policy):
    runner, failing = runner_of(policy, data), runner_of(policy, data, CountingGeocut(every=2), workers=1)
    task = present(runner)
    whole, some = (each.run([task] * 6, seed=1, update=0) for each in (runner, failing))
    dropped = [rollout for rollout in some if rollout.dropped]
    assert 0 < len(dropped) < 6
    assert all(each.dropped.startswith("segmenter_error: ") and each.path is None and not each.rows for each in dropped)
    for one, other in zip(whole, some, strict=True):
        if not other.dropped:
            assert one.path == other.path
    figures = rollout_metrics(list(map(rollout_facts, some)), 6)
    assert (figures["dropped"], figures["rows"]) == (len(dropped), sum(len(each.rows) for each in some))
    assert figures["reward"] == pytest.approx(np.mean([each.reward.total for each in some if each.reward]))
    assert rollout_metrics(list(map(rollout_facts, dropped)), len(dropped)) == {
        "dropped": len(dropped),
        "dead_groups": 1.0,
        "rows": 0.0,
    }


def test_a_case_that_cannot_be_opened_is_dropped(data, policy):
    runner = runner_of(policy, data)
    task = present(runner)
    runner.tasks.cases[task] = replace(runner.tasks.cases[task], id="gone", fault="its row is faulty")
    (rollout,) = runner.run([task], seed=0, update=0)
    assert rollout.dropped == "case: gone: its row is faulty"


def test_a_reply_that_the_model_did_not_draw_is_no_row(data, policy):
    """Such as a gate's before the model, which has no tokens, or one with a token that the model may not write."""
    runner = runner_of(policy, data)
    task = present(runner)
    banned = runner.run([task], seed=0, update=0)[0].rows[0].completion_ids[0]
    (planted,) = runner_of(policy, data, control_ids=[banned]).run([task], seed=0, update=0)
    assert (planted.dropped, planted.rows) == ("tokens: a reply holds a control token", ())
    gated = runner_of(AbstainingPolicy(policy, policy.targets), data)
    gated.tasks.cases[task] = replace(gated.tasks.cases[task], id="other", request="Segment the teapot.")
    (declined,) = gated.run([task], seed=0, update=0)
    assert declined.record.stop == "declined"
    assert (declined.dropped, declined.reward) == ("tokens: a reply is not the model's own", None)


def test_suppressed_tokens_are_never_drawn_and_do_not_change_log_probabilities(data, policy):
    runner = runner_of(policy, data)
    first = runner.run([present(runner)], seed=0, update=0)[0].rows[0]
    banned = first.completion_ids[0]
    model = open_local(NANO, name="nano", temperature=1.0, logprobs=True, suppressed_ids=[banned])
    (other,) = runner_of(model, data).run([present(runner)], seed=0, update=0)
    assert all(banned not in row.completion_ids for row in other.rows)
    given = model.inputs.batch([EncodedConversation(first.prompt_ids, first.patches, first.grid)])
    logits = model.model(**given, logits_to_keep=1).logits[0, -1]
    assert other.rows[0].logprobs[0] == pytest.approx(
        torch.log_softmax(logits, 0)[other.rows[0].completion_ids[0]].item(), abs=1e-4
    )


def test_a_batch_is_padded_with_rows_that_carry_no_loss(data, policy):
    runner = runner_of(policy, data)
    rows = list(runner.run([present(runner)], seed=0, update=0)[0].rows)
    padded = pad_rows(rows, rows[0], 1, 4)
    assert len(padded) % 4 == 0
    assert padded[: len(rows)] == rows
    assert len(pad_rows(rows, rows[0], 9, 4)) == 12
    assert pad_rows([], rows[0], 2, 2) == [rows[0]] * 2
    batch = to_batch(padded, [0.5] * len(rows), 0, policy.inputs.image_token_id, torch.device("cpu"))
    assert batch["advantages"].tolist() == [0.5] * len(rows) + [0.0] * (len(padded) - len(rows))
    assert batch["completion_mask"].sum(dim=1).tolist() == [
        *(len(row.completion_ids) for row in rows),
        *[0] * (len(padded) - len(rows)),
    ]
    for number, row in enumerate(padded):
        prompt = batch["prompt_ids"][number][batch["prompt_mask"][number].bool()]
        assert prompt.tolist() == row.prompt_ids
        assert batch["completion_ids"][number][: len(row.completion_ids)].tolist() == row.completion_ids
    assert batch["num_images"] == [1] * len(padded)
    assert int(batch["mm_token_type_ids"].sum()) == 25 * len(padded)


def test_cases_of_two_data_sets_may_share_an_id(data, tmp_path):
    one, other = read_dataset(data)[0], read_dataset(write_tasks(tmp_path / "set", seed=6))[0]
    tasks = TaskSet([one, replace(other, id=one.id)])
    assert tasks.open(0).image.sha != tasks.open(1).image.sha
    assert tasks.open(0) is tasks.open(0)


def test_tasks_have_the_wanted_share_of_absent_targets(data):
    cases = read_dataset(data)
    there, gone = (sum(case.present == known for case in cases) for known in (True, False))
    assert there
    assert gone
    balanced = balance_cases(cases, 0.4, 0)
    absent = [case for case in balanced if not case.present]
    assert len(balanced) - len(absent) == there
    assert len(absent) / len(balanced) == pytest.approx(0.4, abs=0.02)
    assert balance_cases(cases, -1, 0) == cases
    assert balance_cases(cases, 0.4, 0) == balanced
    assert all(case.present for case in balance_cases(cases, 0, 0))
    with pytest.raises(InputError, match="got no case with an absent target"):
        balance_cases([case for case in cases if case.present], 0.2, 0)
