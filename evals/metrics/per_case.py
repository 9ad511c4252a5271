"""The metrics of one case."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from ibisagent.evals.metrics.surfaces import Axes, require_comparable, surface_distances
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.measure import iou

__all__ = ["CaseMetrics", "case_metrics", "count_components", "dice"]


class CaseMetrics(NamedTuple):
    """Metrics of a case: plain numbers, None where undefined; ``_asdict()`` is a row of JSON or CSV.

    Distances are in the ``_mm`` columns when the spacing is known, else in the ``_px`` ones, never in both; so is
    ``tolerance``, that of NSD, and ``diagonal``, the picture's, which no HD95 exceeds. Errors are mask minus truth.
    Components are 8-connected.
    """

    intersection_px: int
    union_px: int
    area_px: int
    true_area_px: int
    dice: float
    iou: float
    hd95_mm: float | None
    hd95_px: float | None
    nsd_mm: float | None
    nsd_px: float | None
    tolerance: float
    diagonal: float
    area_error_px: int
    area_error_mm2: float | None
    area_error_relative: float | None
    components: int
    true_components: int

    @property
    def present(self) -> bool:
        """Whether the target is present."""
        return self.true_area_px > 0

    @property
    def predicted(self) -> bool:
        """Whether the mask is not empty."""
        return self.area_px > 0


def case_metrics(mask: Mask, truth: Mask, spacing: Axes = None, *, tolerance: float = 2.0) -> CaseMetrics:
    """Measure an (H, W) mask against its truth; ``tolerance`` in mm, in pixels without ``spacing``.

    >>> measured = case_metrics(np.array([[1, 1, 0]], bool), np.array([[0, 1, 1]], bool), (1.0, 0.5))
    >>> measured.iou, measured.dice, measured.hd95_mm, measured.area_error_mm2
    (0.3333333333333333, 0.5, 0.475, 0.0)
    """
    distances = surface_distances(mask, truth, spacing)
    if mask.ndim != 2:
        raise InputError(f"got masks of {mask.shape}, expected (H, W); give one slice a case, or call hd95, nsd, dice")
    area, true_area = int(np.count_nonzero(mask)), int(np.count_nonzero(truth))
    intersection = int(np.count_nonzero(mask & truth))
    steps = np.asarray(spacing if spacing is not None else (1.0, 1.0), dtype=np.float64)
    hausdorff, overlap = distances.hd95(), distances.nsd(tolerance)
    known, distance = spacing is not None, None if np.isnan(hausdorff) else hausdorff
    return CaseMetrics(
        intersection_px=intersection,
        union_px=area + true_area - intersection,
        area_px=area,
        true_area_px=true_area,
        dice=dice(mask, truth),
        iou=iou(mask, truth),
        hd95_mm=distance if known else None,
        hd95_px=None if known else distance,
        nsd_mm=overlap if known else None,
        nsd_px=None if known else overlap,
        tolerance=float(tolerance),
        diagonal=float(np.linalg.norm(steps * mask.shape)),
        area_error_px=area - true_area,
        area_error_mm2=(area - true_area) * float(steps.prod()) if known else None,
        area_error_relative=(area - true_area) / true_area if true_area else (None if area else 0.0),
        components=count_components(mask),
        true_components=count_components(truth),
    )


def dice(mask: Mask, truth: Mask) -> float:
    """Twice the intersection over the sum of sizes, masks of any equal shape; 1.0 for two empty ones."""
    require_comparable(mask, truth)
    both = int(np.count_nonzero(mask)) + int(np.count_nonzero(truth))
    return 2 * int(np.count_nonzero(mask & truth)) / both if both else 1.0


def count_components(mask: Mask, min_pixels: int = 1) -> int:
    """Count the fully connected components of a mask of any shape with ``min_pixels`` pixels or more."""
    pieces, _ = ndimage.label(mask, np.ones((3,) * mask.ndim))
    return int((np.bincount(pieces.ravel())[1:] >= min_pixels).sum())
