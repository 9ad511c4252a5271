"""One plane of a 3-D NIfTI volume, and masks on a volume's grid.

Viewed in canonical axes as radiologists do (`VolumeGrid`), written back on the source's own axes, affine and codes.
A NIfTI file does not say its modality, so a named CT window is taken at the user's word.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.decoding import decoding, require_size
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import label
from ibisagent.tools.grids import Mask, Spacing, VolumeGrid
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.labels import Label, inside
from ibisagent.tools.slices import Plane, choose_plane
from ibisagent.tools.window import DEFAULT_OTHER, parse_window, render

__all__ = ["from_file", "planes", "read_mask", "write_mask"]

_EXPECTED = "a whole NIfTI volume"
_MAX_BYTES = 4 * 2**30  # of voxels as stored; a small .nii.gz can claim any number of them
_SAMPLE = 2**22  # voxels that percentiles are taken of; a larger volume is thinned evenly
_TEXTS = ("descrip", "aux_file", "intent_name", "db_name")
_TO_MM = {1: 1000.0, 3: 0.001}  # the header's codes for metre and micron; 2, 0 and what is undefined count as mm


def from_file(path: Path, wanted: str | None, window: str | None) -> MedicalImage:
    """Open one plane, the middle axial one by default; spacing from the header's zooms, in mm."""
    name = label(path.name)
    chosen = parse_window(window or DEFAULT_OTHER, name, hounsfield=True)
    with decoding(name, _EXPECTED):
        source = _load(path, name)
        grid, plane = _grid(source, name, wanted)
        voxels = source.dataobj.get_unscaled()
    values = _scaled(grid.displayed(voxels), source)
    flat = voxels.ravel(order="K")
    pixels = render(values, chosen, _scaled(flat[:: -(-flat.size // _SAMPLE)], source))
    return MedicalImage(
        pixels, grid, spacing=_spacing(grid), values=values, uri=str(path), slice=str(plane), window=window
    )


def _load(path: Path, name: str) -> Any:
    """Open a file by its header alone and find it acceptable, before a voxel is read."""
    source: Any = nib.load(path, mmap=False)
    _require_volume(source, name)
    # Deflate packs at most 1032 to 1: a header that claims more than the file can hold costs no memory here.
    ratio = 1032 if path.name.lower().endswith(".gz") else 1
    if _size(source) > path.stat().st_size * ratio:
        raise InputError(f"{name}: got fewer voxels than {source.shape}, expected {_EXPECTED}; copy it again")
    return source


def _size(source: Any) -> int:
    return math.prod(int(length) for length in source.shape) * int(source.get_data_dtype().itemsize)


def _scaled(voxels: NDArray[Any], source: Any) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = voxels.astype(np.float64) * source.dataobj.slope + source.dataobj.inter
        return np.asarray(scaled, dtype=np.float32)


def _require_volume(image: Any, name: str) -> None:
    shape = tuple(int(length) for length in image.shape)
    dtype = image.get_data_dtype()
    if not isinstance(image, nib.Nifti1Image) or len(shape) < 2 or min(shape) < 1:
        raise InputError(f"{name}: got no volume, expected {_EXPECTED}; export it anew")
    if math.prod(shape[3:]) > 1:
        raise InputError(f"{name}: got {len(shape)}-D data of {shape}, expected 3-D; save one volume of it")
    if dtype.kind not in "iuf":
        raise InputError(f"{name}: got voxels of {dtype.name}, expected one real number each; convert it")
    if _size(image) > _MAX_BYTES:
        raise InputError(f"{name}: got a volume of {shape}, expected at most {_MAX_BYTES >> 30} GiB; crop it")
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine[:3, :3])) == 0:
        raise InputError(f"{name}: got an affine that cannot be inverted, expected a valid one; repair its sform")


def _without_texts(header: Any) -> Any:
    """Copy a header without free text and extensions, which can hold a patient's name."""
    clean = header.copy()
    clean.extensions.clear()
    for key in _TEXTS:
        if key in clean:
            clean[key] = b""
    return clean


def _grid(source: Any, name: str, wanted: str | None) -> tuple[VolumeGrid, Plane]:
    """Place the wanted plane in the canonical axes nearest to the source's own."""
    # Rows: source axes; columns: canonical axis, direction.
    orientation = nib.io_orientation(source.affine)  # type: ignore[no-untyped-call]
    source_axis = [int(np.flatnonzero(orientation[:, 0] == axis)[0]) for axis in range(3)]
    order = (source_axis[0], source_axis[1], source_axis[2])
    flips = (orientation[order[0], 1] < 0, orientation[order[1], 1] < 0, orientation[order[2], 1] < 0)
    lengths = [_lengths(source.shape)[axis] for axis in order]
    plane = choose_plane(wanted, tuple(lengths), name)
    require_size(name, *(length for axis, length in enumerate(lengths) if axis != plane.axis))
    header = _without_texts(source.header)
    return VolumeGrid(source.shape, source.affine, order, flips, plane.axis, plane.index, header), plane


def _spacing(grid: VolumeGrid) -> Spacing | None:
    zooms = [float(zoom) for zoom in (*grid.header.get_zooms(), 1.0)]
    scale = _TO_MM.get(int(grid.header["xyzt_units"]) & 7, 1.0)
    column, row = (zooms[grid.order[axis]] * scale for axis in range(3) if axis != grid.axis)
    known = math.isfinite(row) and math.isfinite(column) and row > 0 and column > 0
    return Spacing(row, column) if known else None


def planes(path: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Give every plane as it is displayed, with its ``slice``: the axial ones, or a thin volume's only one."""
    name = label(path.name)
    with decoding(name, _EXPECTED):
        source = _load(path, name)
        grid, plane = _grid(source, name, None)
        voxels = source.dataobj.get_unscaled()
    for index in range(_lengths(source.shape)[grid.order[grid.axis]]):
        yield str(replace(plane, index=index)), _scaled(replace(grid, index=index).displayed(voxels), source)


def read_mask(path: Path, grid: VolumeGrid, values: Label | None = None) -> Mask:
    """Read where the displayed plane of a volume on the same grid holds ``values``; by default neither 0 nor NaN."""
    name = label(path.name)
    with decoding(name, _EXPECTED):
        source = _load(path, name)
        if _lengths(source.shape) != _lengths(grid.shape):
            got, expected = source.shape, grid.shape
            raise InputError(f"{name}: got a mask of {got}, expected the image's {expected}; resample it to the image")
        if _displacement(source.affine, grid) > 0.1:
            raise InputError(f"{name}: got a mask with another affine, expected the image's; resample it to the image")
        voxels = source.dataobj.get_unscaled()
    plane = _scaled(grid.displayed(voxels), source)
    return np.asarray(np.isfinite(plane) & inside(plane, values), dtype=np.bool_)


def _lengths(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape, 1)[:3]


def _displacement(affine: NDArray[np.float64], grid: VolumeGrid) -> float:
    """Give the largest distance between the two placements of a corner voxel, in units of the smallest voxel edge.

    Rotations stored as quaternions in 32 bits move a far corner by more than they change any one number.
    """
    corners = np.indices((2, 2, 2)).reshape(3, 8) * (np.array(_lengths(grid.shape))[:, None] - 1)
    moved = (affine - grid.affine)[:3] @ np.vstack([corners, np.ones(8)])
    edge = np.linalg.norm(grid.affine[:3, :3], axis=0).min()
    return float(np.linalg.norm(moved, axis=0).max() / edge)


def write_mask(path: Path, mask: Mask, grid: VolumeGrid) -> None:
    """Write the whole volume as uint8, the other planes 0, with the source's qform, sform, codes and units."""
    header = grid.header.copy()
    header.set_data_dtype(np.uint8)
    header.set_slope_inter(1, 0)
    header.set_intent("none")
    header["cal_min"], header["cal_max"] = 0, 0
    kind: Any = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    # No affine here: nibabel would rebuild qform and sform from it and lose one of the two and its code.
    kind(grid.to_source(mask).astype(np.uint8), None, header).to_filename(path)
