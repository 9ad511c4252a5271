"""Cold-start data: runs of an expert, a noisy expert or a relabeled policy over any data set."""

from ibisagent.training.trajectories.generation import make_trajectories
from ibisagent.training.trajectories.settings import Filters, GenerationSettings, InitialMaskRates

__all__ = ["Filters", "GenerationSettings", "InitialMaskRates", "make_trajectories"]
