"""Header elements by what they mean; values that make no sense read as missing."""

import math
import re
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from ibisagent.tools.grids import AXES, Spacing

__all__ = [
    "axes",
    "head_of",
    "laterality",
    "modality",
    "notes_on_text",
    "numbers",
    "spacing_of",
    "texts",
    "vector",
    "whole",
]

_FUNCTIONAL = (
    *("PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence", "FrameContentSequence"),
    *("PixelValueTransformationSequence", "FrameVOILUTSequence", "FrameAnatomySequence"),
)
_PROJECTIONS = {"CR", "DR", "DX", "IO", "MG", "PX", "RF", "RG", "XA"}
_CENTIMETRES, _TISSUE = 3, 1  # units and spatial format of an ultrasound region (PS3.3 C.8.5.5)


def head_of(dataset: Dataset, frame: int, only: tuple[str, ...] | None = None) -> Dataset:
    """Give the header as one frame sees it: its own functional groups over the shared ones over the file's elements.

    ``only`` those of the file's elements are looked at, where a file's many frames make a copy of all too slow.
    """
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    own = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    groups = [*shared[:1], *own[frame : frame + 1]]
    if not groups:
        return dataset
    head = Dataset()
    head.file_meta = dataset.file_meta
    head.set_original_encoding(*dataset.original_encoding)
    if only is None:
        head.update(dataset)
    for keyword in only or ():
        if keyword in dataset:
            head[keyword] = dataset[keyword]
    for group in groups:
        for keyword in _FUNCTIONAL:
            for item in (group.get(keyword) or ())[:1]:
                head.update(item)
    return head


def numbers(head: Dataset, keyword: str) -> list[float]:
    """Give an element's values, one or several; none when one of them is no finite number."""
    raw = head.get_item(keyword)
    if isinstance(raw, RawDataElement) and raw.VR in ("DS", "IS"):  # ten times as fast as pydicom's own values
        values = [float(part) for part in (raw.value or b"").strip(b" \0").split(b"\\") if part]
    else:
        element = None if raw is None else head.get(keyword)
        several = [] if element is None or element == "" else element if hasattr(element, "__iter__") else [element]
        values = [float(value) for value in several]
    return values if all(math.isfinite(value) for value in values) else []


def vector(head: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Give exactly ``count`` finite numbers, or None."""
    values = numbers(head, keyword)
    return tuple(values) if len(values) == count else None


def whole(head: Dataset, keyword: str, otherwise: int = 0) -> int:
    """Give the first value as a whole number."""
    values = numbers(head, keyword)
    return int(values[0]) if values else otherwise


def texts(head: Dataset, keyword: str) -> list[str]:
    """Give an element's texts, one or several."""
    element: Any = head.get(keyword)
    if element is None or element == "":
        return []
    return [str(element)] if isinstance(element, str) else [str(value) for value in element]


def modality(head: Dataset) -> str | None:
    """Give the modality's code; any other text is not repeated."""
    code = str(head.get("Modality") or "").strip()
    return code if re.fullmatch(r"[A-Z]{2,16}", code) else None


def laterality(head: Dataset) -> str | None:
    """Give R or L where the file says which of two it shows."""
    told = (head.get(keyword) for keyword in ("FrameLaterality", "ImageLaterality", "Laterality"))
    return next((str(side) for side in told if side in ("R", "L")), None)


def axes(head: Dataset) -> tuple[str, str] | None:
    """Give where a picture without a place runs in the patient, down and to the right, by PatientOrientation."""
    told = [text[:1] for text in texts(head, "PatientOrientation")]
    return (told[1], told[0]) if len(told) == 2 and set(told) <= set(AXES) else None


def notes_on_text(head: Dataset) -> list[str]:
    """Say what is in the picture that is no anatomy, and what of the file is not in the picture."""
    notes = []
    if str(head.get("BurnedInAnnotation", "")).strip().upper() == "YES":
        notes.append("annotations are burned into the picture, and may name the patient")
    if any(0x6000 <= tag.group <= 0x60FF for tag in head.keys()):  # noqa: SIM118 - a data set iterates over its elements
        notes.append("overlay planes are not drawn")
    return notes


def spacing_of(head: Dataset) -> tuple[Spacing | None, list[str]]:
    """Give the distance of pixel centres in mm, and what it is true of where that is not simply the body."""
    pixel, detector = (_lengths(head, keyword) for keyword in ("PixelSpacing", "ImagerPixelSpacing"))
    if pixel and not detector:
        unclear = modality(head) in _PROJECTIONS and "PixelSpacingCalibrationType" not in head
        return pixel, ["the file does not say whether its spacing is that at the detector"] if unclear else []
    if pixel and pixel != detector:
        told = str(head.get("PixelSpacingCalibrationType") or "").strip().upper()
        how = f" ({told.lower()})" if told in ("GEOMETRY", "FIDUCIAL") else ""
        return pixel, [f"spacing is calibrated{how}, not that at the detector"]
    if detector:
        return detector, [f"spacing is that at the detector{_magnified(head)}"]
    scanned = _lengths(head, "NominalScannedPixelSpacing")
    if scanned:
        return scanned, ["spacing is that of the scanned film"]
    return _ultrasound(head), []


def _lengths(head: Dataset, keyword: str) -> Spacing | None:
    values = vector(head, keyword, 2)
    return Spacing(*values) if values and min(values) > 0 else None


def _magnified(head: Dataset) -> str:
    factor = (numbers(head, "EstimatedRadiographicMagnificationFactor") or [0.0])[0]
    to_detector, to_patient = (
        (numbers(head, f"DistanceSourceTo{there}") or [0.0])[0] for there in ("Detector", "Patient")
    )
    if factor <= 0 and to_detector > 0 and to_patient > 0:
        factor = to_detector / to_patient
    return f"; the body is magnified {factor:.3g} times there" if factor > 0 else ", the magnification is unknown"


def _ultrasound(head: Dataset) -> Spacing | None:
    """Give the spacing of a picture whose tissue regions are all calibrated alike."""
    regions = head.get("SequenceOfUltrasoundRegions") or ()
    regions = [item for item in regions if item.get("RegionSpatialFormat") == _TISSUE]
    units = {(item.get("PhysicalUnitsXDirection"), item.get("PhysicalUnitsYDirection")) for item in regions}
    steps = {(*numbers(item, "PhysicalDeltaY"), *numbers(item, "PhysicalDeltaX")) for item in regions}
    if units != {(_CENTIMETRES, _CENTIMETRES)} or len(steps) != 1:
        return None
    step = [abs(length) * 10 for length in steps.pop()]
    return Spacing(*step) if len(step) == 2 and np.min(step) > 0 else None
