"""What can be said of a mask in numbers, without its image."""

from typing import Any

import numpy as np

from ibisagent.tools.clicks import PixelBox
from ibisagent.tools.grids import Mask, Spacing

__all__ = ["bounding_box", "iou", "measure"]

_EIGHT = np.ones((3, 3), dtype=np.bool_)


def measure(mask: Mask, spacing: Spacing | None) -> dict[str, Any]:
    """Measure an (H, W) mask; every value is plain JSON.

    ``area_px`` in pixels, ``area_mm2`` (None without ``spacing``), ``fraction`` of the picture, ``bbox`` [top, left,
    bottom, right] in pixels with both ends included, ``centroid`` [x, y] in [0, 1] of the picture, ``components``
    joined by sides or corners. An empty mask has no box and no centroid: None.

    >>> measure(np.array([[0, 1]], bool), Spacing(2.0, 0.5))["area_mm2"]
    1.0
    """
    box = bounding_box(mask)
    crop = mask[box.top : box.bottom + 1, box.left : box.right + 1] if box else mask[:0]
    pixels = int(np.count_nonzero(crop))
    return {
        "area_px": pixels,
        "area_mm2": pixels * float(spacing.row) * float(spacing.column) if spacing else None,
        "fraction": pixels / mask.size,
        "bbox": list(box) if box else None,
        "centroid": _centroid(crop, box, mask.shape) if box else None,
        "components": _components(crop) if box else 0,
    }


def bounding_box(mask: Mask) -> PixelBox | None:
    """Give the smallest box that holds an (H, W) mask, None for an empty one."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return PixelBox(int(rows[0]), int(columns[0]), int(rows[-1]), int(columns[-1]))


def _components(crop: Mask) -> int:
    from scipy import ndimage  # a quarter of a second, which a start without a measurement is spared

    return int(ndimage.label(crop, _EIGHT)[1])


def _centroid(crop: Mask, box: PixelBox, shape: tuple[int, ...]) -> list[float]:
    """Give the mean of the pixel centres as [x, y]; it can lie outside a bent shape."""
    by_row, by_column = crop.sum(axis=1), crop.sum(axis=0)
    pixels = by_row.sum()
    row = box.top + 0.5 + by_row @ np.arange(by_row.size) / pixels
    column = box.left + 0.5 + by_column @ np.arange(by_column.size) / pixels
    return [float(column / shape[1]), float(row / shape[0])]


def iou(mask: Mask, truth: Mask) -> float:
    """Intersection over union of two (H, W) bool masks; 1.0 for two empty ones, so that a right refusal counts."""
    union = int(np.count_nonzero(mask | truth))
    return int(np.count_nonzero(mask & truth)) / union if union else 1.0
