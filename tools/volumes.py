"""Volumes that have a place in the patient: NIfTI, NRRD and MetaImage files, one plane at a time.

Viewed along the patient's axes as radiologists do (`VolumeGrid`), whatever order the file keeps. These files do not say
their modality, so a named CT window is taken at the user's word.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.cache import OnceCache
from ibisagent.tools.decoding import decoding, require_size
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import label
from ibisagent.tools.grids import Grid, Mask, Spacing, VolumeGrid
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.labels import Label, inside
from ibisagent.tools.mask_forms import marked
from ibisagent.tools.slices import Plane, choose_plane, told_choice
from ibisagent.tools.window import DEFAULT_OTHER, parse_window, render

__all__ = [
    "MAX_BYTES",
    "Volume",
    "axes_of",
    "from_file",
    "notes_on_shear",
    "open_volume",
    "planes",
    "read_mask",
    "require_volume",
]

MAX_BYTES = 4 * 2**30
"""Largest volume that is decoded, in bytes of voxels as stored; a small packed file can claim any number of them."""

_SAMPLE = 2**22  # voxels that percentiles are taken of; a larger volume is thinned evenly
_EXPECTED = "a whole volume"
_KEPT = 512 * 2**20
_decoded: OnceCache[NDArray[Any]] = OnceCache(_KEPT, lambda voxels: voxels.nbytes)


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A volume's file, its header read and found acceptable.

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

    def voxels(self, volume: int | None) -> NDArray[Any]:
        """Give the stored voxels (i, j, k), read-only; a volume of moderate size is decoded once and kept a while."""
        whole = self._whole()
        return whole.reshape((*self.shape, 1, 1)[:3]) if volume is None else whole[..., volume]

    def _whole(self) -> NDArray[Any]:
        if math.prod(self.shape) * self.volumes * self.dtype.itemsize > _KEPT // 2:
            return self.read()
        told = self.path.stat()
        return _decoded.get((self.path.absolute(), told.st_mtime_ns, told.st_size), self._kept)

    def _kept(self) -> NDArray[Any]:
        voxels = np.asarray(self.read())
        voxels.flags.writeable = False
        return voxels

    def scaled(self, voxels: NDArray[Any]) -> NDArray[np.float32]:
        """Give the values of stored voxels."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(voxels.astype(np.float64) * self.slope + self.intercept, dtype=np.float32)


def axes_of(affine: NDArray[np.float64]) -> tuple[tuple[int, int, int], tuple[bool, bool, bool], tuple[str, ...]]:
    """Give ``order`` and ``flips`` of a `VolumeGrid` shown along the patient's nearest axes, and its ``codes``."""
    orientation = _orientation(affine)
    source_axis = [int(np.flatnonzero(orientation[:, 0] == axis)[0]) for axis in range(3)]
    order = (source_axis[0], source_axis[1], source_axis[2])
    flips = (orientation[order[0], 1] < 0, orientation[order[1], 1] < 0, orientation[order[2], 1] < 0)
    codes = tuple(("LR", "PA", "FH")[int(axis)][int(direction > 0)] for axis, direction in orientation)
    return order, (bool(flips[0]), bool(flips[1]), bool(flips[2])), codes


def _orientation(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give, for each source axis, the nearest canonical axis and the direction, NaN where there is none."""
    from nibabel.orientations import io_orientation

    orientation: NDArray[np.float64] = io_orientation(affine)  # type: ignore[no-untyped-call]
    return orientation


def require_volume(volume: Volume) -> None:
    """Refuse with `InputError` what cannot be shown: no voxels, too many, no numbers, no place."""
    name, shape, dtype = label(volume.path.name), volume.shape, volume.dtype
    if min((*shape, volume.volumes), default=0) < 1 or len(shape) < 2:
        raise InputError(f"{name}: got no volume, expected {_EXPECTED}; export it anew")
    if math.prod(shape[3:]) > 1:
        raise InputError(f"{name}: got {len(shape)}-D data of {shape}, expected 3-D or 4-D; save one volume of it")
    if dtype.kind not in "iuf":
        raise InputError(f"{name}: got voxels of {dtype.name}, expected one real number each; convert it")
    if math.prod(shape) * volume.volumes * dtype.itemsize > MAX_BYTES:
        raise InputError(f"{name}: got a volume of {shape}, expected at most {MAX_BYTES >> 30} GiB; crop it")
    if not np.isfinite(volume.affine).all() or np.isnan(_orientation(volume.affine)).any():
        raise InputError(f"{name}: got axes that cannot be inverted, expected a valid affine; repair its header")


def open_volume(path: Path) -> Volume:
    """Read the header of a NIfTI, NRRD or MetaImage file, told apart by its name."""
    name = path.name.lower()
    with decoding(label(path.name), _EXPECTED):
        if name.endswith((".nrrd", ".nhdr")):
            from ibisagent.tools import nrrd

            return nrrd.load(path)
        if name.endswith((".mha", ".mhd")):
            from ibisagent.tools import metaimage

            return metaimage.load(path)
        from ibisagent.tools import nifti

        return nifti.load(path)


def from_file(path: Path, wanted: str | None, window: str | None) -> MedicalImage:
    """Open one plane, the middle axial one by default; spacing is that of the header."""
    name = label(path.name)
    chosen = parse_window(window or DEFAULT_OTHER, name, hounsfield=True)
    with decoding(name, _EXPECTED):
        volume = open_volume(path)
        grid, plane = _grid(volume, wanted)
        voxels = volume.voxels(grid.volume)
        values = volume.scaled(grid.displayed(voxels))
        flat = voxels.ravel(order="K")
        pixels = render(values, chosen, volume.scaled(flat[:: -(-flat.size // _SAMPLE)]))
    unnamed = volume.volumes > 1 and "@" not in (wanted or "")
    notes = told_choice(wanted, str(plane), _lengths(volume.shape)[grid.order[plane.axis]])
    notes += [f"the first of {volume.volumes} volumes; name another by slice={plane}"] if unnamed else []
    turned = grid.header is not None and int(grid.header["qform_code"])  # by which ITK's tools go
    notes += () if turned else notes_on_shear(grid, ".nrrd")
    spacing = _spacing(grid, volume.zooms)
    return MedicalImage(
        pixels, grid, spacing, values=values, uri=str(path), slice=str(plane), window=window, notes=tuple(notes)
    )


def notes_on_shear(grid: Grid, endings: str) -> tuple[str, ...]:
    """Say which ``endings`` suit a mask whose axes are at no right angle: in a NIfTI its sform alone holds that."""
    if not isinstance(grid, VolumeGrid) or not grid.sheared:
        return ()
    return (f"axes at no right angle: ITK's tools refuse them in a NIfTI mask, so save {endings} for those",)


def _grid(volume: Volume, wanted: str | None) -> tuple[VolumeGrid, Plane]:
    """Place the wanted plane in the canonical axes nearest to the source's own."""
    name = label(volume.path.name)
    order, flips, codes = axes_of(volume.affine)
    lengths = tuple(_lengths(volume.shape)[axis] for axis in order)
    plane = choose_plane(wanted, lengths, name, volumes=volume.volumes)
    require_size(name, *(length for axis, length in enumerate(lengths) if axis != plane.axis))
    return VolumeGrid(
        volume.shape,
        volume.affine,
        order,
        flips,
        plane.axis,
        plane.index,
        volume.header,
        codes=codes if volume.oriented else None,
        volume=plane.volume,
        space=volume.space,
    ), plane


def _spacing(grid: VolumeGrid, zooms: tuple[float, float, float]) -> Spacing | None:
    column, row = (zooms[grid.order[axis]] for axis in range(3) if axis != grid.axis)
    known = math.isfinite(row) and math.isfinite(column) and row > 0 and column > 0
    return Spacing(row, column) if known else None


def planes(path: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Give every plane as it is displayed, with its ``slice``: the axial ones, or a thin volume's only one."""
    with decoding(label(path.name), _EXPECTED):
        volume = open_volume(path)
        grid, plane = _grid(volume, None)
        voxels = volume.voxels(grid.volume)
    for index in range(_lengths(volume.shape)[grid.order[grid.axis]]):
        yield str(replace(plane, index=index)), volume.scaled(replace(grid, index=index).displayed(voxels))


def read_mask(path: Path, grid: VolumeGrid, values: Label | None = None) -> Mask:
    """Read where the displayed plane of a volume on the same grid holds ``values``; by default its one value but 0.

    The mask's file may keep its axes in another order or direction than the image's, and have a fourth axis as well.
    """
    with decoding(label(path.name), _EXPECTED):
        volume = open_volume(path)
        _require_same_place(volume, grid)
        voxels = volume.voxels((grid.volume or 0) if volume.volumes > 1 else None)
        plane = volume.scaled(grid.displayed(_reordered(voxels, volume.affine, grid.affine)))
    finite = np.where(np.isfinite(plane), plane, 0)
    return marked(finite, label(path.name)) if values is None else inside(plane, values)


def _require_same_place(volume: Volume, grid: VolumeGrid) -> None:
    name = label(volume.path.name)
    lengths, affine = _canonical(volume.shape, volume.affine)
    expected, place = _canonical(grid.shape, grid.affine)
    if lengths != expected or (volume.volumes > 1 and (grid.volume or 0) >= volume.volumes):
        got = volume.shape if volume.volumes == 1 else (*volume.shape, volume.volumes)
        raise InputError(f"{name}: got a mask of {got}, expected the image's {grid.shape}; resample it to the image")
    if _displacement(affine, place, expected) > 0.1:
        raise InputError(f"{name}: got a mask with another affine, expected the image's; resample it to the image")


def _lengths(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape, 1)[:3]


def _canonical(shape: tuple[int, ...], affine: NDArray[np.float64]) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Give a volume's shape and affine as if it kept its axes right, front, head."""
    order, flips, _ = axes_of(affine)
    lengths = tuple(_lengths(shape)[axis] for axis in order)
    turned = affine[:, [*order, 3]].copy()
    for axis in np.flatnonzero(flips):
        turned[:, 3] += turned[:, axis] * (lengths[axis] - 1)
        turned[:, axis] *= -1
    return lengths, turned


def _reordered(voxels: NDArray[Any], affine: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[Any]:
    """View (i, j, k) voxels that lie by ``affine`` in the order of axes that ``wanted`` has."""
    order, flips, _ = axes_of(affine)
    canonical = voxels.transpose(order)[tuple(np.s_[::-1] if flip else np.s_[:] for flip in flips)]
    order, flips, _ = axes_of(wanted)
    back = canonical[tuple(np.s_[::-1] if flip else np.s_[:] for flip in flips)]
    view: NDArray[Any] = back.transpose(np.argsort(order))
    return view


def _displacement(affine: NDArray[np.float64], place: NDArray[np.float64], lengths: tuple[int, ...]) -> float:
    """Give the largest distance between the two placements of a corner voxel, in units of the smallest voxel edge.

    Rotations stored as quaternions in 32 bits move a far corner by more than they change any one number.
    """
    corners = np.indices((2, 2, 2)).reshape(3, 8) * (np.array(lengths)[:, None] - 1)
    moved = (affine - place)[:3] @ np.vstack([corners, np.ones(8)])
    edge = np.linalg.norm(place[:3, :3], axis=0).min()
    return float(np.linalg.norm(moved, axis=0).max() / edge)
