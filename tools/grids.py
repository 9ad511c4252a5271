"""How a mask of the displayed picture goes back to the array it was cut from."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.errors import InputError

__all__ = ["Grid", "Mask", "Spacing", "VolumeGrid", "frozen"]

Mask = NDArray[np.bool_]


def frozen(mask: Mask) -> Mask:
    """Make a mask read-only, in place."""
    mask.setflags(write=False)
    return mask


class Spacing(NamedTuple):
    """Distance between pixel centres in mm: between neighbouring rows, and between neighbouring columns."""

    row: float
    column: float


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A source whose (H, W) array is the displayed picture: a raster file, a DICOM frame, an array.

    For a photograph with an EXIF orientation this is the upright picture, the one every viewer shows.
    """

    shape: tuple[int, ...]

    def displayed(self, array: NDArray[Any]) -> NDArray[Any]:
        """Give the displayed (H, W) part of an array of ``shape`` as a view: writing to it writes to ``array``."""
        return array

    def to_source(self, mask: Mask) -> Mask:
        """Put an (H, W) mask into an array of the source's ``shape``; `InputError` when its shape is another."""
        source = np.zeros(self.shape, dtype=np.bool_)
        picture = self.displayed(source)
        if mask.shape != picture.shape:
            raise InputError(f"got a mask of {mask.shape}, expected the displayed picture's {picture.shape}")
        picture[...] = mask
        return source


@dataclass(frozen=True, slots=True, eq=False)
class VolumeGrid(Grid):
    """One plane of a volume in NIfTI world axes, shown as radiologists do.

    Canonical axes run to the patient's right, front and head (RAS+): ``order[a]`` is the source axis along canonical
    axis ``a``, ``flips[a]`` says that it runs the other way. ``axis`` and ``index`` name the plane in that frame.
    ``header`` is a nibabel header without its text fields, ``affine`` (4, 4) maps source indices to mm.
    """

    affine: NDArray[np.float64]
    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    axis: int
    index: int
    header: Any

    def displayed(self, array: NDArray[Any]) -> NDArray[Any]:
        """Give the plane of a source-shaped array as an (H, W) view.

        Rows run against the later of the two remaining canonical axes and columns against the earlier: the top is the
        front (axial) or the head, the left is the patient's right, or the front on a sagittal plane.
        """
        volume = array.reshape((*array.shape, 1)[:3])  # trailing axes have length 1; a view all the same
        steps = tuple(np.s_[::-1] if flip else np.s_[:] for flip in self.flips)
        canonical = volume.transpose(self.order)[steps]
        plane = canonical[(np.s_[:],) * self.axis + (self.index,)]
        view: NDArray[Any] = plane.T[::-1, ::-1]
        return view
