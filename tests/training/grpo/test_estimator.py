"""Advantages and row weights, against the objectives written out, and without any model."""

import itertools
from statistics import fmean, stdev

import numpy as np
import pytest

from ibisagent.training.grpo.estimator import ScoredPath, compute_advantages, is_dead, row_weights

GROUP = [
    ScoredPath(0.9, (0.6, 0.2, 0.0), (19, 20, 11)),
    None,
    ScoredPath(0.3, (0.1, 0.0), (20, 12)),
    ScoredPath(-0.4, (0.0,), (13,)),
]


def test_the_paper_s_advantages_are_normalized_over_the_scored_rollouts():
    totals = [0.9, 0.3, -0.4]
    expected = [(total - fmean(totals)) / (stdev(totals) + 1e-4) for total in totals]
    got = compute_advantages(GROUP, "paper")
    assert [len(each) for each in got] == [3, 0, 2, 1]
    assert [each[0] for each in got if each] == pytest.approx(expected)
    assert all(len(set(each)) <= 1 for each in got)


def test_dr_grpo_subtracts_the_mean_alone():
    got = compute_advantages(GROUP, "dr_grpo")
    assert [each[0] for each in got if each] == pytest.approx([0.9 - 0.8 / 3, 0.3 - 0.8 / 3, -0.4 - 0.8 / 3])
    nearly = [ScoredPath(0.5, (0.0,), (3,)), ScoredPath(0.5001, (0.0,), (3,))]
    assert abs(compute_advantages(nearly, "dr_grpo")[0][0]) < 1e-4 < abs(compute_advantages(nearly, "paper")[0][0])


@pytest.mark.parametrize("estimator", ["paper", "dr_grpo"])
def test_a_group_without_a_difference_has_no_gradient(estimator):
    equal = [ScoredPath(0.5, (0.0, 0.0), (3, 4))] * 3
    lone = [None, GROUP[0], None]
    for group in (equal, lone, [None, None]):
        assert is_dead(group)
        assert {value for each in compute_advantages(group, estimator) for value in each} <= {0.0}
    assert not is_dead(GROUP)
    assert compute_advantages(lone, estimator, "turn") == [(), (0.0, 0.0, 0.0), ()]


def test_weights_make_the_mean_over_rows_the_mean_over_paths():
    """TRL's losses, written out over rows of which some are padding, are the objectives over paths."""
    paths, rng = [path for path in GROUP if path], np.random.default_rng(0)
    gains = [[rng.normal(size=count) for count in path.tokens] for path in paths]  # a token's min(r, clip r) at A = 1
    for estimator, rows, longest in (("paper", 8, 20), ("dr_grpo", 8, 40)):
        total = 0.0
        for path, own in zip(paths, gains, strict=True):
            for weight, tokens in zip(row_weights(path, rows, len(paths), estimator), own, strict=True):
                total += weight * (tokens.mean() if estimator == "paper" else tokens.sum() / longest) / rows
        sums = [sum(tokens.sum() for tokens in own) for own in gains]
        lengths = [sum(path.tokens) if estimator == "paper" else longest for path in paths]
        assert total == pytest.approx(fmean(value / length for value, length in zip(sums, lengths, strict=True)))


def test_credit_by_turn_worked_out():
    """A turn's return is what it and later turns contributed, with the rest of the reward."""
    got = compute_advantages(GROUP, "dr_grpo", "turn")
    first, second, third = (0.9, 0.3, 0.1), (0.3, 0.2), (-0.4,)
    assert got[0] == pytest.approx(
        [first[0] - (second[0] + third[0]) / 2, first[1] - second[1], first[2] - (second[0] + third[0]) / 2]
    )
    assert got[2] == pytest.approx([second[0] - (first[0] + third[0]) / 2, second[1] - first[1]])
    assert got[3] == pytest.approx([third[0] - (first[0] + second[0]) / 2])


@pytest.mark.parametrize("credit", ["path", "turn"])
def test_the_expected_gradient_is_the_reward_s_own(credit):
    """A policy goes on with a probability p_k at turn k, at most three times; all pairs of its paths are enumerated.

    With the mean over the group in the baseline, a path's own reward is in it: its gradient is (G - 1) / G of the true.
    """
    go, size = np.array([0.7, 0.4, 0.6]), 2
    gains, costs = np.array([0.5, -0.2, 0.9]), -0.1
    paths = []
    for turns in range(4):  # how often it went on
        chosen = [1] * turns + ([0] if turns < 3 else [])
        chance = np.prod([go[k] if move else 1 - go[k] for k, move in enumerate(chosen)])
        scores = [1 / go[k] if move else -1 / (1 - go[k]) for k, move in enumerate(chosen)]
        rewards = [float(gains[k]) if move else costs for k, move in enumerate(chosen)]
        path = ScoredPath(0.3 + sum(rewards), tuple(rewards), (1,) * len(chosen))
        paths.append((float(chance), scores, path))
    exact = np.zeros(3)
    for chance, scores, path in paths:
        for k, score in enumerate(scores):
            exact[k] += chance * score * path.total
    got = np.zeros(3)
    for group in itertools.product(paths, repeat=size):
        chance = float(np.prod([each[0] for each in group]))
        advantages = compute_advantages([each[2] for each in group], "dr_grpo", credit)
        for (_, scores, _), own in zip(group, advantages, strict=True):
            for k, (score, advantage) in enumerate(zip(scores, own, strict=True)):
                got[k] += chance * score * advantage / size
    assert got == pytest.approx(exact * ((size - 1) / size if credit == "path" else 1.0))
