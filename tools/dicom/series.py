"""A folder or a zip as DICOM series: which files belong together, and which series is meant.

Only the headers are read, and of them only what orders the pictures. Files that are no DICOM pictures are passed over.
"""

import itertools
import operator
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pydicom import Dataset
from pydicom.tag import BaseTag, Tag

from ibisagent.tools.cache import OnceCache
from ibisagent.tools.decoding import require_size
from ibisagent.tools.dicom.about import modality
from ibisagent.tools.dicom.elements import head_of, readable, texts, whole
from ibisagent.tools.dicom.files import Files, header, members, name_of
from ibisagent.tools.dicom.outliers import without_outliers
from ibisagent.tools.dicom.stacks import PLACED, Shot, shots_of
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import label
from ibisagent.tools.grids import DicomSource

__all__ = ["Series", "choose_series", "frames_of", "in_folder", "in_zip", "told_series"]

_TAGS: list[BaseTag | int] = [
    Tag(keyword)
    for keyword in (
        *("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality", "ImageType", "NumberOfFrames", *PLACED),
        *("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
        *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    )
]
_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_ENDINGS = (".dcm", ".dicom", ".ima")
_MAX_FILES = _MAX_FRAMES = 2**16
_LISTED = 20
_NOT_IMAGES = {"SEG", "RTDOSE"}  # when there are others, it is those that are looked at
_scans: "OnceCache[list[Series]]" = OnceCache(16)


@dataclass(frozen=True, slots=True)
class Series:
    """The frames of one SeriesInstanceUID in the order in which they were found; ``number``: how a user names it."""

    number: int
    modality: str | None
    shots: tuple[Shot, ...]
    files: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _File:
    """``lost``: what of its place cannot be read; ``scout``: it says that it is a localizer."""

    series: str
    uid: str
    number: int
    modality: str | None
    shots: tuple[Shot, ...]
    lost: tuple[str, ...]
    scout: bool


def in_folder(folder: Path) -> list[Series]:
    """Scan a folder and what lies below it; once for as long as none of the files changes."""
    found = sorted(itertools.islice(_walk(folder), _MAX_FILES + 1))
    if len(found) > _MAX_FILES:
        got = f"a folder of over {_MAX_FILES:,} files"
        raise InputError(f"{label(folder.name)}: got {got}, expected those of one study; name the folder further down")
    key = (folder.absolute(), tuple((str(path), told.st_mtime_ns, told.st_size) for path, told in found))
    return _scans.get(key, lambda: _series((DicomSource(path) for path, _ in found), label(folder.name)))


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(root, name)
            if not name.startswith(".") and name != "DICOMDIR" and path.is_file():
                yield path, path.stat()


def in_zip(path: Path) -> list[Series]:
    """Scan a zip as if it were a folder."""
    told = path.stat()
    key = (path.absolute(), told.st_mtime_ns, told.st_size)
    return _scans.get(key, lambda: _series(members(path), label(path.name)))


def _series(sources: Iterable[DicomSource], name: str) -> list[Series]:
    groups: dict[str, list[_File]] = {}
    unread = 0
    with Files() as files:
        for source in sources:
            try:
                with files.open(source) as file:
                    found = _picture(file, source)
            except Exception:
                unread += 1  # one broken file must not hide the others
                continue
            if found is not None:
                groups.setdefault(found.series, []).append(found)
    if not groups:
        got = f"a folder or zip without DICOM pictures{f' ({unread} files cannot be read)' if unread else ''}"
        raise InputError(f"{name}: got {got}, expected those of one series; check the path")
    numbers = [group[0].number for group in groups.values()]
    clear = min(numbers) >= 0 and len(set(numbers)) == len(numbers)
    return [
        _one(number if clear else place, group, unread)
        for place, (number, group) in enumerate(zip(numbers, groups.values(), strict=True))
    ]


def _picture(file: BinaryIO, source: DicomSource) -> _File | None:
    """Read what orders a picture; None for a file of another kind, or a DICOM object without pixels."""
    head = file.read(132)
    if head[128:] != b"DICM" and not (source.member or source.path.name).lower().endswith(_ENDINGS):
        return None
    file.seek(0)
    dataset, pixels = header(file, name_of(source), _TAGS)
    if not pixels or "Rows" not in dataset or "Columns" not in dataset:
        return None
    require_size(name_of(source), int(dataset.Rows), int(dataset.Columns))
    shots = tuple(shots_of(dataset, source, frames_of(dataset, name_of(source))))
    series, uid = (next(iter(texts(dataset, f"{kind}InstanceUID")), "") for kind in ("Series", "SOP"))
    first = head_of(dataset, 0, PLACED)
    return _File(
        series=series,
        uid=uid or str(source),
        number=whole(dataset, "SeriesNumber", -1),
        modality=modality(dataset),
        shots=shots,
        lost=tuple(keyword for keyword in _PLACE if not readable(first, keyword)),
        scout="LOCALIZER" in texts(dataset, "ImageType"),
    )


def _one(number: int, group: list[_File], unread: int) -> Series:
    """Make a series of its files, without those that hold nothing of its stack where others do."""
    spaced = _spaced(group)
    found = [file for file in spaced if not file.lost] or group
    lent = sum(map(operator.is_not, spaced, group))
    files = list({file.uid: file for file in reversed(found)}.values())
    scans = [file for file in files if not file.scout] or files
    left_out = {
        "files whose PixelSpacing cannot be read, and is taken from the others": lent,
        "files left out because they cannot be read": unread + len(group) - len(found),
        "files left out as copies of others": len(found) - len(files),
        "files left out as localizers": len(files) - len(scans),
    }
    shots, notes = without_outliers([shot for file in scans for shot in file.shots])
    told = (*(f"{what}: {count}" for what, count in left_out.items() if count), *notes)
    return Series(number, group[0].modality, shots, len({shot.source._replace(frame=0) for shot in shots}), told)


def _spaced(group: list[_File]) -> list[_File]:
    """Return files of which only PixelSpacing cannot be read with that of the others, where all of these agree."""
    known = {shot.spacing for file in group if not file.lost for shot in file.shots}
    if len(known) != 1:
        return group
    (spacing,) = known
    return [
        replace(file, lost=(), shots=tuple(replace(shot, spacing=spacing) for shot in file.shots))
        if file.lost == ("PixelSpacing",)
        else file
        for file in group
    ]


def frames_of(head: Dataset, name: str) -> int:
    """Give how many frames a file says it has; absurdly many are an `InputError`."""
    frames = whole(head, "NumberOfFrames", 1) or 1
    if not 1 <= frames <= _MAX_FRAMES:
        raise InputError(f"{name}: got {frames:,} frames in one file, expected at most {_MAX_FRAMES:,}; split it")
    return frames


def choose_series(found: list[Series], wanted: str | None, name: str) -> tuple[Series, str | None, str]:
    """Read ``4/axial:12``: the series, what is left of ``wanted``, and the prefix that names the series again.

    With one series, or one of pictures beside segmentations and doses, none needs to be named.
    """
    number, slash, rest = (wanted or "").partition("/")
    if slash:
        named = [series for series in found if number.strip() == str(series.number)]
        if named:
            return named[0], rest or None, f"{named[0].number}/"
    else:
        pictures = [series for series in found if series.modality not in _NOT_IMAGES] or found
        if len(pictures) == 1:
            return pictures[0], wanted, "" if len(found) == 1 else f"{pictures[0].number}/"
    some = "; ".join(_told(series) for series in sorted(found, key=lambda series: series.number)[:_LISTED])
    expected = f"expected one, named as slice=NUMBER/middle: {some}"
    raise InputError(f"{name}: got {len(found)} series and slice={(wanted or '')[:40]!r}, {expected}; choose one")


def told_series(found: list[Series], chosen: Series, wanted: str | None) -> list[str]:
    """Say, as a picture's note, which of several series was taken where the caller named none."""
    if len(found) == 1 or "/" in (wanted or ""):
        return []
    return [f"series: took {_told(chosen)}, the only one of pictures among {len(found)}; choose with slice=NUMBER/..."]


def _told(series: Series) -> str:
    """Describe a series without its description, which is free text and may name a patient."""
    sizes = {shot.size for shot in series.shots}
    size = "{} x {}".format(*sizes.pop()) if len(sizes) == 1 else "several sizes"
    return f"{series.number} ({series.modality or 'unknown'}, {len(series.shots)} pictures of {size})"
