"""The picture of a stack of frames: one of them as it is stored, or a plane across the patient's axes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ibisagent.tools.decoding import decoding, require_size
from ibisagent.tools.dicom.about import axes, laterality, modality, notes_on_text, spacing_of
from ibisagent.tools.dicom.display import colour, grey, is_colour
from ibisagent.tools.dicom.elements import head_of, retyped, unreadable
from ibisagent.tools.dicom.files import EXPECTED, Files, decoded, header, name_of
from ibisagent.tools.dicom.stacks import Shot, Stack, place_of
from ibisagent.tools.dicom.tables import broken_tables
from ibisagent.tools.dicom.values import completable, completed, padding_of, rescaled
from ibisagent.tools.errors import InputError
from ibisagent.tools.grids import Grid, Mask, Spacing, VolumeGrid
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.slices import choose_plane, told_choice
from ibisagent.tools.volumes import axes_of, notes_on_shear
from ibisagent.tools.window import compact

__all__ = ["Request", "of_frame", "of_plane"]

Values = NDArray[np.float32] | NDArray[np.float64]
Shown = tuple[NDArray[np.uint8], Values | None, list[Dataset]]

_RADIOLOGICAL = {("P", "L"), ("F", "L"), ("F", "P")}


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asked for, and how the source is named: in errors, and to open the same picture again."""

    name: str
    uri: str
    window: str | None
    prefix: str = ""
    notes: tuple[str, ...] = ()


def of_frame(stack: Stack, shot: Shot, slice: str | None, request: Request) -> MedicalImage:
    """Show one frame as it is stored."""
    stored, head = _read(shot)
    pixels, values = _shown(stored, head, request)
    grid = _frame_grid(stack, shot, head, (pixels.shape[0], pixels.shape[1]))
    spacing, notes = spacing_of(head)
    if spacing is None and shot.spacing is not None:  # what its own header holds cannot be read
        spacing = Spacing(*shot.spacing)
    if isinstance(grid, VolumeGrid) and grid.axes not in _RADIOLOGICAL:
        down, right = grid.axes or ("", "")
        notes.append(f"shown as stored, not as radiologists look: down is {down}, right is {right}")
    return _image(pixels, values, grid, spacing, [head], slice, (*stack.notes, *notes), request)


def _read(shot: Shot) -> tuple[NDArray[Any], Dataset]:
    name, frame = name_of(shot.source), shot.source.frame
    with decoding(name, EXPECTED), Files() as files, files.open(shot.source) as file:
        dataset, _ = header(file, name)
        require_size(name, int(dataset.Rows), int(dataset.Columns))
        (stored,) = decoded(file, dataset, [frame], name)
        return stored, head_of(dataset, frame)


def _shown(stored: NDArray[Any], head: Dataset, request: Request) -> tuple[NDArray[np.uint8], Values | None]:
    with decoding(request.name, EXPECTED):
        if is_colour(stored, head):
            return colour(stored, head, request.name, request.window), None
        return _grey(rescaled(stored, head), padding_of(stored, head), head, request)


def _grey(values: NDArray[Any], padding: Mask, head: Dataset, request: Request) -> tuple[NDArray[np.uint8], Values]:
    """Show values, and give them with NaN where they are no picture."""
    known = compact(values)
    known[padding] = np.nan
    return grey(values, padding, head, request.name, request.window), known


def _frame_grid(stack: Stack, shot: Shot, head: Dataset, size: tuple[int, int]) -> Grid:
    """Give the place of a frame in its volume, alone where it is in none, or no place at all."""
    if not shot.placed:
        return Grid(size, codes=axes(head), laterality=laterality(head), sources=(shot.source,))
    number = next((number for number, volume in enumerate(stack.volumes) if shot in volume), None)
    volume = (shot,) if number is None else stack.volumes[number]
    affine = place_of(volume)
    return VolumeGrid(
        shape=(size[1], size[0], len(volume)),
        affine=affine,
        order=(0, 1, 2),
        flips=(True, True, False),
        axis=2,
        index=volume.index(shot),
        header=None,
        codes=axes_of(affine)[2],
        laterality=laterality(head),
        sources=tuple(one.source for one in volume),
        volume=number if len(stack.volumes) > 1 else None,
        space="LPS",
    )


def of_plane(stack: Stack, wanted: str | None, request: Request) -> MedicalImage:
    """Show a plane across the patient's axes as radiologists do; by default the middle one of those that were taken."""
    if stack.affine is None:
        got = f"slice={(wanted or '')[:40]!r} of pictures that form no evenly spaced stack"
        raise InputError(f"{request.name}: got {got}, expected a number from 0 to {len(stack.shots) - 1}; choose one")
    rows, columns = stack.shots[0].size
    shape = (columns, rows, len(stack.volumes[0]))
    order, flips, codes = axes_of(stack.affine)
    lengths = tuple(shape[axis] for axis in order)
    plane = choose_plane(wanted, lengths, request.name, volumes=len(stack.volumes), across=order.index(2))
    require_size(request.name, *(length for axis, length in enumerate(lengths) if axis != plane.axis))
    volume = stack.volumes[plane.volume or 0]
    grid = VolumeGrid(
        shape,
        stack.affine,
        order,
        flips,
        plane.axis,
        plane.index,
        None,
        codes=codes,
        sources=tuple(shot.source for shot in volume),
        volume=plane.volume,
        space="LPS",
    )
    cut = order[plane.axis]
    at = shape[cut] - 1 - plane.index if flips[plane.axis] else plane.index
    pixels, values, heads = _along(volume[at], request) if cut == 2 else _across(volume, cut, at, request)
    head = _middle(heads)
    grid = replace(grid, laterality=laterality(head))
    thin = replace(grid, shape=tuple(1 if axis == cut else length for axis, length in enumerate(shape)), index=0)
    edges = (*(volume[0].spacing or ())[::-1], float(np.linalg.norm(stack.affine[:3, 2])))
    column, row = (edges[order[axis]] for axis in range(3) if axis != plane.axis)
    unnamed = plane.volume is not None and "@" not in (wanted or "")
    several = f"the first of {len(stack.volumes)} volumes; name another by slice={plane}"
    notes = (
        *told_choice(wanted, str(plane), lengths[plane.axis]),
        *stack.notes,
        *spacing_of(head)[1],
        *((several,) if unnamed else ()),
    )
    return _image(
        _turned(pixels, thin),
        None if values is None else _turned(values, thin),
        grid,
        Spacing(row, column),
        heads,
        str(plane),
        notes,
        request,
    )


def _along(shot: Shot, request: Request) -> Shown:
    """Show one frame, (columns, rows) as the source axes of a volume run."""
    stored, head = _read(shot)
    pixels, values = _shown(stored, head, request)
    return pixels.swapaxes(0, 1), None if values is None else values.T, [head]


def _across(volume: Sequence[Shot], cut: int, at: int, request: Request) -> Shown:
    """Take one column (``cut`` 0) or row (1) of every frame; shown by the rules of the middle frame."""
    lines: list[NDArray[Any]] = []
    heads: list[Dataset] = []
    with Files() as files:
        for _, some in groupby(volume, key=lambda shot: shot.source._replace(frame=0)):
            shots = list(some)
            name = name_of(shots[0].source)
            with decoding(name, EXPECTED), files.open(shots[0].source) as file:
                dataset, _ = header(file, name)
                frames = [shot.source.frame for shot in shots]
                for frame, stored in zip(frames, decoded(file, dataset, frames, name), strict=True):
                    head = head_of(dataset, frame)
                    if is_colour(stored, head):
                        raise InputError(f"{request.name}: got colour pictures, expected grey ones to cut across")
                    lines.append(np.take(stored, at, axis=1 - cut))
                    heads.append(head)
    whole = completed(heads)
    values, padding = ([of(*each) for each in zip(lines, whole, strict=True)] for of in (rescaled, padding_of))
    with decoding(request.name, EXPECTED):
        return *_grey(np.stack(values, axis=-1), np.stack(padding, axis=-1), _middle(heads), request), heads


def _middle(heads: Sequence[Dataset]) -> Dataset:
    return heads[len(heads) // 2]


def _turned(array: NDArray[Any], thin: VolumeGrid) -> NDArray[Any]:
    if array.ndim == 3:
        return np.stack([_turned(array[..., channel], thin) for channel in range(3)], axis=-1)
    return thin.displayed(array.reshape(thin.shape))


def _image(
    pixels: NDArray[np.uint8],
    values: Values | None,
    grid: Grid,
    spacing: Spacing | None,
    heads: Sequence[Dataset],
    slice: str | None,
    notes: tuple[str, ...],
    request: Request,
) -> MedicalImage:
    return MedicalImage(
        pixels,
        grid,
        spacing=spacing,
        values=values,
        modality=modality(_middle(heads)),
        uri=request.uri,
        slice=None if slice is None else request.prefix + slice,
        window=request.window,
        notes=(*request.notes, *notes, *notes_on_shear(grid, ".nrrd or .dcm"), *_faults(heads), *_on_text(heads)),
    )


def _faults(heads: Sequence[Dataset]) -> list[str]:
    """Name what is not in the headers as it should be; what they hold, which may be anything, is not repeated."""
    wrong = Counter(name for head in heads for name in (*unreadable(head), *broken_tables(head)))
    odd = Counter(name for head in heads for name in retyped(head))
    taken = Counter({name: wrong.pop(name) for name in completable(heads) if name in wrong})
    found = {
        "empty or unreadable in the file, and taken as missing": wrong,
        "empty or unreadable, and taken from the other planes": taken,
        "written as text in the file, and read as numbers": odd,
    }
    return [f"{what}: {', '.join(_counted(names, len(heads)))}" for what, names in found.items() if names]


def _counted(names: Counter[str], of: int) -> list[str]:
    return [name if count == of else f"{name} (in {count} of {of} planes)" for name, count in names.items()]


def _on_text(heads: Sequence[Dataset]) -> list[str]:
    return list(dict.fromkeys(note for head in heads for note in notes_on_text(head)))
