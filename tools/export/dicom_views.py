"""A segmentation's source frames, each as highdicom accepts it, and the references to them corrected afterwards.

highdicom (0.28) takes single-frame images, or one multi-frame image whole and only if it has a place. So that any frame
of any image can be segmented alone, each is shown to it as a single-frame image with an identity of its own.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage
from pydicom.valuerep import DA, TM, DSfloat

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.dicom import read_full_header
from ibisagent.tools.imaging.dicom.elements import read_code, read_int, read_items, read_numbers, read_texts
from ibisagent.tools.imaging.grids import DicomSource, Grid, VolumeGrid

__all__ = ["SingleFrameView", "build_views", "set_references"]

_GROUPS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
}
_FUNCTIONAL = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_LENGTHS = ("SliceThickness", "SpacingBetweenSlices")
_ROUNDING = 1e-5  # of a direction's length
_SLIDE = ("ImageOrientationSlide", "ImageCenterPointCoordinatesSequence", "TotalPixelMatrixOriginSequence")
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "ReferringPhysicianName"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "SliceThickness", "Modality"),
)
_CHECKED: dict[str, type[DA] | type[TM]] = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}


@dataclass(frozen=True, slots=True, eq=False)
class SingleFrameView:
    """A frame as a single-frame image: ``header`` with a made-up identity; ``frame``: its true number, from 1."""

    header: Dataset
    sop_class: str
    instance: str
    frame: int | None


def build_views(planes: Iterable[int], grid: Grid, name: str) -> list[SingleFrameView]:
    """Return a view of the source of each plane; a file is read once."""
    opened: dict[DicomSource, tuple[Dataset, list[Any]]] = {}
    views = []
    for plane in planes:
        source = grid.sources[plane]
        file = source._replace(frame=0)
        if file not in opened:
            opened[file] = _read_header(file, name)
        views.append(_build_view(*opened[file], source.frame, plane, grid))
    return views


def _read_header(source: DicomSource, name: str) -> tuple[Dataset, list[Any]]:
    """Read a header; return it without its functional groups, and these."""
    dataset = read_full_header(source)
    missing = [keyword for keyword in _IDENTITY if not read_code(dataset, keyword)]
    if missing:
        got = f"got a DICOM image without {missing[0]}"
        raise InputError(f"{name}: {got}, expected one that can be referred to; save .png or .json")
    groups = [read_items(dataset, keyword) for keyword in _FUNCTIONAL]
    for keyword in (*_FUNCTIONAL, *_SLIDE):
        if keyword in dataset:
            delattr(dataset, keyword)
    return dataset, groups


def _build_view(dataset: Dataset, groups: list[Any], frame: int, plane: int, grid: Grid) -> SingleFrameView:
    header = Dataset()
    header.update(dataset)  # the same elements: they are replaced below, never changed
    shared, per_frame = groups
    for group in (*shared[:1], *per_frame[frame : frame + 1]):
        _copy_frame_geometry(group, header)
    if frame and not per_frame and isinstance(grid, VolumeGrid):  # by offsets from the first frame, as an RT dose's
        x, y, z = grid.affine[:3, 3] + plane * grid.affine[:3, 2]
        _set_elements(header, ImagePositionPatient=[round(float(number), 6) for number in (-x, -y, z)])
    if isinstance(grid, VolumeGrid) and not read_numbers(header, "PixelSpacing"):  # that of the other planes, if known
        edges = [math.hypot(*grid.affine[:3, axis]) for axis in (1, 0)]
        _set_elements(header, PixelSpacing=[DSfloat(edge, auto_format=True) for edge in edges])
    _normalize_directions(header)
    for keyword in (*_PLACE, *_LENGTHS):
        _rewrite_numbers(header, keyword)
    if not all(keyword in header for keyword in _PLACE) or not read_code(header, "FrameOfReferenceUID"):
        for keyword in ("FrameOfReferenceUID", *_PLACE):
            header.pop(keyword, None)
    _fill_required_elements(header)
    _set_elements(header, SOPClassUID=SecondaryCaptureImageStorage, SOPInstanceUID=f"2.25.{plane + 1}")
    several = read_int(dataset, "NumberOfFrames", 1) > 1
    return SingleFrameView(header, dataset.SOPClassUID, dataset.SOPInstanceUID, frame + 1 if several else None)


def _set_elements(header: Dataset, **values: Any) -> None:
    for keyword, value in values.items():
        header.pop(keyword, None)
        setattr(header, keyword, value)


def _copy_frame_geometry(group: Dataset, header: Dataset) -> None:
    """Copy a frame's place from its functional groups to where a single-frame image has it."""
    for sequence, keywords in _GROUPS.items():
        for item in read_items(group, sequence)[:1]:
            for keyword in keywords:
                if keyword in item:
                    header[keyword] = item.get_item(keyword, keep_deferred=True)


def _normalize_directions(header: Dataset) -> None:
    """Bring both directions to length 1, since readers multiply by them; merely rounded ones stay as they are."""
    orientation = read_numbers(header, "ImageOrientationPatient")
    lengths = [math.hypot(*orientation[start : start + 3]) for start in (0, 3) if orientation]
    if any(abs(length - 1) > _ROUNDING for length in lengths):
        unit = [part / lengths[index // 3] for index, part in enumerate(orientation)]
        _set_elements(header, ImageOrientationPatient=[DSfloat(part, auto_format=True) for part in unit])


def _rewrite_numbers(header: Dataset, keyword: str) -> None:
    """Rewrite an element with the numbers that are read from it, in the form it should have, or remove it."""
    values = read_numbers(header, keyword)
    plain = keyword in header and header.get_item(keyword, keep_deferred=True).VR in (None, "DS")
    if values and not plain:
        _set_elements(header, **{keyword: [DSfloat(value, auto_format=True) for value in values]})
    elif not values:
        header.pop(keyword, None)


def _fill_required_elements(header: Dataset) -> None:
    """Set to empty what the standard lets be empty: missing elements, and values that are not valid."""
    for keyword in _MAY_BE_EMPTY:
        if keyword not in header:
            setattr(header, keyword, None)
    for keyword, kind in _CHECKED.items():
        value = next(iter(read_texts(header, keyword)), "")
        value = value.replace(".", "") if kind is DA else value  # dates of before 1993 have points
        try:
            kind(value)
        except ValueError:
            value = ""
        _set_elements(header, **{keyword: value})
    if read_code(header, "PatientSex") not in ("M", "F", "O"):
        _set_elements(header, PatientSex=None)


def set_references(segmentation: Dataset, views: Sequence[SingleFrameView]) -> None:
    """Make a segmentation that was built from views refer to the true instances and frames."""
    by_identity = {view.header.SOPInstanceUID: view for view in views}
    items = {view.instance: _build_reference(view) for view in views}
    segmentation.SourceImageSequence = list(items.values())
    segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence = [_copy(item) for item in items.values()]
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        for derivation in group.get("DerivationImageSequence", []):
            for item in derivation.SourceImageSequence:
                view = by_identity[item.ReferencedSOPInstanceUID]
                item.update(_build_reference(view))
                if view.frame is not None:
                    item.ReferencedFrameNumber = view.frame


def _build_reference(view: SingleFrameView) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = view.sop_class, view.instance
    return item


def _copy(item: Dataset) -> Dataset:
    copy = Dataset()
    copy.update(item)
    return copy
