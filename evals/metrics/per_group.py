"""The metrics of many cases, each with its interval."""

from collections.abc import Sequence

from ibisagent.evals.metrics.per_case import CaseMetrics
from ibisagent.evals.stats import Bootstrap, Groups, Interval, mean_interval, proportion_interval, ratio_interval
from ibisagent.tools.errors import InputError

__all__ = ["group_metrics"]

_DEFAULT = Bootstrap()


def group_metrics(
    cases: Sequence[CaseMetrics], groups: Groups = None, *, threshold: float = 0.5, bootstrap: Bootstrap = _DEFAULT
) -> dict[str, Interval]:
    """Return every metric of a group of cases by name, each with its interval and its number of cases.

    * ``dice_per_case``, ``iou_per_case``: mean over cases (with the empty rule, the gIoU of referring segmentation).
    * ``dice_pooled``, ``iou_pooled``: over all pixels of the group at once (cIoU), where large targets dominate; 1 for
      a group without a pixel in any mask or truth.
    * ``hd95_mm``, ``hd95_px``: mean over the cases where it is defined, the others ``missing``. Alone it favours a
      method that leaves hard cases empty: ``..._penalised`` counts those with the picture's diagonal.
    * ``nsd_mm``, ``nsd_px``, ``area_error_mm2``, ``area_error_relative`` and ``..._absolute``: means over cases.
    * ``excess_components``: mean of components minus true components.
    * ``f1``, ``precision``, ``recall`` of the right entity: a true positive is a present target with IoU >
      ``threshold``. Recall is true positives over present targets, precision true positives over non-empty masks. So a
      wrong mask of a present target is a false negative and a false positive, a mask of an absent one a false
      positive, and an empty mask of an absent one does not count.
    * ``sensitivity``: present targets with a non-empty mask, right or wrong; ``specificity``: absent with an empty one.

    Empty masks of absent targets enter the means with 1 (HD95 with 0): pass the cases with ``present`` alone for
    metrics without them.
    """
    if len({case.tolerance for case in cases}) > 1:
        raise InputError("got cases measured at several tolerances, expected one; measure them anew with one tolerance")
    found = {name: mean_interval(values, groups, bootstrap) for name, values in _means(cases).items()}
    found |= {name: ratio_interval(*sums, groups, bootstrap) for name, sums in _ratios(cases, threshold).items()}
    return found | {
        name: proportion_interval(hits, groups, bootstrap) for name, hits in _shares(cases, threshold).items()
    }


def _means(cases: Sequence[CaseMetrics]) -> dict[str, list[float | None]]:
    relative = [case.area_error_relative for case in cases]
    return {
        "dice_per_case": [case.dice for case in cases],
        "iou_per_case": [case.iou for case in cases],
        "hd95_mm": [case.hd95_mm for case in cases],
        "hd95_mm_penalised": [None if case.nsd_mm is None else _penalised(case, case.hd95_mm) for case in cases],
        "hd95_px": [case.hd95_px for case in cases],
        "hd95_px_penalised": [None if case.nsd_px is None else _penalised(case, case.hd95_px) for case in cases],
        "nsd_mm": [case.nsd_mm for case in cases],
        "nsd_px": [case.nsd_px for case in cases],
        "area_error_mm2": [case.area_error_mm2 for case in cases],
        "area_error_relative": relative,
        "area_error_relative_absolute": [None if error is None else abs(error) for error in relative],
        "excess_components": [case.components - case.true_components for case in cases],
    }


def _penalised(case: CaseMetrics, distance: float | None) -> float:
    return case.diagonal if distance is None else distance


def _ratios(cases: Sequence[CaseMetrics], threshold: float) -> dict[str, tuple[list[float], list[float]]]:
    """Return parts and wholes; where no case has a pixel, each counts as one pixel of agreement."""
    blank = int(not any(case.union_px for case in cases))
    shared = [case.intersection_px + blank for case in cases]
    return {
        "dice_pooled": ([2 * part for part in shared], [c.area_px + c.true_area_px + 2 * blank for c in cases]),
        "iou_pooled": (list(shared), [case.union_px + blank for case in cases]),
        "f1": ([2 * hit for hit in _detections(cases, threshold)], [case.present + case.predicted for case in cases]),
    }


def _shares(cases: Sequence[CaseMetrics], threshold: float) -> dict[str, list[bool | None]]:
    hits = _detections(cases, threshold)
    return {
        "precision": [hit if case.predicted else None for case, hit in zip(cases, hits, strict=True)],
        "recall": [hit if case.present else None for case, hit in zip(cases, hits, strict=True)],
        "sensitivity": [case.predicted if case.present else None for case in cases],
        "specificity": [None if case.present else not case.predicted for case in cases],
    }


def _detections(cases: Sequence[CaseMetrics], threshold: float) -> list[bool]:
    return [case.present and case.iou > threshold for case in cases]
