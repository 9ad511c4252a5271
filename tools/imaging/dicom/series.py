"""A folder or a zip as DICOM series: which files belong together, and which series is meant.

Only the headers are read, and of them only what orders the pictures. Files that are no DICOM pictures are skipped.
"""

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pydicom import Dataset
from pydicom.tag import BaseTag, Tag

from ibisagent.tools.cache import OnceCache
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text
from ibisagent.tools.imaging.decoding import require_size
from ibisagent.tools.imaging.dicom.elements import get_frame_header, is_readable, read_int, read_texts
from ibisagent.tools.imaging.dicom.header_facts import read_modality
from ibisagent.tools.imaging.dicom.series_outliers import drop_outliers
from ibisagent.tools.imaging.dicom.source_files import SourceFiles, list_members, read_header, source_name
from ibisagent.tools.imaging.dicom.stacks import GEOMETRY_KEYWORDS, StoredFrame, read_frames
from ibisagent.tools.imaging.grids import DicomSource

__all__ = ["Series", "choose_series", "count_frames", "describe_series_choice", "scan_folder", "scan_zip"]

_TAGS: list[BaseTag | int] = [
    Tag(keyword)
    for keyword in (
        *(
            "SOPInstanceUID",
            "SeriesInstanceUID",
            "SeriesNumber",
            "Modality",
            "ImageType",
            "NumberOfFrames",
            *GEOMETRY_KEYWORDS,
        ),
        *("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
        *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    )
]
_REQUIRED_GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_SHARED = ("ImageOrientationPatient", "PixelSpacing")  # what the pictures of a stack have in common
_ENDINGS = (".dcm", ".dicom", ".ima")
_MAX_FILES = _MAX_FRAMES = 2**16
_MAX_LISTED = 20
_NOT_IMAGES = {"SEG", "RTDOSE"}  # when there are others, it is those that are looked at
_scans: "OnceCache[list[Series]]" = OnceCache(16)


@dataclass(frozen=True, slots=True)
class Series:
    """The frames of one SeriesInstanceUID in the order in which they were found; ``number``: how a user names it."""

    number: int
    modality: str | None
    frames: tuple[StoredFrame, ...]
    file_count: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _File:
    """``unreadable``: the elements of its position that are; ``is_localizer``: the file says that it is one."""

    series: str
    uid: str
    number: int
    modality: str | None
    frames: tuple[StoredFrame, ...]
    unreadable: tuple[str, ...]
    is_localizer: bool


def scan_folder(folder: Path) -> list[Series]:
    """Scan a folder and what lies below it; once for as long as none of the files changes."""
    found = sorted(itertools.islice(_walk(folder), _MAX_FILES + 1))
    if len(found) > _MAX_FILES:
        got = f"a folder of over {_MAX_FILES:,} files"
        raise InputError(
            f"{printable_text(folder.name)}: got {got}, expected those of one study; name the folder further down"
        )
    key = (folder.absolute(), tuple((str(path), status.st_mtime_ns, status.st_size) for path, status in found))
    return _scans.get(
        key, lambda: _group_by_series((DicomSource(path) for path, _ in found), printable_text(folder.name))
    )


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(root, name)
            if not name.startswith(".") and name != "DICOMDIR" and path.is_file():
                yield path, path.stat()


def scan_zip(path: Path) -> list[Series]:
    """Scan a zip as if it were a folder."""
    status = path.stat()
    key = (path.absolute(), status.st_mtime_ns, status.st_size)
    return _scans.get(key, lambda: _group_by_series(list_members(path), printable_text(path.name)))


def _group_by_series(sources: Iterable[DicomSource], name: str) -> list[Series]:
    groups: dict[str, list[_File]] = {}
    unread = 0
    with SourceFiles() as files:
        for source in sources:
            try:
                with files.open(source) as file:
                    found = _read_file(file, source)
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
        _build_series(number if clear else place, group, unread)
        for place, (number, group) in enumerate(zip(numbers, groups.values(), strict=True))
    ]


def _read_file(file: BinaryIO, source: DicomSource) -> _File | None:
    """Read what orders a picture; None for a file of another kind, or a DICOM object without pixels."""
    head = file.read(132)
    if head[128:] != b"DICM" and not (source.member or source.path.name).lower().endswith(_ENDINGS):
        return None
    file.seek(0)
    dataset, pixels = read_header(file, source_name(source), _TAGS)
    if not pixels or "Rows" not in dataset or "Columns" not in dataset:
        return None
    require_size(source_name(source), int(dataset.Rows), int(dataset.Columns))
    frames = tuple(read_frames(dataset, source, count_frames(dataset, source_name(source))))
    series, uid = (next(iter(read_texts(dataset, f"{kind}InstanceUID")), "") for kind in ("Series", "SOP"))
    first = get_frame_header(dataset, 0, GEOMETRY_KEYWORDS)
    return _File(
        series=series,
        uid=uid or str(source),
        number=read_int(dataset, "SeriesNumber", -1),
        modality=read_modality(dataset),
        frames=frames,
        unreadable=tuple(keyword for keyword in _REQUIRED_GEOMETRY if not is_readable(first, keyword)),
        is_localizer="LOCALIZER" in read_texts(dataset, "ImageType"),
    )


def _build_series(number: int, group: list[_File], unread: int) -> Series:
    """Make a series of its files, without those that hold nothing of its stack where others do."""
    filled = _fill_geometry(group)
    found = [file for file in filled if not file.unreadable] or group
    fills = Counter(
        keyword for file, new in zip(group, filled, strict=True) if new is not file for keyword in file.unreadable
    )
    files = list({file.uid: file for file in reversed(found)}.values())
    scans = [file for file in files if not file.is_localizer] or files
    left_out = {
        **{f"files whose {what} cannot be read, and is taken from the others": fills[what] for what in _SHARED},
        "files left out because they cannot be read": unread + len(group) - len(found),
        "files left out as copies of others": len(found) - len(files),
        "files left out as localizers": len(files) - len(scans),
    }
    frames, notes = drop_outliers([frame for file in scans for frame in file.frames])
    notes = (*(f"{what}: {count}" for what, count in left_out.items() if count), *notes)
    return Series(number, group[0].modality, frames, len({frame.source._replace(frame=0) for frame in frames}), notes)


def _fill_geometry(group: list[_File]) -> list[_File]:
    """Return the files; one whose orientation or spacing is unreadable with that of the others, where these agree."""
    known = [frame for file in group if not file.unreadable and not file.is_localizer for frame in file.frames]
    values = {"ImageOrientationPatient": {frame.orientation for frame in known}}
    values["PixelSpacing"] = {frame.spacing for frame in known}
    common = {keyword: next(iter(found)) for keyword, found in values.items() if len(found) == 1}
    return [_fill_file(file, common) if common.keys() >= set(file.unreadable) else file for file in group]


def _fill_file(file: _File, common: dict[str, tuple[float, ...] | None]) -> _File:
    if not file.unreadable or file.is_localizer:
        return file
    orientation, spacing = (common[what] if what in file.unreadable else None for what in _SHARED)
    frames = tuple(
        replace(frame, orientation=frame.orientation or orientation, spacing=frame.spacing or spacing)
        for frame in file.frames
    )
    return replace(file, unreadable=(), frames=frames)


def count_frames(head: Dataset, name: str) -> int:
    """Return how many frames a file says it has; absurdly many are an `InputError`."""
    frames = read_int(head, "NumberOfFrames", 1) or 1
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
    some = "; ".join(_describe(series) for series in sorted(found, key=lambda series: series.number)[:_MAX_LISTED])
    expected = f"expected one, named as slice=NUMBER/middle: {some}"
    raise InputError(f"{name}: got {len(found)} series and slice={(wanted or '')[:40]!r}, {expected}; choose one")


def describe_series_choice(found: list[Series], chosen: Series, wanted: str | None) -> list[str]:
    """Return the note that names the series that was taken where the caller named none of several."""
    if len(found) == 1 or "/" in (wanted or ""):
        return []
    return [
        f"series: took {_describe(chosen)}, the only one of pictures among {len(found)}; choose with slice=NUMBER/..."
    ]


def _describe(series: Series) -> str:
    """Describe a series without its description, which is free text and may name a patient."""
    sizes = {frame.size for frame in series.frames}
    size = "{} x {}".format(*sizes.pop()) if len(sizes) == 1 else "several sizes"
    return f"{series.number} ({series.modality or 'unknown'}, {len(series.frames)} pictures of {size})"
