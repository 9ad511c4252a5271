"""EXIF orientation: how a stored picture is turned into the upright one that every viewer shows."""

from pathlib import Path

import numpy as np

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging import raster
from ibisagent.tools.imaging.decoding import decode_guard
from ibisagent.tools.imaging.grids import Mask

__all__ = ["SIDEWAYS", "UPRIGHT", "apply_orientation", "read_orientation"]

UPRIGHT = 1
"""The orientation (EXIF 2.3, tag 0x0112) of a picture that is stored as it is shown."""

SIDEWAYS = (5, 6, 7, 8)
"""Those that exchange height and width."""

_TAG = 0x0112


def read_orientation(path: Path) -> int:
    """Return a file's EXIF orientation, 1 to 8; `UPRIGHT` for what has none that can be read."""
    try:
        with decode_guard(path.name, "an EXIF block"), path.open("rb") as file:
            found = raster.read_exif(file).get(_TAG, UPRIGHT)
    except InputError:  # a broken block turns nothing, as in `raster`
        return UPRIGHT
    return found if found in range(1, 9) else UPRIGHT


def apply_orientation(mask: Mask, orientation: int) -> Mask:
    """Turn an (H, W) mask of the stored picture as the orientation turns that; (W, H) for `SIDEWAYS`."""
    turned = mask.T if orientation in SIDEWAYS else mask
    rows = np.s_[::-1] if orientation in (3, 4, 7, 8) else np.s_[:]
    columns = np.s_[::-1] if orientation in (2, 3, 6, 7) else np.s_[:]
    return np.ascontiguousarray(turned[rows, columns])
