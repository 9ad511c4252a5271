"""Facts in a header about its picture: modality, side, orientation, pixel spacing, annotations."""

import re

import numpy as np
from pydicom import Dataset

from ibisagent.tools.imaging.dicom.elements import (
    read_code,
    read_int,
    read_items,
    read_numbers,
    read_texts,
    read_vector,
)
from ibisagent.tools.imaging.grids import AXES, Spacing

__all__ = ["describe_annotations", "read_axes", "read_laterality", "read_modality", "read_spacing"]

_PROJECTIONS = {"CR", "DR", "DX", "IO", "MG", "PX", "RF", "RG", "XA"}
_CENTIMETRES, _TISSUE = 3, 1  # units and spatial format of an ultrasound region (PS3.3 C.8.5.5)


def read_modality(head: Dataset) -> str | None:
    """Return the modality's code; any other text is not repeated."""
    code = next(iter(read_texts(head, "Modality")), "")
    return code if re.fullmatch(r"[A-Z]{2,16}", code) else None


def read_laterality(head: Dataset) -> str | None:
    """Return R or L where the file says which of two it shows."""
    codes = (read_code(head, keyword) for keyword in ("FrameLaterality", "ImageLaterality", "Laterality"))
    return next((side for side in codes if side in ("R", "L")), None)


def read_axes(head: Dataset) -> tuple[str, str] | None:
    """Return where a picture without a place runs in the patient, down and to the right, by PatientOrientation."""
    codes = [text[:1] for text in read_texts(head, "PatientOrientation")]
    return (codes[1], codes[0]) if len(codes) == 2 and set(codes) <= set(AXES) else None


def describe_annotations(head: Dataset) -> list[str]:
    """Return notes on text burned into the picture, and on overlays of the file that are not drawn."""
    notes = []
    if read_code(head, "BurnedInAnnotation") == "YES":
        notes.append("annotations are burned into the picture, and may name the patient")
    if any(0x6000 <= tag.group <= 0x60FF for tag in head.keys()):  # noqa: SIM118 - a data set iterates over its elements
        notes.append("overlay planes are not drawn")
    return notes


def read_spacing(head: Dataset) -> tuple[Spacing | None, list[str]]:
    """Return the distance of pixel centres in mm, and notes where that is not simply the distance in the body."""
    pixel, detector = (_read_pair(head, keyword) for keyword in ("PixelSpacing", "ImagerPixelSpacing"))
    if pixel and not detector:
        unclear = read_modality(head) in _PROJECTIONS and "PixelSpacingCalibrationType" not in head
        return pixel, ["the file does not say whether its spacing is that at the detector"] if unclear else []
    if pixel and pixel != detector:
        method = read_code(head, "PixelSpacingCalibrationType")
        how = f" ({method.lower()})" if method in ("GEOMETRY", "FIDUCIAL") else ""
        return pixel, [f"spacing is calibrated{how}, not that at the detector"]
    if detector:
        return detector, [f"spacing is that at the detector{_describe_magnification(head)}"]
    scanned = _read_pair(head, "NominalScannedPixelSpacing")
    if scanned:
        return scanned, ["spacing is that of the scanned film"]
    return _read_ultrasound_spacing(head), []


def _read_pair(head: Dataset, keyword: str) -> Spacing | None:
    values = read_vector(head, keyword)
    return Spacing(*values) if values else None


def _describe_magnification(head: Dataset) -> str:
    (factor,) = read_numbers(head, "EstimatedRadiographicMagnificationFactor") or (0.0,)
    detector, patient = (read_numbers(head, f"DistanceSourceTo{there}") for there in ("Detector", "Patient"))
    if not factor and detector and patient:
        factor = detector[0] / patient[0]
    return f"; the body is magnified {factor:.3g} times there" if factor else ", the magnification is unknown"


def _read_ultrasound_spacing(head: Dataset) -> Spacing | None:
    """Return the spacing of a picture whose tissue regions are all calibrated alike."""
    regions = read_items(head, "SequenceOfUltrasoundRegions")
    regions = [item for item in regions if read_int(item, "RegionSpatialFormat") == _TISSUE]
    units = {(read_int(item, "PhysicalUnitsXDirection"), read_int(item, "PhysicalUnitsYDirection")) for item in regions}
    steps = {(*read_numbers(item, "PhysicalDeltaY"), *read_numbers(item, "PhysicalDeltaX")) for item in regions}
    if units != {(_CENTIMETRES, _CENTIMETRES)} or len(steps) != 1:
        return None
    step = [abs(length) * 10 for length in steps.pop()]
    return Spacing(*step) if len(step) == 2 and np.min(step) > 0 else None
