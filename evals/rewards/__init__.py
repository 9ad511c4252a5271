"""Rewards of recorded runs: the paper's score (arXiv 2601.03054), and one that cannot be raised by stopping early."""

from ibisagent.evals.rewards.judging import CLICK_RULES, PAPER_RULES, JudgingRules, MaskJudgement, judge_masks
from ibisagent.evals.rewards.score import Reward, TurnReward, score_trajectory
from ibisagent.evals.rewards.settings import REWARD_PRESETS, RewardConfig, RewardWeights
from ibisagent.evals.rewards.terms import RunTerms, compute_terms

__all__ = [
    "CLICK_RULES",
    "PAPER_RULES",
    "REWARD_PRESETS",
    "JudgingRules",
    "MaskJudgement",
    "Reward",
    "RewardConfig",
    "RewardWeights",
    "RunTerms",
    "TurnReward",
    "compute_terms",
    "judge_masks",
    "score_trajectory",
]
