"""DICOM: a picture of a file, single-frame or multi-frame, or of the series in a folder or a zip.

A number is a stored frame, in a file as it counts them, in a series by position along the normal, and is shown as it is
stored. ``axial:12`` and its like cut across the patient's axes and are shown as radiologists do.
"""

from dataclasses import replace
from pathlib import Path

from pydicom import Dataset

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import label
from ibisagent.tools.imaging.decoding import decoding, require_size
from ibisagent.tools.imaging.dicom.files import EXPECTED, Files, dataset_of, header, known
from ibisagent.tools.imaging.dicom.rendering import Request, of_frame, of_plane
from ibisagent.tools.imaging.dicom.series import Series, choose_series, frames_of, in_folder, in_zip, told_series
from ibisagent.tools.imaging.dicom.stacks import Stack, shots_of, stack_of
from ibisagent.tools.imaging.grids import DicomSource
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.slices import choose_frame, told_choice

__all__ = ["dataset_of", "from_file", "from_folder", "from_zip"]


def from_file(path: Path, wanted: str | None, window: str | None) -> MedicalImage:
    """Open a file's only frame, the one that ``wanted`` names, or the middle plane of a volume.

    A file without a preamble is read too. One of several frames that form no volume must be named.
    """
    name = label(path.name)
    with decoding(name, EXPECTED):
        stack, count = _frames(DicomSource(path), name)
        request = Request(name, str(path), window)
        if _is_plane(stack, wanted):
            return of_plane(stack, wanted, request)
        number = choose_frame(wanted, count, name, default=None)
        shot = next((shot for shot in stack.shots if shot.source.frame == number), stack.shots[0])
        shot = replace(shot, source=shot.source._replace(frame=number))
        return of_frame(stack, shot, None if count == 1 and wanted is None else str(number), request)


def _frames(source: DicomSource, name: str) -> tuple[Stack, int]:
    """Read where a file's frames lie, and how many there are; without a place of its own each is where the first is."""
    with Files() as files, files.open(source) as file:
        dataset, pixels = header(file, name)
    _require_pixels(dataset, pixels, name)
    count = frames_of(dataset, name)
    placed = count == 1 or "PerFrameFunctionalGroupsSequence" in dataset or "GridFrameOffsetVector" in dataset
    return stack_of(shots_of(dataset, source, count if placed else 1)), count


def _require_pixels(dataset: Dataset, pixels: bool, name: str) -> None:
    """Check what the header says, before any pixel is decoded."""
    if not pixels and not any(keyword in dataset for keyword in ("SOPClassUID", "Rows", "FileSetID")):
        raise InputError(f"{name}: got a file without DICOM elements, expected {EXPECTED}; check its kind")
    if not pixels:
        kind = known(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID"))
        raise InputError(f"{name}: got {kind} without pixel data, expected {EXPECTED}; choose an image file")
    if "Rows" not in dataset or "Columns" not in dataset:
        raise InputError(f"{name}: got pixel data without Rows or Columns, expected {EXPECTED}; export it anew")
    require_size(name, int(dataset.Rows), int(dataset.Columns))


def _is_plane(stack: Stack, wanted: str | None) -> bool:
    """Tell a plane of a volume from a frame; of several planes the middle one is shown as a plane."""
    named = (wanted or "middle").strip().lower()
    several = bool(stack.volumes) and len(stack.volumes[0]) > 1
    return ":" in named or "@" in named or (named == "middle" and several)


def from_folder(path: Path, wanted: str | None, window: str | None) -> MedicalImage:
    """Open a picture of the series in a folder, the middle one by default."""
    name = label(path.resolve().name)
    with decoding(name, EXPECTED):
        return _from_series(in_folder(path), Request(name, str(path), window), wanted)


def from_zip(path: Path, wanted: str | None, window: str | None) -> MedicalImage:
    """Open a picture of the series in a zip, the middle one by default; nothing is unpacked to the disk."""
    name = label(path.name)
    with decoding(name, "a zip of DICOM files"):
        return _from_series(in_zip(path), Request(name, str(path), window), wanted)


def _from_series(found: list[Series], request: Request, wanted: str | None) -> MedicalImage:
    name = request.name
    chosen, rest, prefix = choose_series(found, wanted, name)
    sizes = sorted({shot.size for shot in chosen.shots})
    if len(sizes) > 1:
        got = " and ".join(f"{rows} x {columns}" for rows, columns in sizes[:3])
        raise InputError(f"{name}: got pictures of {got} in one series, expected one size; open them one by one")
    stack = stack_of(chosen.shots)
    loose = chosen.files > 1 and not stack.volumes and not stack.notes
    unordered = ("the pictures form no stack and are in the order of their numbers",) if loose else ()
    notes = (*told_series(found, chosen, wanted), *chosen.notes, *unordered)
    request = replace(request, prefix=prefix, notes=notes)
    if _is_plane(stack, rest):
        return of_plane(stack, rest, request)
    count = len(stack.shots)
    number = choose_frame(rest, count, name, default=count // 2)
    request = replace(request, notes=(*told_choice(rest, str(number), count), *request.notes))
    return of_frame(stack, stack.shots[number], None if count == 1 and rest is None else str(number), request)
