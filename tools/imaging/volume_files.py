"""Volumes that have a place in the patient: NIfTI, NRRD and MetaImage files, one plane at a time.

Viewed along the patient's axes as radiologists do (`VolumeGrid`), whatever order the file keeps. These files do not say
their modality, so a named CT window is accepted unchecked.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text
from ibisagent.tools.imaging import metaimage, nrrd
from ibisagent.tools.imaging.decoding import decode_guard, require_size
from ibisagent.tools.imaging.grids import Mask, Spacing, VolumeGrid
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.slices import Plane, choose_plane, describe_choice
from ibisagent.tools.imaging.volume import EXPECTED, Volume, describe_shear, find_display_axes
from ibisagent.tools.imaging.window import DEFAULT_OTHER, apply_window, parse_window
from ibisagent.tools.masks.conversion import select_foreground
from ibisagent.tools.masks.label_values import Label, select_labels

__all__ = ["from_file", "iterate_planes", "open_volume", "read_mask"]

_SAMPLE = 2**22  # voxels that percentiles are taken of; a larger volume is thinned evenly


def open_volume(path: Path) -> Volume:
    """Read the header of a NIfTI, NRRD or MetaImage file, which its name distinguishes."""
    name = path.name.lower()
    with decode_guard(printable_text(path.name), EXPECTED):
        if name.endswith((".nrrd", ".nhdr")):
            return nrrd.load(path)
        if name.endswith((".mha", ".mhd")):
            return metaimage.load(path)
        from ibisagent.tools.imaging import nifti

        return nifti.load(path)


def from_file(path: Path, wanted: str | None, window: str | None) -> MedicalImage:
    """Open one plane, the middle axial one by default; spacing is that of the header."""
    name = printable_text(path.name)
    chosen = parse_window(window or DEFAULT_OTHER, name, hounsfield=True)
    with decode_guard(name, EXPECTED):
        volume = open_volume(path)
        grid, plane = _build_grid(volume, wanted)
        voxels = volume.read_voxels(grid.volume)
        values = volume.apply_scale(grid.to_display(voxels))
        unknown = _count_unknown(values, voxels, volume)
        flat = voxels.ravel(order="K")
        pixels = apply_window(values, chosen, volume.apply_scale(flat[:: -(-flat.size // _SAMPLE)]))
    unnamed = volume.volumes > 1 and "@" not in (wanted or "")
    notes = describe_choice(wanted, str(plane), _pad_shape(volume.shape)[grid.order[plane.axis]])
    notes += [f"{unknown:,} of {values.size:,} pixels have no finite value (NaN or infinite): black"] if unknown else []
    notes += [f"the first of {volume.volumes} volumes; name another by slice={plane}"] if unnamed else []
    has_qform = grid.header is not None and int(grid.header["qform_code"]) != 0  # by which ITK's tools place it
    notes += () if has_qform else describe_shear(grid, ".nrrd")
    spacing = _find_spacing(grid, volume.zooms)
    return MedicalImage(
        pixels, grid, spacing, values=values, uri=str(path), slice=str(plane), window=window, notes=tuple(notes)
    )


def _count_unknown(values: NDArray[np.float32], voxels: NDArray[Any], volume: Volume) -> int:
    """Return how many of a plane's values are not finite; `InputError` where those of all its planes are not."""
    unknown = int(np.count_nonzero(~np.isfinite(values)))
    if unknown == values.size and not any(np.isfinite(volume.apply_scale(part)).any() for part in voxels):
        got = "got a volume in which no voxel has a finite value (all are NaN or infinite)"
        raise InputError(f"{printable_text(volume.path.name)}: {got}, expected numbers; export it anew")
    return unknown


def _build_grid(volume: Volume, wanted: str | None) -> tuple[VolumeGrid, Plane]:
    """Place the wanted plane in the canonical axes nearest to the source's own."""
    name = printable_text(volume.path.name)
    order, flips, codes = find_display_axes(volume.affine)
    lengths = tuple(_pad_shape(volume.shape)[axis] for axis in order)
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


def _find_spacing(grid: VolumeGrid, zooms: tuple[float, float, float]) -> Spacing | None:
    column, row = (zooms[grid.order[axis]] for axis in range(3) if axis != grid.axis)
    known = math.isfinite(row) and math.isfinite(column) and row > 0 and column > 0
    return Spacing(row, column) if known else None


def iterate_planes(path: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield every plane as it is displayed, with its ``slice``: the axial ones, or a thin volume's only one."""
    with decode_guard(printable_text(path.name), EXPECTED):
        volume = open_volume(path)
        grid, plane = _build_grid(volume, None)
        voxels = volume.read_voxels(grid.volume)
    for index in range(_pad_shape(volume.shape)[grid.order[grid.axis]]):
        yield str(replace(plane, index=index)), volume.apply_scale(replace(grid, index=index).to_display(voxels))


def read_mask(path: Path, grid: VolumeGrid, values: Label | None = None) -> Mask:
    """Read where the displayed plane of a volume on the same grid holds ``values``; by default its one value but 0.

    The mask's file may keep its axes in another order or direction than the image's, and have a fourth axis as well.
    """
    with decode_guard(printable_text(path.name), EXPECTED):
        volume = open_volume(path)
        _require_same_grid(volume, grid)
        voxels = volume.read_voxels((grid.volume or 0) if volume.volumes > 1 else None)
        plane = volume.apply_scale(grid.to_display(_reorder(voxels, volume.affine, grid.affine)))
    finite = np.where(np.isfinite(plane), plane, 0)
    return select_foreground(finite, printable_text(path.name)) if values is None else select_labels(plane, values)


def _require_same_grid(volume: Volume, grid: VolumeGrid) -> None:
    name = printable_text(volume.path.name)
    lengths, affine = _to_canonical(volume.shape, volume.affine)
    expected, place = _to_canonical(grid.shape, grid.affine)
    if lengths != expected or (volume.volumes > 1 and (grid.volume or 0) >= volume.volumes):
        got = volume.shape if volume.volumes == 1 else (*volume.shape, volume.volumes)
        raise InputError(f"{name}: got a mask of {got}, expected the image's {grid.shape}; resample it to the image")
    if _measure_displacement(affine, place, expected) > 0.1:
        raise InputError(f"{name}: got a mask with another affine, expected the image's; resample it to the image")


def _pad_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape, 1)[:3]


def _to_canonical(shape: tuple[int, ...], affine: NDArray[np.float64]) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Return a volume's shape and affine as if it kept its axes right, front, head."""
    order, flips, _ = find_display_axes(affine)
    lengths = tuple(_pad_shape(shape)[axis] for axis in order)
    turned = affine[:, [*order, 3]].copy()
    for axis in np.flatnonzero(flips):
        turned[:, 3] += turned[:, axis] * (lengths[axis] - 1)
        turned[:, axis] *= -1
    return lengths, turned


def _reorder(voxels: NDArray[Any], affine: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[Any]:
    """View (i, j, k) voxels that lie by ``affine`` in the order of axes that ``wanted`` has."""
    order, flips, _ = find_display_axes(affine)
    canonical = voxels.transpose(order)[tuple(np.s_[::-1] if flip else np.s_[:] for flip in flips)]
    order, flips, _ = find_display_axes(wanted)
    back = canonical[tuple(np.s_[::-1] if flip else np.s_[:] for flip in flips)]
    view: NDArray[Any] = back.transpose(np.argsort(order))
    return view


def _measure_displacement(affine: NDArray[np.float64], place: NDArray[np.float64], lengths: tuple[int, ...]) -> float:
    """Return the largest distance between the two placements of a corner voxel, in units of the smallest voxel edge.

    Rotations stored as quaternions in 32 bits move a far corner by more than they change any one number.
    """
    corners = np.indices((2, 2, 2)).reshape(3, 8) * (np.array(lengths)[:, None] - 1)
    moved = (affine - place)[:3] @ np.vstack([corners, np.ones(8)])
    edge = np.linalg.norm(place[:3, :3], axis=0).min()
    return float(np.linalg.norm(moved, axis=0).max() / edge)
