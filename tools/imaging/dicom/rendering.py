"""The picture of a stack of frames: one of them as it is stored, or a plane across the patient's axes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.decoding import decode_guard, require_size
from ibisagent.tools.imaging.dicom.display import is_colour, render_colour, render_grey
from ibisagent.tools.imaging.dicom.elements import get_frame_header, list_mistyped, list_unreadable
from ibisagent.tools.imaging.dicom.header_facts import (
    describe_annotations,
    read_axes,
    read_laterality,
    read_modality,
    read_spacing,
)
from ibisagent.tools.imaging.dicom.lookup_tables import list_broken_tables
from ibisagent.tools.imaging.dicom.modality_values import (
    apply_modality_lut,
    fill_missing_values,
    find_missing_values,
    find_padding,
    list_absent_scale,
)
from ibisagent.tools.imaging.dicom.source_files import (
    EXPECTED,
    SourceFiles,
    decode_frames,
    is_counted,
    read_header,
    source_name,
)
from ibisagent.tools.imaging.dicom.stacks import Stack, StoredFrame, compute_affine
from ibisagent.tools.imaging.grids import Grid, Mask, Spacing, VolumeGrid
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.slices import choose_plane, describe_choice
from ibisagent.tools.imaging.volume import describe_shear, find_display_axes
from ibisagent.tools.imaging.window import to_exact_float

__all__ = ["RenderRequest", "render_frame", "render_plane"]

Values = NDArray[np.float32] | NDArray[np.float64]
Rendered = tuple[NDArray[np.uint8], Values | None, list[Dataset]]

_RADIOLOGICAL = {("P", "L"), ("F", "L"), ("F", "P")}


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """What a caller requested, and how the source is named: in errors, and to open the same picture again."""

    name: str
    uri: str
    window: str | None
    prefix: str = ""
    notes: tuple[str, ...] = ()


def render_frame(stack: Stack, frame: StoredFrame, slice: str | None, request: RenderRequest) -> MedicalImage:
    """Show one frame as it is stored."""
    stored, head = _read_frame(frame)
    pixels, values = _render(stored, head, request)
    grid = _build_frame_grid(stack, frame, head, (pixels.shape[0], pixels.shape[1]))
    spacing, notes = read_spacing(head)
    if spacing is None and frame.spacing is not None:  # its own header's is unreadable, that of the others was taken
        spacing = Spacing(*frame.spacing)
    if isinstance(grid, VolumeGrid) and grid.axes not in _RADIOLOGICAL:
        down, right = grid.axes or ("", "")
        notes.append(f"shown as stored, not as radiologists look: down is {down}, right is {right}")
    return _build_image(pixels, values, grid, spacing, [head], slice, (*stack.notes, *notes), request)


def _read_frame(frame: StoredFrame) -> tuple[NDArray[Any], Dataset]:
    name, number = source_name(frame.source), frame.source.frame
    with decode_guard(name, EXPECTED), SourceFiles() as files, files.open(frame.source) as file:
        dataset, _ = read_header(file, name)
        require_size(name, int(dataset.Rows), int(dataset.Columns))
        (stored,) = decode_frames(file, dataset, [number], name)
        return stored, get_frame_header(dataset, number)


def _render(stored: NDArray[Any], head: Dataset, request: RenderRequest) -> tuple[NDArray[np.uint8], Values | None]:
    with decode_guard(request.name, EXPECTED):
        if is_colour(stored, head):
            return render_colour(stored, head, request.name, request.window), None
        return _render_grey(apply_modality_lut(stored, head), find_padding(stored, head), head, request)


def _render_grey(
    values: NDArray[Any], padding: Mask, head: Dataset, request: RenderRequest
) -> tuple[NDArray[np.uint8], Values]:
    """Show values, and give them with NaN where they are no picture."""
    known = to_exact_float(values)
    known[padding] = np.nan
    return render_grey(values, padding, head, request.name, request.window), known


def _build_frame_grid(stack: Stack, frame: StoredFrame, head: Dataset, size: tuple[int, int]) -> Grid:
    """Return the place of a frame in its volume, alone where it is in none, or no place at all."""
    if not frame.is_placed:
        return Grid(size, codes=read_axes(head), laterality=read_laterality(head), sources=(frame.source,))
    number = next((number for number, volume in enumerate(stack.volumes) if frame in volume), None)
    volume = (frame,) if number is None else stack.volumes[number]
    affine = compute_affine(volume)
    return VolumeGrid(
        shape=(size[1], size[0], len(volume)),
        affine=affine,
        order=(0, 1, 2),
        flips=(True, True, False),
        axis=2,
        index=volume.index(frame),
        header=None,
        codes=find_display_axes(affine)[2],
        laterality=read_laterality(head),
        sources=tuple(one.source for one in volume),
        volume=number if len(stack.volumes) > 1 else None,
        space="LPS",
    )


def render_plane(stack: Stack, wanted: str | None, request: RenderRequest) -> MedicalImage:
    """Show a plane across the patient's axes as radiologists do; by default the middle one of those that were taken."""
    if stack.affine is None:
        got = f"slice={(wanted or '')[:40]!r} of pictures that form no evenly spaced stack"
        raise InputError(f"{request.name}: got {got}, expected a number from 0 to {len(stack.frames) - 1}; choose one")
    rows, columns = stack.frames[0].size
    shape = (columns, rows, len(stack.volumes[0]))
    order, flips, codes = find_display_axes(stack.affine)
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
        sources=tuple(frame.source for frame in volume),
        volume=plane.volume,
        space="LPS",
    )
    cut = order[plane.axis]
    at = shape[cut] - 1 - plane.index if flips[plane.axis] else plane.index
    pixels, values, heads = (
        _render_whole_frame(volume[at], request) if cut == 2 else _render_cut(volume, cut, at, request)
    )
    head = _get_middle(heads)
    grid = replace(grid, laterality=read_laterality(head))
    thin = replace(grid, shape=tuple(1 if axis == cut else length for axis, length in enumerate(shape)), index=0)
    edges = (*(volume[0].spacing or ())[::-1], float(np.linalg.norm(stack.affine[:3, 2])))
    column, row = (edges[order[axis]] for axis in range(3) if axis != plane.axis)
    unnamed = plane.volume is not None and "@" not in (wanted or "")
    several = f"the first of {len(stack.volumes)} volumes; name another by slice={plane}"
    notes = (
        *describe_choice(wanted, str(plane), lengths[plane.axis]),
        *stack.notes,
        *read_spacing(head)[1],
        *((several,) if unnamed else ()),
    )
    return _build_image(
        _to_display(pixels, thin),
        None if values is None else _to_display(values, thin),
        grid,
        Spacing(row, column),
        heads,
        str(plane),
        notes,
        request,
    )


def _render_whole_frame(frame: StoredFrame, request: RenderRequest) -> Rendered:
    """Show one frame, (columns, rows) as the source axes of a volume run."""
    stored, head = _read_frame(frame)
    pixels, values = _render(stored, head, request)
    return pixels.swapaxes(0, 1), None if values is None else values.T, [head]


def _render_cut(volume: Sequence[StoredFrame], cut: int, at: int, request: RenderRequest) -> Rendered:
    """Take one column (``cut`` 0) or row (1) of every frame; shown by the rules of the middle frame."""
    lines: list[NDArray[Any]] = []
    heads: list[Dataset] = []
    with SourceFiles() as files:
        for _, group in groupby(volume, key=lambda frame: frame.source._replace(frame=0)):
            frames = list(group)
            name = source_name(frames[0].source)
            with decode_guard(name, EXPECTED), files.open(frames[0].source) as file:
                dataset, _ = read_header(file, name)
                numbers = [frame.source.frame for frame in frames]
                for number, stored in zip(numbers, decode_frames(file, dataset, numbers, name), strict=True):
                    head = get_frame_header(dataset, number)
                    if is_colour(stored, head):
                        raise InputError(f"{request.name}: got colour pictures, expected grey ones to cut across")
                    lines.append(np.take(stored, at, axis=1 - cut))
                    heads.append(head)
    filled = fill_missing_values(heads)
    values = [apply_modality_lut(line, head) for line, head in zip(lines, filled, strict=True)]
    paddings = [find_padding(line, head) for line, head in zip(lines, filled, strict=True)]
    with decode_guard(request.name, EXPECTED):
        stacked = np.stack(values, axis=-1), np.stack(paddings, axis=-1)
        return *_render_grey(*stacked, _get_middle(heads), request), heads


def _get_middle(heads: Sequence[Dataset]) -> Dataset:
    return heads[len(heads) // 2]


def _to_display(array: NDArray[Any], thin: VolumeGrid) -> NDArray[Any]:
    if array.ndim == 3:
        return np.stack([_to_display(array[..., channel], thin) for channel in range(3)], axis=-1)
    return thin.to_display(array.reshape(thin.shape))


def _build_image(
    pixels: NDArray[np.uint8],
    values: Values | None,
    grid: Grid,
    spacing: Spacing | None,
    heads: Sequence[Dataset],
    slice: str | None,
    notes: tuple[str, ...],
    request: RenderRequest,
) -> MedicalImage:
    return MedicalImage(
        pixels,
        grid,
        spacing=spacing,
        values=values,
        modality=read_modality(_get_middle(heads)),
        uri=request.uri,
        slice=None if slice is None else request.prefix + slice,
        window=request.window,
        notes=(
            *request.notes,
            *notes,
            *describe_shear(grid, ".nrrd or .dcm"),
            *_list_faults(heads),
            *_list_annotations(heads),
        ),
    )


def _list_faults(heads: Sequence[Dataset]) -> list[str]:
    """Name what is not in the headers as it should be; what they hold, which may be anything, is not repeated."""
    missing = Counter(name for head in heads for name in (*list_unreadable(head), *list_broken_tables(head)))
    mistyped = Counter(name for head in heads for name in list_mistyped(head))
    known = find_missing_values(heads)
    counted = Counter("NumberOfFrames" for head in heads if is_counted(head))
    absent = Counter(list_absent_scale(heads))
    added = Counter({name: absent.pop(name) for name in known if name in absent})
    filled = Counter({name: missing.pop(name) for name in known if name in missing})
    found = {
        "empty or unreadable in the file, and taken as missing": missing,
        "empty or unreadable, and taken from the other planes": filled,
        "not in the file, and taken from the other planes": added,
        "not in the file, and taken as missing, unlike in the other planes": absent,
        "missing or unreadable in the file, and counted in its pixel data": counted,
        "written as text in the file, and read as numbers": mistyped,
    }
    return [f"{what}: {', '.join(_format_counts(names, len(heads)))}" for what, names in found.items() if names]


def _format_counts(names: Counter[str], total: int) -> list[str]:
    return [name if count == total else f"{name} (in {count} of {total} planes)" for name, count in names.items()]


def _list_annotations(heads: Sequence[Dataset]) -> list[str]:
    return list(dict.fromkeys(note for head in heads for note in describe_annotations(head)))
