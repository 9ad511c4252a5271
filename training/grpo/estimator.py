"""Advantages of rollouts, and how they enter TRL's loss row by row.

A task has G rollouts, which began from one state. Rollout i has the reward S_i and turns k = 1..T_i with n_ik sampled
tokens, N_i in all. M rollouts of the batch are scored; failed ones are left out of every mean. On-policy, with the
ratio r of a token's probabilities, the objective of the estimator ``paper`` (IBISAgent, arXiv 2601.03054) is

    A_i = (S_i - mean S) / (std S + 1e-4),  J = 1/M sum_i 1/N_i sum_k sum_t min(r A_i, clip(r) A_i)

over the task's scored rollouts, A_i = 0 where fewer than two are scored or all rewards are equal. ``dr_grpo`` divides
neither by the deviation, so that nearly equal rewards are not blown up, nor by N_i, so that short paths do not weigh
more, but by a constant L, the most tokens of a reply:

    A_i = S_i - mean S,  J = 1/M sum_i 1/L sum_k sum_t min(r A_i, clip(r) A_i)

A row is a turn, and a batch has R of them, those without loss included, which fill its last chunk. TRL's loss "grpo" is
the mean over rows of each row's mean over its n_ik tokens, "dr_grpo" the sum over tokens over R L. Row (i, k) gets the
advantage A_i w_ik, with which either is exactly -J:

    paper:  w_ik = n_ik / N_i * R / M        dr_grpo:  w_ik = R / M

A positive weight may ride in the advantage, as min(r w A, clip(r) w A) = w min(r A, clip(r) A). A KL term would not be
weighted, so there is none.

With the credit ``turn``, A_ik takes the place of A_i. A rollout's reward is the sum of what its turns contributed,
r_ij, and of a rest Z_i (`ibisagent.evals.rewards.score.Reward`); turn k is credited with what followed it:

    G_ik = Z_i + sum_{j >= k} r_ij,  A_ik = G_ik - mean over the task's other rollouts l with T_l >= k of G_lk

and where no other got so far, minus the others' mean of G_l1. The baseline depends on other rollouts and on k alone,
never on the rollout's own later turns, so it adds no bias.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

__all__ = ["Credit", "Estimator", "ScoredPath", "compute_advantages", "is_dead", "row_weights"]

Estimator = Literal["dr_grpo", "paper"]
Credit = Literal["path", "turn"]

_EPSILON = 1e-4  # beside the deviation, as in TRL
_DEAD = 1e-6


@dataclass(frozen=True, slots=True)
class ScoredPath:
    """A scored rollout: its reward, what each turn contributed to it, and each turn's number of sampled tokens."""

    total: float
    turns: tuple[float, ...]
    tokens: tuple[int, ...]


def compute_advantages(
    group: Sequence[ScoredPath | None], estimator: Estimator, credit: Credit = "path"
) -> list[tuple[float, ...]]:
    """Return the advantages of each turn of a task's rollouts, without their weights; none for a failed rollout, None.

    >>> paths = [ScoredPath(1.0, (1.0,), (3,)), None, ScoredPath(0.0, (0.0, 0.0), (3, 4))]
    >>> compute_advantages(paths, "dr_grpo")
    [(0.5,), (), (-0.5, -0.5)]
    """
    scored = [path for path in group if path is not None]
    if len(scored) < 2 or (credit == "path" and is_dead(group)):
        return [(0.0,) * len(path.tokens) if path is not None else () for path in group]
    scale = 1 / (stdev([path.total for path in scored]) + _EPSILON) if estimator == "paper" else 1.0
    credited = _turn_advantages if credit == "turn" else _path_advantages
    own = iter([tuple(scale * each for each in credited(number, scored)) for number in range(len(scored))])
    return [next(own) if path is not None else () for path in group]


def is_dead(group: Sequence[ScoredPath | None]) -> bool:
    """Whether the rewards of a task's rollouts are all equal, or fewer than two are scored."""
    totals = [path.total for path in group if path is not None]
    return len(totals) < 2 or max(totals) - min(totals) < _DEAD


def row_weights(path: ScoredPath, rows: int, scored: int, estimator: Estimator) -> tuple[float, ...]:
    """Return the weight of each turn of a rollout; ``rows``: of the batch, ``scored``: its scored rollouts."""
    if estimator == "dr_grpo":
        return (rows / scored,) * len(path.tokens)
    return tuple(count / sum(path.tokens) * rows / scored for count in path.tokens)


def _path_advantages(number: int, scored: Sequence[ScoredPath]) -> list[float]:
    mean = fmean(each.total for each in scored)
    return [scored[number].total - mean] * len(scored[number].tokens)


def _turn_advantages(number: int, scored: Sequence[ScoredPath]) -> list[float]:
    others = [_returns(each) for other, each in enumerate(scored) if other != number]
    first = fmean(returns[0] for returns in others)
    return [
        own - (fmean(reached) if (reached := [each[turn] for each in others if len(each) > turn]) else first)
        for turn, own in enumerate(_returns(scored[number]))
    ]


def _returns(path: ScoredPath) -> list[float]:
    """Return for each turn what it and those after it contributed, with the rest of the reward."""
    rest = path.total - sum(path.turns)
    return [rest + sum(path.turns[turn:]) for turn in range(len(path.turns))]
