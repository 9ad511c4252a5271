"""Pictures of a series that are not of its stack: a localizer (scout), a page of another orientation or size."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ibisagent.tools.imaging.dicom.stacks import StoredFrame

__all__ = ["drop_outliers"]

_MAX_TILT = 0.1  # of a direction's parts, about 6 degrees
_MAX_TURNED_SHARE, _MAX_RESIZED_SHARE = 1 / 3, 1 / 10  # of a series; more than these are no outliers


def drop_outliers(frames: Sequence[StoredFrame]) -> tuple[tuple[StoredFrame, ...], tuple[str, ...]]:
    """Return the frames of a series without the few of another orientation or size, and what to note of them.

    A series of many orientations or sizes stays whole: none of them is the one that is meant.
    """
    ((size, orientation), _), *_ = Counter((frame.size, frame.orientation) for frame in frames).most_common(1)
    along = [frame for frame in frames if _is_parallel(frame, orientation)]
    alike = tuple(frame for frame in along if frame.size == size)
    turned, resized = len(frames) - len(along), len(along) - len(alike)
    few = turned <= _MAX_TURNED_SHARE * len(frames) and resized <= _MAX_RESIZED_SHARE * len(frames)
    if not few or not turned + resized:
        return tuple(frames), ()
    return alike, (f"pictures left out for their other orientation or size: {turned + resized}",)


def _is_parallel(frame: StoredFrame, orientation: tuple[float, ...] | None) -> bool:
    if frame.orientation is None or orientation is None:
        return frame.orientation is orientation
    return float(np.abs(np.subtract(frame.orientation, orientation)).max()) < _MAX_TILT
