"""A segmentation's source frames, each as highdicom can take it, and the references to them put right afterwards.

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

from ibisagent.tools.dicom import dataset_of
from ibisagent.tools.dicom.elements import items, numbers, text, texts, whole
from ibisagent.tools.errors import InputError
from ibisagent.tools.grids import DicomSource, Grid, VolumeGrid

__all__ = ["View", "refer", "views_of"]

_GROUPS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
}
_FUNCTIONAL = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_LENGTHS = ("SliceThickness", "SpacingBetweenSlices")
_ROUNDED = 1e-5  # of a direction's length
_SLIDE = ("ImageOrientationSlide", "ImageCenterPointCoordinatesSequence", "TotalPixelMatrixOriginSequence")
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "ReferringPhysicianName"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "SliceThickness", "Modality"),
)
_CHECKED: dict[str, type[DA] | type[TM]] = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A frame as a single-frame image: ``header`` with a made-up identity; what it is in truth, ``frame`` from 1."""

    header: Dataset
    sop_class: str
    instance: str
    frame: int | None


def views_of(planes: Iterable[int], grid: Grid, name: str) -> list[View]:
    """Give a view of the source of each plane; a file is read once."""
    opened: dict[DicomSource, tuple[Dataset, list[Any]]] = {}
    views = []
    for plane in planes:
        source = grid.sources[plane]
        file = source._replace(frame=0)
        if file not in opened:
            opened[file] = _opened(file, name)
        views.append(_view(*opened[file], source.frame, plane, grid))
    return views


def _opened(source: DicomSource, name: str) -> tuple[Dataset, list[Any]]:
    """Read a header; give it without its functional groups, and these."""
    dataset = dataset_of(source)
    missing = [keyword for keyword in _IDENTITY if not text(dataset, keyword)]
    if missing:
        got = f"got a DICOM image without {missing[0]}"
        raise InputError(f"{name}: {got}, expected one that can be referred to; save .png or .json")
    groups = [items(dataset, keyword) for keyword in _FUNCTIONAL]
    for keyword in (*_FUNCTIONAL, *_SLIDE):
        if keyword in dataset:
            delattr(dataset, keyword)
    return dataset, groups


def _view(dataset: Dataset, groups: list[Any], frame: int, plane: int, grid: Grid) -> View:
    header = Dataset()
    header.update(dataset)  # the same elements: they are replaced below, never changed
    shared, per_frame = groups
    for group in (*shared[:1], *per_frame[frame : frame + 1]):
        _lift(group, header)
    if frame and not per_frame and isinstance(grid, VolumeGrid):  # by offsets from the first frame, as an RT dose's
        x, y, z = grid.affine[:3, 3] + plane * grid.affine[:3, 2]
        _put(header, ImagePositionPatient=[round(float(number), 6) for number in (-x, -y, z)])
    if isinstance(grid, VolumeGrid) and not numbers(header, "PixelSpacing"):  # another plane's, where it is known
        _put(header, PixelSpacing=[DSfloat(math.hypot(*grid.affine[:3, axis]), auto_format=True) for axis in (1, 0)])
    _normalise(header)
    for keyword in (*_PLACE, *_LENGTHS):
        _renumber(header, keyword)
    if not all(keyword in header for keyword in _PLACE) or not text(header, "FrameOfReferenceUID"):
        for keyword in ("FrameOfReferenceUID", *_PLACE):
            header.pop(keyword, None)
    _tidy(header)
    _put(header, SOPClassUID=SecondaryCaptureImageStorage, SOPInstanceUID=f"2.25.{plane + 1}")
    several = whole(dataset, "NumberOfFrames", 1) > 1
    return View(header, dataset.SOPClassUID, dataset.SOPInstanceUID, frame + 1 if several else None)


def _put(header: Dataset, **values: Any) -> None:
    for keyword, value in values.items():
        header.pop(keyword, None)
        setattr(header, keyword, value)


def _lift(group: Dataset, header: Dataset) -> None:
    """Copy a frame's place from its functional groups to where a single-frame image has it."""
    for sequence, keywords in _GROUPS.items():
        for item in items(group, sequence)[:1]:
            for keyword in keywords:
                if keyword in item:
                    header[keyword] = item.get_item(keyword, keep_deferred=True)


def _normalise(header: Dataset) -> None:
    """Bring both directions to length 1, for readers multiply by them; what is merely rounded stays as it is."""
    turn = numbers(header, "ImageOrientationPatient")
    lengths = [math.hypot(*turn[at : at + 3]) for at in (0, 3) if turn]
    if any(abs(length - 1) > _ROUNDED for length in lengths):
        unit = [part / lengths[at // 3] for at, part in enumerate(turn)]
        _put(header, ImageOrientationPatient=[DSfloat(part, auto_format=True) for part in unit])


def _renumber(header: Dataset, keyword: str) -> None:
    """Let an element hold the numbers that are read from it, in the form it should have, or take it away."""
    values = numbers(header, keyword)
    plain = keyword in header and header.get_item(keyword, keep_deferred=True).VR in (None, "DS")
    if values and not plain:
        _put(header, **{keyword: [DSfloat(value, auto_format=True) for value in values]})
    elif not values:
        header.pop(keyword, None)


def _tidy(header: Dataset) -> None:
    """Make empty what the standard lets be empty: elements that are not there, and values that are not valid."""
    for keyword in _MAY_BE_EMPTY:
        if keyword not in header:
            setattr(header, keyword, None)
    for keyword, kind in _CHECKED.items():
        told = next(iter(texts(header, keyword)), "")
        told = told.replace(".", "") if kind is DA else told  # dates of before 1993 have points
        try:
            kind(told)
        except ValueError:
            told = ""
        _put(header, **{keyword: told})
    if text(header, "PatientSex") not in ("M", "F", "O"):
        _put(header, PatientSex=None)


def refer(segmentation: Dataset, views: Sequence[View]) -> None:
    """Let a segmentation made of views refer to the true instances and frames."""
    by_identity = {view.header.SOPInstanceUID: view for view in views}
    items = {view.instance: _reference(view) for view in views}
    segmentation.SourceImageSequence = list(items.values())
    segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence = [_copied(item) for item in items.values()]
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        for derivation in group.get("DerivationImageSequence", []):
            for item in derivation.SourceImageSequence:
                view = by_identity[item.ReferencedSOPInstanceUID]
                item.update(_reference(view))
                if view.frame is not None:
                    item.ReferencedFrameNumber = view.frame


def _reference(view: View) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = view.sop_class, view.instance
    return item


def _copied(item: Dataset) -> Dataset:
    copy = Dataset()
    copy.update(item)
    return copy
