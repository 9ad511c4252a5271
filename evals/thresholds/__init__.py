"""How rewards of recorded runs, the order of policies and the best stopping point depend on a reward's thresholds."""

from ibisagent.evals.thresholds.measure import RunScores, measure_run
from ibisagent.evals.thresholds.settings import ThresholdSetting, list_settings
from ibisagent.evals.thresholds.summary import OrderChange, ThresholdRow, ThresholdSummary, summarize_thresholds

__all__ = [
    "OrderChange",
    "RunScores",
    "ThresholdRow",
    "ThresholdSetting",
    "ThresholdSummary",
    "list_settings",
    "measure_run",
    "summarize_thresholds",
]
