"""Grids: the way from a mask of the displayed picture back to the source array, and the patient's axes in it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.errors import InputError

__all__ = ["AXES", "DicomSource", "Grid", "Mask", "Spacing", "VolumeGrid", "make_read_only"]

Mask = NDArray[np.bool_]

AXES = {"R": "L", "L": "R", "A": "P", "P": "A", "H": "F", "F": "H"}
"""The directions in a patient (right, left, front, back, head, feet), each with its opposite."""


def make_read_only(mask: Mask) -> Mask:
    """Make a mask read-only, in place."""
    mask.setflags(write=False)
    return mask


class Spacing(NamedTuple):
    """Distance between pixel centres in mm: between neighbouring rows, and between neighbouring columns."""

    row: float
    column: float


class DicomSource(NamedTuple):
    """One stored frame: its file, its number there from 0, and the file's name inside ``path`` where that is a zip."""

    path: Path
    frame: int = 0
    member: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A source whose (H, W) array is the displayed picture: a raster file, a DICOM frame without a place, an array.

    For a photograph with an EXIF orientation this is the upright picture, the one every viewer shows. ``codes`` are the
    directions (`AXES`) in which the source's axes run in the patient, None when unknown. ``laterality``, R or L, is the
    side of a paired body part that the file says it shows. ``sources`` are DICOM's frames, empty for anything else.
    """

    shape: tuple[int, ...]
    codes: tuple[str, ...] | None = field(default=None, kw_only=True)
    laterality: str | None = field(default=None, kw_only=True)
    sources: tuple[DicomSource, ...] = field(default=(), kw_only=True, repr=False)

    @property
    def axes(self) -> tuple[str, str] | None:
        """The direction in the patient (`AXES`) towards the picture's bottom, and towards its right side."""
        return None if self.codes is None else (self.codes[0], self.codes[1])

    def to_display(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the displayed (H, W) part of an array of ``shape`` as a view: writing to it writes to ``array``."""
        return array

    def to_source(self, mask: Mask) -> Mask:
        """Put an (H, W) mask into an array of the source's ``shape``; `InputError` when its shape is another."""
        source = np.zeros(self.shape, dtype=np.bool_)
        picture = self.to_display(source)
        if mask.shape != picture.shape:
            raise InputError(f"got a mask of {mask.shape}, expected the displayed picture's {picture.shape}")
        picture[...] = mask
        return source

    def side_of(self, x: float, y: float) -> str | None:
        """Return the patient's side, left or right, at a point of the picture (x and y in [0, 1]), None when unknown.

        It is the file's laterality, else the half of the scan's whole extent in which the point lies: a scan of one
        knee that does not say so has two halves as well.
        """
        toward = self.laterality or self._find_half(x, y)
        return {"R": "right", "L": "left", None: None}[toward]

    def _find_half(self, x: float, y: float) -> str | None:
        across = next((axis for axis, code in enumerate(self.codes or ()) if code in "RL"), None)
        if self.codes is None or across is None or across >= len(self.shape):
            return None
        count = self.shape[across]
        places = np.arange(count).reshape([-1 if axis == across else 1 for axis in range(len(self.shape))])
        picture = self.to_display(np.broadcast_to(places, self.shape))
        height, width = picture.shape
        offset = 2 * int(picture[min(int(y * height), height - 1), min(int(x * width), width - 1)]) - (count - 1)
        if offset == 0:
            return None
        return self.codes[across] if offset > 0 else AXES[self.codes[across]]


@dataclass(frozen=True, slots=True, eq=False)
class VolumeGrid(Grid):
    """A plane of a volume that has a place in the patient; its source axes run (i, j[, k]), i fastest in the file.

    ``affine`` (4, 4) maps source indices to mm in NIfTI world axes: right, front, head (RAS+). The picture is cut in
    display axes: ``order[a]`` is the source axis along display axis ``a``, ``flips[a]`` says that it runs the other
    way, ``axis`` and ``index`` name the plane. For a plane shown as radiologists do these are the patient's axes,
    right, front and head; for a DICOM frame shown as stored they are its own. ``header``: a nibabel header without its
    text fields for NIfTI, else None. ``space``: the world axes that the source's own file counts in. ``volume``: the
    index on a fourth axis, where the source has one; masks have three.
    """

    affine: NDArray[np.float64]
    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    axis: int
    index: int
    header: Any
    volume: int | None = field(default=None, kw_only=True)
    space: str = field(default="RAS", kw_only=True)

    @property
    def is_sheared(self) -> bool:
        """Whether the source's axes are not perpendicular, as under a tilted gantry, which no rotation describes.

        By more than a tenth of a voxel's edge, or 0.1 mm, at the far end of the volume.
        """
        edges = np.linalg.norm(self.affine[:3, :3], axis=0)
        directions = self.affine[:3, :3] / edges
        skew = np.abs(np.triu(directions.T @ directions, 1)).max()
        reach = float((edges * (*self.shape, 1)[:3]).max())
        return bool(skew * reach > 0.1 * min(float(edges.min()), 1.0))

    @property
    def axes(self) -> tuple[str, str] | None:
        """The direction in the patient (`AXES`) towards the picture's bottom, and towards its right side."""
        if self.codes is None:
            return None
        column, row = (axis for axis in range(3) if axis != self.axis)
        return self._direction_along(row), self._direction_along(column)

    def _direction_along(self, axis: int) -> str:
        """Return where the picture runs along a display axis: against it, unless that is flipped as well."""
        code = (self.codes or ())[self.order[axis]]
        return code if self.flips[axis] else AXES[code]

    def to_display(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the plane of a source-shaped array as an (H, W) view.

        Rows run against the later of the two remaining display axes and columns against the earlier: the top is the
        front (axial) or the head, the left is the patient's right, or the front on a sagittal plane.
        """
        volume = array.reshape((*array.shape, 1)[:3])  # trailing axes have length 1; a view all the same
        steps = tuple(np.s_[::-1] if flip else np.s_[:] for flip in self.flips)
        canonical = volume.transpose(self.order)[steps]
        plane = canonical[(np.s_[:],) * self.axis + (self.index,)]
        view: NDArray[Any] = plane.T[::-1, ::-1]
        return view
