"""What recorded runs tell: one run in figures, many runs in figures, and a run against an oracle's clicks.

A turn is a reply of the policy, whoever plays it; a step without a reply is a guard's or a person's. Clicks are judged
as the click and progress rewards judge them (IBISAgent, arXiv 2601.03054), the undone ones included. What takes the
true mask to know is None without it, and a rate over nothing is None.
"""

from ibisagent.evals.trajectories.oracle_gap import oracle_gap
from ibisagent.evals.trajectories.summary import Row, summary, table, tabulate
from ibisagent.evals.trajectories.trajectory_metrics import Journey, Reversal, trajectory_metrics
from ibisagent.evals.trajectories.truth_fit import EPSILON, RANKS, Fit

__all__ = [
    "EPSILON",
    "RANKS",
    "Fit",
    "Journey",
    "Reversal",
    "Row",
    "oracle_gap",
    "summary",
    "table",
    "tabulate",
    "trajectory_metrics",
]
