"""What a header says of its picture: of which modality and side it is, how far apart its pixels are, what is on it."""

import re

import numpy as np
from pydicom import Dataset

from ibisagent.tools.imaging.dicom.elements import items, numbers, text, texts, vector, whole
from ibisagent.tools.imaging.grids import AXES, Spacing

__all__ = ["axes", "laterality", "modality", "notes_on_text", "spacing_of"]

_PROJECTIONS = {"CR", "DR", "DX", "IO", "MG", "PX", "RF", "RG", "XA"}
_CENTIMETRES, _TISSUE = 3, 1  # units and spatial format of an ultrasound region (PS3.3 C.8.5.5)


def modality(head: Dataset) -> str | None:
    """Return the modality's code; any other text is not repeated."""
    code = next(iter(texts(head, "Modality")), "")
    return code if re.fullmatch(r"[A-Z]{2,16}", code) else None


def laterality(head: Dataset) -> str | None:
    """Return R or L where the file says which of two it shows."""
    told = (text(head, keyword) for keyword in ("FrameLaterality", "ImageLaterality", "Laterality"))
    return next((side for side in told if side in ("R", "L")), None)


def axes(head: Dataset) -> tuple[str, str] | None:
    """Return where a picture without a place runs in the patient, down and to the right, by PatientOrientation."""
    told = [text[:1] for text in texts(head, "PatientOrientation")]
    return (told[1], told[0]) if len(told) == 2 and set(told) <= set(AXES) else None


def notes_on_text(head: Dataset) -> list[str]:
    """Say what is in the picture that is no anatomy, and what of the file is not in the picture."""
    notes = []
    if text(head, "BurnedInAnnotation") == "YES":
        notes.append("annotations are burned into the picture, and may name the patient")
    if any(0x6000 <= tag.group <= 0x60FF for tag in head.keys()):  # noqa: SIM118 - a data set iterates over its elements
        notes.append("overlay planes are not drawn")
    return notes


def spacing_of(head: Dataset) -> tuple[Spacing | None, list[str]]:
    """Return the distance of pixel centres in mm, and what it is true of where that is not simply the body."""
    pixel, detector = (_lengths(head, keyword) for keyword in ("PixelSpacing", "ImagerPixelSpacing"))
    if pixel and not detector:
        unclear = modality(head) in _PROJECTIONS and "PixelSpacingCalibrationType" not in head
        return pixel, ["the file does not say whether its spacing is that at the detector"] if unclear else []
    if pixel and pixel != detector:
        told = text(head, "PixelSpacingCalibrationType")
        how = f" ({told.lower()})" if told in ("GEOMETRY", "FIDUCIAL") else ""
        return pixel, [f"spacing is calibrated{how}, not that at the detector"]
    if detector:
        return detector, [f"spacing is that at the detector{_magnified(head)}"]
    scanned = _lengths(head, "NominalScannedPixelSpacing")
    if scanned:
        return scanned, ["spacing is that of the scanned film"]
    return _ultrasound(head), []


def _lengths(head: Dataset, keyword: str) -> Spacing | None:
    values = vector(head, keyword)
    return Spacing(*values) if values else None


def _magnified(head: Dataset) -> str:
    (factor,) = numbers(head, "EstimatedRadiographicMagnificationFactor") or (0.0,)
    detector, patient = (numbers(head, f"DistanceSourceTo{there}") for there in ("Detector", "Patient"))
    if not factor and detector and patient:
        factor = detector[0] / patient[0]
    return f"; the body is magnified {factor:.3g} times there" if factor else ", the magnification is unknown"


def _ultrasound(head: Dataset) -> Spacing | None:
    """Return the spacing of a picture whose tissue regions are all calibrated alike."""
    regions = items(head, "SequenceOfUltrasoundRegions")
    regions = [item for item in regions if whole(item, "RegionSpatialFormat") == _TISSUE]
    units = {(whole(item, "PhysicalUnitsXDirection"), whole(item, "PhysicalUnitsYDirection")) for item in regions}
    steps = {(*numbers(item, "PhysicalDeltaY"), *numbers(item, "PhysicalDeltaX")) for item in regions}
    if units != {(_CENTIMETRES, _CENTIMETRES)} or len(steps) != 1:
        return None
    step = [abs(length) * 10 for length in steps.pop()]
    return Spacing(*step) if len(step) == 2 and np.min(step) > 0 else None
