"""Validation of a training: which weights are the best, paired changes, and which cases are unseen."""

from types import SimpleNamespace

import pytest
import torch
from support.grpo_runs import build_small_trainer, write_tasks

from ibisagent.agent.policies.local import NANO, PROFILE, open_local
from ibisagent.agent.prompting import load_prompts
from ibisagent.evals.rewards import REWARD_PRESETS
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.training.grpo.tasks import TaskSet, choose_cases, hold_out
from ibisagent.training.grpo.trainer_factory import TrainedPolicy
from ibisagent.training.grpo.validation import ValidationCallback, best_update, validation_figures


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_tasks(tmp_path_factory.mktemp("tasks") / "set")


def rows(ious, refused, reward=0.5):
    """Rows of present targets with these IoUs, and of absent ones that were refused or not."""
    there = [
        {
            "case": f"p{n}",
            "image": f"{n}.png",
            "present": True,
            "iou": iou,
            "refused": 0.0,
            "reward": reward,
            "steps": 2.0,
        }
        for n, iou in enumerate(ious)
    ]
    gone = [
        {
            "case": f"a{n}",
            "image": f"{n}.png",
            "present": False,
            "iou": None,
            "refused": each,
            "reward": reward,
            "steps": 0.0,
        }
        for n, each in enumerate(refused)
    ]
    return [*there, *gone]


def test_figures_with_changes_paired_by_case():
    first, now = rows([0.2, 0.4, 0.6, 0.8], [1.0, 0.0]), rows([0.3, 0.5, 0.7, 0.9], [1.0, 1.0], reward=0.6)
    figures = validation_figures(now, first)
    assert figures["iou"] == pytest.approx(0.6)
    assert figures["iou_change"] == pytest.approx(0.1)
    assert figures["iou_change_low"] == figures["iou_change_high"] == pytest.approx(0.1)
    assert (figures["refused_absent"], figures["refused_present"], figures["accuracy"]) == (1.0, 0.0, 1.0)
    assert figures["reward_change"] == pytest.approx(0.1)
    dropped = [*now[:3], now[3] | dict.fromkeys(("iou", "refused", "reward", "steps")), *now[4:]]
    assert validation_figures(dropped, first)["iou"] == pytest.approx(0.5)
    assert validation_figures(rows([], [1.0]), rows([], [1.0]))["refused_absent"] == 1.0


def test_the_best_weights_are_those_of_the_best_iou_that_refuse_about_as_well():
    start = rows([0.5, 0.5], [1.0] * 20)
    results = {0: start, 10: rows([0.6, 0.6], [1.0] * 19 + [0.0]), 20: rows([0.7, 0.7], [1.0] * 15 + [0.0] * 5)}
    assert best_update({0: start}) == 0
    assert best_update(results) == 10
    assert best_update({0: start, 10: rows([0.4, 0.4], [1.0] * 20, reward=9.0)}) == 0, "the reward does not count"


def test_pictures_are_held_out_whole(data):
    cases = read_dataset(data)
    trained, unseen = hold_out(cases, 1, 0)
    assert len(trained) + len(unseen) == len(cases)
    assert len({case.image for case in unseen}) == 1
    assert not {case.image for case in unseen} & {case.image for case in trained}
    chosen = choose_cases(trained, 6, 0)
    assert chosen == choose_cases(trained, 6, 0)
    assert sum(not case.present for case in chosen) == 2
    assert len({case.image for case in hold_out(cases, 24, 0)[1]}) == 1, "a fifth of six"
    some = [case for case in cases if case.image == cases[0].image]
    with pytest.raises(
        InputError, match="got 1 pictures, expected 5 or more, a part of which is held out; give a valid"
    ):
        hold_out(some, 2, 0)


@pytest.mark.slow
def test_validation_is_greedy_kept_once_and_leaves_the_best_weights(data, tmp_path):
    trainer, config = build_small_trainer(data, tmp_path / "checkpoints")
    policy = trainer._runner.policy
    trained = TrainedPolicy(trainer.model, policy.inputs, load_prompts(NANO / PROFILE), "unit", 40)
    unseen = TaskSet(choose_cases(read_dataset(data), 4, 0))
    runner = trained.build_runner(config, unseen, temperature=0.0)
    validating = ValidationCallback(runner, config.reward, 1, tmp_path)
    validating.metrics = {}
    state = SimpleNamespace(global_step=0, max_steps=9, is_world_process_zero=True)
    trainer.model.train()
    validating.on_train_begin(None, state, None, model=trainer.model)
    assert trainer.model.training
    begin = validating.results[0]
    assert [row["case"] for row in begin] == [case.id for case in unseen.cases]
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with torch.no_grad():
        trainer.model.lm_head.weight.mul_(-1)  # it can no longer reply
    state.global_step = 1
    validating.on_step_end(None, state, None, model=trainer.model)
    assert validating.metrics["validation/reward"][0] < validation_figures(begin, begin)["reward"]
    again = ValidationCallback(runner, config.reward, 1, tmp_path)
    assert again.results == validating.results
    assert again.load_best(trainer.model) == 0
    assert all(value.equal(before[name]) for name, value in trainer.model.state_dict().items())
    first = open_local(NANO, name="nano", max_tokens=40)
    runner.policy = first
    again.results.clear()
    state.global_step = 0
    again.on_train_begin(None, state, None, model=first.model)
    assert again.results[0] == begin, "the model as it ships replies the same"


def test_a_reward_that_rises_while_iou_falls_is_warned_of(tmp_path, caplog):
    validating = ValidationCallback(None, REWARD_PRESETS["default"], 1, tmp_path)
    validating.results = {0: rows([0.5, 0.6, 0.7], [1.0]), 1: rows([0.4, 0.5, 0.6], [1.0], reward=0.9)}
    state = SimpleNamespace(global_step=1, max_steps=9, is_world_process_zero=True)
    validating.on_step_end(None, state, None, model=None)
    assert "update 1: the reward rose and the IoU fell on unseen cases" in caplog.text
