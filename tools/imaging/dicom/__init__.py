"""DICOM: a picture of a file, single-frame or multi-frame, or of the series in a folder or a zip.

A number is a stored frame, in a file as it counts them, in a series by position along the normal, and is shown as it is
stored. ``axial:12`` and its like cut across the patient's axes and are shown as radiologists do.
"""

from dataclasses import replace
from pathlib import Path

from pydicom import Dataset

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text
from ibisagent.tools.imaging.decoding import decode_guard, require_size
from ibisagent.tools.imaging.dicom.rendering import RenderRequest, render_frame, render_plane
from ibisagent.tools.imaging.dicom.series import (
    Series,
    choose_series,
    count_frames,
    describe_series_choice,
    scan_folder,
    scan_zip,
)
from ibisagent.tools.imaging.dicom.source_files import (
    EXPECTED,
    SourceFiles,
    describe_uid,
    read_full_header,
    read_header,
)
from ibisagent.tools.imaging.dicom.stacks import Stack, build_stack, read_frames
from ibisagent.tools.imaging.grids import DicomSource
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.slices import choose_frame, describe_choice

__all__ = ["from_file", "from_folder", "from_zip", "read_full_header"]


def from_file(path: Path, wanted: str | None, window: str | None) -> MedicalImage:
    """Open a file's only frame, the one that ``wanted`` names, or the middle plane of a volume.

    A file without a preamble is read too. One of several frames that form no volume must be named.
    """
    name = printable_text(path.name)
    with decode_guard(name, EXPECTED):
        stack, count = _read_stack(DicomSource(path), name)
        request = RenderRequest(name, str(path), window)
        if _is_plane(stack, wanted):
            return render_plane(stack, wanted, request)
        number = choose_frame(wanted, count, name, default=None)
        frame = next((frame for frame in stack.frames if frame.source.frame == number), stack.frames[0])
        frame = replace(frame, source=frame.source._replace(frame=number))
        return render_frame(stack, frame, None if count == 1 and wanted is None else str(number), request)


def _read_stack(source: DicomSource, name: str) -> tuple[Stack, int]:
    """Read where a file's frames lie, and how many there are; without a place of its own each is where the first is."""
    with SourceFiles() as files, files.open(source) as file:
        dataset, pixels = read_header(file, name)
    _require_pixels(dataset, pixels, name)
    count = count_frames(dataset, name)
    placed = count == 1 or "PerFrameFunctionalGroupsSequence" in dataset or "GridFrameOffsetVector" in dataset
    return build_stack(read_frames(dataset, source, count if placed else 1)), count


def _require_pixels(dataset: Dataset, pixels: bool, name: str) -> None:
    """Check what the header says, before any pixel is decoded."""
    if not pixels and not any(keyword in dataset for keyword in ("SOPClassUID", "Rows", "FileSetID")):
        raise InputError(f"{name}: got a file without DICOM elements, expected {EXPECTED}; check its kind")
    if not pixels:
        kind = describe_uid(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID"))
        raise InputError(f"{name}: got {kind} without pixel data, expected {EXPECTED}; choose an image file")
    if "Rows" not in dataset or "Columns" not in dataset:
        raise InputError(f"{name}: got pixel data without Rows or Columns, expected {EXPECTED}; export it anew")
    require_size(name, int(dataset.Rows), int(dataset.Columns))


def _is_plane(stack: Stack, wanted: str | None) -> bool:
    """Whether a plane of a volume is meant, not a frame; of several planes the middle one is shown as a plane."""
    named = (wanted or "middle").strip().lower()
    several = bool(stack.volumes) and len(stack.volumes[0]) > 1
    return ":" in named or "@" in named or (named == "middle" and several)


def from_folder(path: Path, wanted: str | None, window: str | None) -> MedicalImage:
    """Open a picture of the series in a folder, the middle one by default."""
    name = printable_text(path.resolve().name)
    with decode_guard(name, EXPECTED):
        return _open_series(scan_folder(path), RenderRequest(name, str(path), window), wanted)


def from_zip(path: Path, wanted: str | None, window: str | None) -> MedicalImage:
    """Open a picture of the series in a zip, the middle one by default; nothing is unpacked to the disk."""
    name = printable_text(path.name)
    with decode_guard(name, "a zip of DICOM files"):
        return _open_series(scan_zip(path), RenderRequest(name, str(path), window), wanted)


def _open_series(found: list[Series], request: RenderRequest, wanted: str | None) -> MedicalImage:
    name = request.name
    chosen, rest, prefix = choose_series(found, wanted, name)
    sizes = sorted({frame.size for frame in chosen.frames})
    if len(sizes) > 1:
        got = " and ".join(f"{rows} x {columns}" for rows, columns in sizes[:3])
        raise InputError(f"{name}: got pictures of {got} in one series, expected one size; open them one by one")
    stack = build_stack(chosen.frames)
    loose = chosen.file_count > 1 and not stack.volumes and not stack.notes
    unordered = ("the pictures form no stack and are in the order of their numbers",) if loose else ()
    notes = (*describe_series_choice(found, chosen, wanted), *chosen.notes, *unordered)
    request = replace(request, prefix=prefix, notes=notes)
    if _is_plane(stack, rest):
        return render_plane(stack, rest, request)
    count = len(stack.frames)
    number = choose_frame(rest, count, name, default=count // 2)
    request = replace(request, notes=(*describe_choice(rest, str(number), count), *request.notes))
    return render_frame(stack, stack.frames[number], None if count == 1 and rest is None else str(number), request)
