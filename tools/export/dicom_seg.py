"""DICOM segmentation (.dcm; PS3.3 A.51): one binary segment over the source's own frames, with codes for what it is.

Patient and study are the source's, which is what binds the object to its images; it stays with the user's data.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.tools.export.dicom_views import build_views, set_references
from ibisagent.tools.export.provenance import Provenance
from ibisagent.tools.export.snomed import Concept, SegmentCode, find_code
from ibisagent.tools.imaging.decoding import decode_guard
from ibisagent.tools.imaging.dicom.elements import read_int
from ibisagent.tools.imaging.grids import Grid, Mask, VolumeGrid
from ibisagent.tools.imaging.medical_image import MedicalImage

if TYPE_CHECKING:
    from highdicom.seg import Segmentation, SegmentDescription

__all__ = ["require", "write"]

_EXPECTED = "a DICOM image that a segmentation can refer to"
_REMEDY = "save .png or .json"
_FAMILY = Code("123110", "DCM", "Artificial Intelligence")
_LONGEST = 64  # characters of a name (LO)


def require(name: str, image: MedicalImage) -> None:
    """Refuse with `InputError` what is not a DICOM image, or one that lacks what a segmentation needs."""
    if not image.grid.sources:
        raise InputError(
            f"{name}: got an image that is no DICOM, expected one for .dcm; save .png, .json, or of a volume .nii.gz"
        )
    MissingExtra.require("medical", "highdicom")
    planes = np.zeros((1, *_source_planes(np.zeros(image.shape, np.bool_), image.grid).shape[1:]), np.bool_)
    _build_segmentation(planes, _find_displayed_planes(image)[:1], image.grid, Provenance(), find_code(""), name)


def write(path: Path, mask: Mask, image: MedicalImage, provenance: Provenance) -> None:
    """Write the frames that hold something of the mask, or an empty one; warn when the target has no code."""
    planes = _source_planes(mask, image.grid)
    chosen = np.flatnonzero(planes.any(axis=(1, 2)))
    chosen = chosen if chosen.size else _find_displayed_planes(image)[:1]
    coded = find_code(provenance.target)
    _build_segmentation(planes[chosen], chosen, image.grid, provenance, coded, "the segmentation").save_as(path)
    if not coded.is_known:
        said = "the target has no code here, so that the segmentation calls it any tissue"  # without a person's words
        warnings.warn(f"{said}; name a usual target, such as 'liver' or 'lesion'", stacklevel=3)


def _source_planes(mask: Mask, grid: Grid) -> NDArray[np.bool_]:
    """Return the source's frames, (n, rows, columns)."""
    source = grid.to_source(mask)
    return source.reshape((*source.shape, 1)[:3]).T if isinstance(grid, VolumeGrid) else source[None]


def _find_displayed_planes(image: MedicalImage) -> NDArray[np.intp]:
    """Return the numbers of the frames that the picture shows something of."""
    return np.flatnonzero(_source_planes(np.ones(image.shape, np.bool_), image.grid).any(axis=(1, 2)))


def _build_segmentation(
    planes: NDArray[np.bool_],
    chosen: NDArray[np.intp],
    grid: Grid,
    provenance: Provenance,
    coded: SegmentCode,
    name: str,
) -> "Segmentation":
    import highdicom as hd

    with decode_guard(name, _EXPECTED, _REMEDY):
        views = build_views(chosen.tolist(), grid, name)
        first = views[0].header
        made = hd.seg.Segmentation(
            source_images=[view.header for view in views],
            pixel_array=planes,
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_describe_segment(provenance, coded)],
            series_instance_uid=hd.UID(),
            series_number=max(read_int(first, "SeriesNumber"), 0) + 100,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="ibisagent",
            manufacturer_model_name="ibisagent",
            software_versions=Provenance().version,
            device_serial_number="none",
            content_label="SEGMENTATION",
            series_description=f"Segmentation: {coded.label}"[:_LONGEST],
            specific_character_set="ISO_IR 192",
            omit_empty_frames=False,
        )
        for measures in made.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence", []):
            measures.SliceThickness = measures.get("SliceThickness")  # readers expect it, known or not
            if len(views) == 1 and "SpacingBetweenSlices" not in first:  # highdicom makes one up
                measures.pop("SpacingBetweenSlices", None)
        if "FrameOfReferenceUID" not in made:
            made.PatientOrientation = first.get("PatientOrientation")
        set_references(made, views)
    return made


def _describe_segment(provenance: Provenance, coded: SegmentCode) -> "SegmentDescription":
    import highdicom as hd

    identity = hd.UID()
    kind = hd.seg.SegmentAlgorithmTypeValues
    described = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=coded.label,
        segmented_property_category=_to_code(coded.category),
        segmented_property_type=_to_code(coded.type),
        algorithm_type=kind.SEMIAUTOMATIC if provenance.interactive else kind.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=_clean_name(provenance.algorithm), family=_FAMILY, version=_clean_name(provenance.version)
        ),
        tracking_uid=identity,
        tracking_id=f"{coded.label} {identity[-8:]}",
        anatomic_regions=[_to_code(coded.region)] if coded.region else None,
    )
    if coded.side:
        side = [hd.sr.CodedConcept.from_code(_to_code(coded.side))]
        if coded.region:
            described.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = side
        else:
            described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = side
    return described


def _to_code(concept: Concept) -> Code:
    return Code(concept.value, "SCT", concept.meaning)


def _clean_name(text: str) -> str:
    plain = "".join(letter for letter in text if letter.isprintable() and letter != "\\").strip()
    return plain[:_LONGEST] or "unknown"
