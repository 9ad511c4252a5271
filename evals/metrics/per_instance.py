"""The metrics of one picture's instances: how many true ones are found, how many there are, and how well they fit.

An instance and a true one match when their IoU is above the threshold; at 0.5 or more each has at most one match.
Pictures without instances:

| instances, true ones | F1 | panoptic quality | relative count error |
|----------------------|----|------------------|----------------------|
| none, none           | 1  | 1                | 0                    |
| none, some           | 0  | 0                | -1                   |
| some, none           | 0  | 0                | undefined            |
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.instances import Instances

__all__ = ["InstanceMetrics", "instance_metrics"]


class InstanceMetrics(NamedTuple):
    """Plain numbers; ``matches`` are true positives, the other instances false ones.

    ``f1``: 2 matches over instances and true ones together. ``count_error``: instances minus true ones, over the true
    ones; None without any. ``panoptic_quality``: F1 times the matches' mean IoU (Kirillov et al. 2019).
    """

    instances: int
    true_instances: int
    matches: int
    f1: float
    count_error: float | None
    panoptic_quality: float


def instance_metrics(found: Instances, truth: Instances, threshold: float = 0.5) -> InstanceMetrics:
    """Match the instances of one picture; `InputError` for two shapes, or a threshold below 0.5.

    >>> from ibisagent.tools.masks.instances import instances
    >>> truth = instances(np.array([[1, 1, 1, 0, 1]], bool))
    >>> instance_metrics(instances(np.array([[0, 1, 1, 0, 0]], bool)), truth).f1
    0.6666666666666666
    """
    if found.labels.shape != truth.labels.shape:
        raise InputError(f"got labels of {found.labels.shape}, expected the truth's {truth.labels.shape}")
    if not 0.5 <= threshold < 1:
        raise InputError(f"got a threshold of {threshold}, expected one from 0.5 to below 1; matches are unique there")
    both = found.count + truth.count
    ious = _pairwise_ious(found, truth)
    matched = ious[ious > threshold]
    return InstanceMetrics(
        instances=found.count,
        true_instances=truth.count,
        matches=int(matched.size),
        f1=2 * int(matched.size) / both if both else 1.0,
        count_error=(found.count - truth.count) / truth.count if truth.count else (None if both else 0.0),
        panoptic_quality=2 * float(matched.sum()) / both if both else 1.0,
    )


def _pairwise_ious(found: Instances, truth: Instances) -> NDArray[np.float64]:
    """Return the IoU of every pair that shares a pixel."""
    shared = (found.labels > 0) & (truth.labels > 0)
    pairs, counts = np.unique(np.stack([found.labels[shared], truth.labels[shared]]), axis=1, return_counts=True)
    areas, true_areas = np.array((0, *found.areas)), np.array((0, *truth.areas))
    return np.asarray(counts / (areas[pairs[0]] + true_areas[pairs[1]] - counts), dtype=np.float64)
