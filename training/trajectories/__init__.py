"""Cold-start data: the graph driven by a teacher, and by a learner that errs, over any data set."""

from ibisagent.training.trajectories.generation import make_trajectories
from ibisagent.training.trajectories.settings import Filters, OnRow, Plan, Row, Starts

__all__ = ["Filters", "OnRow", "Plan", "Row", "Starts", "make_trajectories"]
