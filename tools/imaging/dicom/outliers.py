"""Pictures of a series that are not of its stack: a localizer (scout), a page of another orientation or size."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ibisagent.tools.imaging.dicom.stacks import Shot

__all__ = ["without_outliers"]

_LEAN = 0.1  # of a direction's parts, about 6 degrees
_FEW_TURNED, _FEW_RESIZED = 1 / 3, 1 / 10  # of a series; more than these are no outliers


def without_outliers(shots: Sequence[Shot]) -> tuple[tuple[Shot, ...], tuple[str, ...]]:
    """Return the frames of a series without the few of another orientation or size, and what to note of them.

    A series of many orientations or sizes stays whole: none of them is the one that is meant.
    """
    ((size, turn), _), *_ = Counter((shot.size, shot.turn) for shot in shots).most_common(1)
    along = [shot for shot in shots if _is_along(shot, turn)]
    alike = tuple(shot for shot in along if shot.size == size)
    turned, resized = len(shots) - len(along), len(along) - len(alike)
    few = turned <= _FEW_TURNED * len(shots) and resized <= _FEW_RESIZED * len(shots)
    if not few or not turned + resized:
        return tuple(shots), ()
    return alike, (f"pictures left out for their other orientation or size: {turned + resized}",)


def _is_along(shot: Shot, turn: tuple[float, ...] | None) -> bool:
    if shot.turn is None or turn is None:
        return shot.turn is turn
    return float(np.abs(np.subtract(shot.turn, turn)).max()) < _LEAN
