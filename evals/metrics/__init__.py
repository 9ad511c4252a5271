"""Segmentation figures: of one case from its masks, of many cases from what was kept of each.

An empty mask is an answer, the right one for an absent target:

| mask, truth      | Dice, IoU, NSD | HD95      | relative area error |
|------------------|----------------|-----------|---------------------|
| both empty       | 1              | 0         | 0                   |
| only mask empty  | 0              | undefined | -1                  |
| only truth empty | 0              | undefined | undefined           |

Distances follow `ibisagent.evals.metrics.surfaces`; how cases are pooled stands at `group_metrics`.
"""

from ibisagent.evals.metrics.calibration import CalibrationBin, Calibration, calibration
from ibisagent.evals.metrics.case import CaseMetrics, case_metrics, dice, count_components
from ibisagent.evals.metrics.group import group_metrics
from ibisagent.evals.metrics.surfaces import hd95, nsd

__all__ = [
    "CalibrationBin",
    "Calibration",
    "CaseMetrics",
    "calibration",
    "case_metrics",
    "dice",
    "count_components",
    "group_metrics",
    "hd95",
    "nsd",
]
