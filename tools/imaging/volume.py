"""A volume with a position in the patient: its header, its voxels, and the directions of its axes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.cache import OnceCache
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text
from ibisagent.tools.imaging.grids import Grid, VolumeGrid

__all__ = ["EXPECTED", "MAX_BYTES", "Volume", "describe_shear", "find_display_axes", "require_volume"]

MAX_BYTES = 4 * 2**30
"""Largest volume that is decoded, in bytes of voxels as stored; a small packed file can claim any number of them."""

EXPECTED = "a whole volume"
_MAX_CACHED_BYTES = 512 * 2**20
_decoded: OnceCache[NDArray[Any]] = OnceCache(_MAX_CACHED_BYTES, lambda voxels: voxels.nbytes)


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A volume's file, its header read and validated.

    ``shape``: of the source's axes i, j, k, less or more when they have length 1. ``volumes``: the length of a fourth
    axis. ``affine`` (4, 4): source indices to RAS mm; ``oriented``: whether its directions are the patient's.
    ``zooms``: voxel edges in mm along i, j, k. ``read`` decodes all voxels as stored, ``shape`` or (i, j, k, volumes);
    their value is ``slope`` times that plus ``intercept``. ``space`` and ``header``: as in `VolumeGrid`.
    """

    path: Path
    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    zooms: tuple[float, float, float]
    dtype: np.dtype[Any]
    read: Callable[[], NDArray[Any]] = field(repr=False)
    volumes: int = 1
    slope: float = 1.0
    intercept: float = 0.0
    oriented: bool = True
    space: str = "RAS"
    header: Any = field(default=None, repr=False)

    def read_voxels(self, volume: int | None) -> NDArray[Any]:
        """Return the stored voxels (i, j, k), read-only; a volume of moderate size is decoded once and kept a while."""
        whole = self._read_whole()
        return whole.reshape((*self.shape, 1, 1)[:3]) if volume is None else whole[..., volume]

    def _read_whole(self) -> NDArray[Any]:
        if math.prod(self.shape) * self.volumes * self.dtype.itemsize > _MAX_CACHED_BYTES // 2:
            return self.read()
        status = self.path.stat()
        return _decoded.get((self.path.absolute(), status.st_mtime_ns, status.st_size), self._read_frozen)

    def _read_frozen(self) -> NDArray[Any]:
        voxels = np.asarray(self.read())
        voxels.flags.writeable = False
        return voxels

    def apply_scale(self, voxels: NDArray[Any]) -> NDArray[np.float32]:
        """Return the values of stored voxels."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(voxels.astype(np.float64) * self.slope + self.intercept, dtype=np.float32)


def find_display_axes(
    affine: NDArray[np.float64],
) -> tuple[tuple[int, int, int], tuple[bool, bool, bool], tuple[str, ...]]:
    """Return ``order`` and ``flips`` of a `VolumeGrid` shown along the patient's nearest axes, and its ``codes``."""
    orientation = _find_orientation(affine)
    source_axis = [int(np.flatnonzero(orientation[:, 0] == axis)[0]) for axis in range(3)]
    order = (source_axis[0], source_axis[1], source_axis[2])
    flips = (orientation[order[0], 1] < 0, orientation[order[1], 1] < 0, orientation[order[2], 1] < 0)
    codes = tuple(("LR", "PA", "FH")[int(axis)][int(direction > 0)] for axis, direction in orientation)
    return order, (bool(flips[0]), bool(flips[1]), bool(flips[2])), codes


def _find_orientation(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for each source axis, the nearest canonical axis and the direction, NaN where there is none."""
    from nibabel.orientations import io_orientation

    orientation: NDArray[np.float64] = io_orientation(affine)  # type: ignore[no-untyped-call]
    return orientation


def require_volume(volume: Volume) -> None:
    """Refuse with `InputError` what cannot be shown: no voxels, too many, no numbers, no place."""
    name, shape, dtype = printable_text(volume.path.name), volume.shape, volume.dtype
    if min((*shape, volume.volumes), default=0) < 1 or len(shape) < 2:
        raise InputError(f"{name}: got no volume, expected {EXPECTED}; export it anew")
    if math.prod(shape[3:]) > 1:
        raise InputError(f"{name}: got {len(shape)}-D data of {shape}, expected 3-D or 4-D; save one volume of it")
    if dtype.kind not in "iuf":
        raise InputError(f"{name}: got voxels of {dtype.name}, expected one real number each; convert it")
    if math.prod(shape) * volume.volumes * dtype.itemsize > MAX_BYTES:
        raise InputError(f"{name}: got a volume of {shape}, expected at most {MAX_BYTES >> 30} GiB; crop it")
    if not np.isfinite(volume.affine).all() or np.isnan(_find_orientation(volume.affine)).any():
        raise InputError(f"{name}: got axes that cannot be inverted, expected a valid affine; repair its header")


def describe_shear(grid: Grid, endings: str) -> tuple[str, ...]:
    """Return the note on which ``endings`` suit a mask with sheared axes: in a NIfTI the sform alone holds them."""
    if not isinstance(grid, VolumeGrid) or not grid.is_sheared:
        return ()
    return (f"axes at no right angle: ITK's tools refuse them in a NIfTI mask, so save {endings} for those",)
