"""Recorded states from which episodes begin: found in recorded runs, kept in a file, replayed by the graph."""

from ibisagent.training.starts.mining import REASONS, MiningRules, mine_starts
from ibisagent.training.starts.start import Start, read_starts, write_starts

__all__ = ["REASONS", "MiningRules", "Start", "mine_starts", "read_starts", "write_starts"]
