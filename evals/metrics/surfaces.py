"""Distances between the surfaces of two masks.

A surface pixel is a mask pixel with a side neighbour outside the mask or beyond the picture's edge, so that a target
cut off by the edge has a surface there. Distances run from pixel centre to pixel centre. HD95 is the larger of the two
directed 95th percentiles (linear between ranks), NSD the share of both surfaces' pixels that lie within a tolerance of
the other surface. Every surface pixel weighs the same. MONAI and SimpleITK's contour and distance filters give these
figures. MedPy pools both directions before the percentile, DeepMind's surface-distance and MeshMetrics weigh by surface
length: theirs differ, so compare only like with like.

Masks are bool of any equal shape; ``spacing`` is in mm along each axis, (row, column); without it all is in pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask

__all__ = ["Axes", "Distances", "hd95", "nsd", "require_comparable", "surface_distances"]

Axes = Sequence[float] | None
Floats = NDArray[np.float64]


class Distances(NamedTuple):
    """From each surface pixel of the mask to the truth's surface, and the reverse; inf to an empty one."""

    to_truth: Floats
    to_mask: Floats

    def hd95(self) -> float:
        """Return the 95 % Hausdorff distance, 0 for two empty masks, nan when only one is empty."""
        if not self.to_truth.size or not self.to_mask.size:
            return float("nan") if self.to_truth.size or self.to_mask.size else 0.0
        return max(float(np.percentile(self.to_truth, 95)), float(np.percentile(self.to_mask, 95)))

    def nsd(self, tolerance: float) -> float:
        """Return the normalised surface Dice, 1 for two empty masks, 0 when only one is empty."""
        if not tolerance >= 0:
            raise InputError(f"got a tolerance of {tolerance}, expected 0 or more; correct it")
        distances = np.concatenate(self)
        within = tolerance * (1 + 1e-9)  # three steps of 0.1 mm make 0.30000000000000004
        return float((distances <= within).mean()) if distances.size else 1.0


def hd95(mask: Mask, truth: Mask, spacing: Axes = None) -> float:
    """95 % Hausdorff distance in mm, in pixels without ``spacing``; nan when one mask alone is empty."""
    return surface_distances(mask, truth, spacing).hd95()


def nsd(mask: Mask, truth: Mask, spacing: Axes = None, tolerance: float = 2.0) -> float:
    """Normalised surface Dice (Nikolov et al. 2021) at a ``tolerance`` in mm, in pixels without ``spacing``."""
    return surface_distances(mask, truth, spacing).nsd(tolerance)


def surface_distances(mask: Mask, truth: Mask, spacing: Axes = None) -> Distances:
    """Measure between the surfaces of two masks, in mm, in pixels without ``spacing``."""
    require_comparable(mask, truth)
    _require_spacing(spacing, mask.ndim)
    box = ndimage.find_objects((mask | truth).view(np.uint8))
    if not box:
        return Distances(np.empty(0), np.empty(0))
    surface, true_surface = _surface(mask[box[0]]), _surface(truth[box[0]])
    return Distances(_distance_to(true_surface, spacing)[surface], _distance_to(surface, spacing)[true_surface])


def require_comparable(mask: Mask, truth: Mask) -> None:
    """Raise `InputError` for masks of unequal shapes or not of bool."""
    if mask.shape != truth.shape:
        raise InputError(f"got a mask of {mask.shape} and a truth of {truth.shape}, expected equal ones; resample one")
    if mask.dtype != np.bool_ or truth.dtype != np.bool_:
        raise InputError(f"got masks of {mask.dtype} and {truth.dtype}, expected bool; compare them with a threshold")


def _require_spacing(spacing: Axes, axes: int) -> None:
    if spacing is not None and (len(spacing) != axes or not all(np.isfinite(step) and step > 0 for step in spacing)):
        raise InputError(f"got a spacing of {tuple(spacing)} mm, expected {axes} numbers above 0; correct it")


def _surface(mask: Mask) -> Mask:
    return np.asarray(mask & ~ndimage.binary_erosion(mask), dtype=np.bool_)


def _distance_to(surface: Mask, spacing: Axes) -> Floats:
    if not surface.any():
        return np.full(surface.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(~surface, sampling=spacing), dtype=np.float64)
