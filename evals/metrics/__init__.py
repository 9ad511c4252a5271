"""Segmentation metrics: of one case from its masks or its instances, of many cases from the metrics of each.

An empty mask is a valid prediction, the right one for an absent target:

| mask, truth      | Dice, IoU, NSD | HD95      | relative area error |
|------------------|----------------|-----------|---------------------|
| both empty       | 1              | 0         | 0                   |
| only mask empty  | 0              | undefined | -1                  |
| only truth empty | 0              | undefined | undefined           |

Distances follow `ibisagent.evals.metrics.surfaces`; `group_metrics` documents how cases are pooled.
"""

from ibisagent.evals.metrics.calibration import Calibration, CalibrationBin, calibration
from ibisagent.evals.metrics.per_case import CaseMetrics, case_metrics, count_components, dice
from ibisagent.evals.metrics.per_group import group_metrics
from ibisagent.evals.metrics.per_instance import InstanceMetrics, instance_metrics
from ibisagent.evals.metrics.surfaces import hd95, nsd

__all__ = [
    "Calibration",
    "CalibrationBin",
    "CaseMetrics",
    "InstanceMetrics",
    "calibration",
    "case_metrics",
    "count_components",
    "dice",
    "group_metrics",
    "hd95",
    "instance_metrics",
    "nsd",
]
