"""Metrics of recorded runs: of one run, of many runs, and of a run against an oracle's clicks; filters of runs.

A turn is a reply of the policy, whatever the policy is; a step without a reply is a guard's or a person's. Clicks are
judged as by the click and progress rewards (IBISAgent, arXiv 2601.03054), the undone ones included. Metrics that need
the true mask are None without it, and a rate over nothing is None.
"""

from ibisagent.evals.trajectories.filtering import Filters, find_fault
from ibisagent.evals.trajectories.oracle_gap import oracle_gap
from ibisagent.evals.trajectories.summary import (
    TrajectoryTableRow,
    summarize_metrics,
    tabulate_metrics,
    tabulate_records,
)
from ibisagent.evals.trajectories.trajectory_metrics import Reversal, TrajectoryMetrics, trajectory_metrics
from ibisagent.evals.trajectories.truth_fit import EPSILON, RANKS, TruthFit

__all__ = [
    "EPSILON",
    "RANKS",
    "Filters",
    "Reversal",
    "TrajectoryMetrics",
    "TrajectoryTableRow",
    "TruthFit",
    "find_fault",
    "oracle_gap",
    "summarize_metrics",
    "tabulate_metrics",
    "tabulate_records",
    "trajectory_metrics",
]
