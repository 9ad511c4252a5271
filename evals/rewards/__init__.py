"""Rewards of recorded runs: the paper's score (arXiv 2601.03054), and one that cannot be raised by stopping early."""

from ibisagent.evals.rewards.score import Reward, TurnReward, score_trajectory
from ibisagent.evals.rewards.settings import REWARD_PRESETS, RewardConfig, RewardWeights
from ibisagent.evals.rewards.terms import RunTerms, compute_terms

__all__ = [
    "REWARD_PRESETS",
    "Reward",
    "RewardConfig",
    "RewardWeights",
    "RunTerms",
    "TurnReward",
    "compute_terms",
    "score_trajectory",
]
