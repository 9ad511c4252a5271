"""What recorded runs tell: one run in figures, many runs in figures, and a run against an oracle's clicks.

A turn is a reply of the policy, whoever plays it; a step without a reply is a guard's or a person's. Clicks are judged
as the click and progress rewards judge them (IBISAgent, arXiv 2601.03054), the undone ones included. What takes the
true mask to know is None without it, and a rate over nothing is None.
"""

from ibisagent.evals.trajectories.oracle_gap import oracle_gap
from ibisagent.evals.trajectories.summary import TrajectoryTableRow, summarize_metrics, tabulate_records, tabulate_metrics
from ibisagent.evals.trajectories.trajectory_metrics import TrajectoryMetrics, Reversal, trajectory_metrics
from ibisagent.evals.trajectories.truth_fit import EPSILON, RANKS, TruthFit

__all__ = [
    "EPSILON",
    "RANKS",
    "TruthFit",
    "TrajectoryMetrics",
    "Reversal",
    "TrajectoryTableRow",
    "oracle_gap",
    "summarize_metrics",
    "tabulate_records",
    "tabulate_metrics",
    "trajectory_metrics",
]
