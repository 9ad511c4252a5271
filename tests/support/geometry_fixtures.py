"""Volumes and DICOM images for the writers: small, and each voxel's place is known in mm."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

from ibisagent.tools.imaging.open_image import open_image

LETTER = np.array(  # an F: any flip or transpose shows
    [
        [1, 1, 1, 1, 0, 0],
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0],
    ],
    dtype=bool,
)
PICTURE = open_image(np.zeros(LETTER.shape, np.uint8))
SHAPE = (4, 6, 5)
AFFINE = np.array([[2.0, 0, 0, -10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])


def write_volume(path: Path, codes: str = "RAS", affine: NDArray[Any] = AFFINE, shape: tuple[int, ...] = SHAPE) -> Path:
    """Write a volume whose axes run along ``codes``; the world places of its voxels do not depend on them."""
    kind: Any = nib.Nifti1Image
    image = kind(np.arange(np.prod(shape), dtype=np.int16).reshape(shape), affine)
    if codes != "RAS":
        ornt: Any = nib.orientations
        image = image.as_reoriented(ornt.ornt_transform(ornt.axcodes2ornt("RAS"), ornt.axcodes2ornt(codes)))
    image.set_qform(image.affine, 1)
    image.set_sform(image.affine, 4)
    image.header["descrip"] = b"Doe^Jane"
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


# Rows run toward, columns run toward: LPS cosines as ImageOrientationPatient has them.
ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": (0.8, 0.6, 0, 0, 0, -1),
}
ROWS, COLUMNS = 6, 5
SPACING = (0.75, 1.5)
GAP = 2.5
PATIENT = {
    "PatientName": "Doe^Jane",
    "PatientID": "4711",
    "PatientBirthDate": "19700102",
    "PatientSex": "F",
    "StudyDate": "20200304",
    "StudyTime": "101112",
    "AccessionNumber": "A1",
    "StudyID": "7",
    "ReferringPhysicianName": "Roe^Richard",
}


def compute_place(orientation: str, frame: int, row: float, column: float) -> NDArray[Any]:
    """Where a stored pixel lies, LPS mm."""
    along, down = np.array(ORIENTATIONS[orientation]).reshape(2, 3)
    start = np.array([-20, 30, 40]) + frame * GAP * np.cross(along, down)
    return start + column * SPACING[1] * along + row * SPACING[0] * down


def write_series(folder: Path, orientation: str = "axial", count: int = 4, **elements: Any) -> list[str]:
    """Write a CT series in a shuffled order of names and numbers; return its instances' UIDs by position."""
    folder.mkdir()
    study, whole, frame_of_reference = generate_uid(), generate_uid(), generate_uid()
    uids = []
    for frame in range(count):
        dataset = _image(CTImageStorage, study, whole)
        dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = frame_of_reference, ""
        dataset.ImagePositionPatient = compute_place(orientation, frame, 0, 0).tolist()
        dataset.ImageOrientationPatient = list(ORIENTATIONS[orientation])
        dataset.PixelSpacing, dataset.SliceThickness = list(SPACING), 2.0
        dataset.RescaleIntercept, dataset.RescaleSlope = -1024, 1
        dataset.InstanceNumber = (frame * 3) % count + 1
        dataset.PixelData = get_stored_pixels(frame).tobytes()
        _set(dataset, elements)
        dataset.save_as(folder / f"{(frame * 5) % 7}{frame}.dcm", enforce_file_format=True)
        uids.append(dataset.SOPInstanceUID)
    return uids


def write_enhanced(path: Path, orientation: str = "axial", count: int = 4, **elements: Any) -> str:
    """Write the same as one enhanced CT image, its frames from the last position to the first; return its UID."""
    dataset = _image(EnhancedCTImageStorage, generate_uid(), generate_uid())
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = generate_uid(), ""
    dataset.NumberOfFrames, dataset.InstanceNumber = count, 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    measures = _item(PixelSpacing=list(SPACING), SliceThickness=2.0)
    shared = _item(
        PixelMeasuresSequence=[measures],
        PlaneOrientationSequence=[_item(ImageOrientationPatient=list(ORIENTATIONS[orientation]))],
        PixelValueTransformationSequence=[_item(RescaleIntercept=-1024, RescaleSlope=1, RescaleType="HU")],
    )
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [
        _item(
            PlanePositionSequence=[_item(ImagePositionPatient=compute_place(orientation, frame, 0, 0).tolist())],
            FrameContentSequence=[
                _item(StackID="1", InStackPositionNumber=frame + 1, DimensionIndexValues=[frame + 1])
            ],
        )
        for frame in reversed(range(count))
    ]
    dataset.PixelData = b"".join(get_stored_pixels(frame).tobytes() for frame in reversed(range(count)))
    _set(dataset, elements)
    dataset.save_as(path, enforce_file_format=True)
    uid: str = dataset.SOPInstanceUID
    return uid


def get_stored_pixels(frame: int) -> NDArray[np.uint16]:
    """The stored pixels of a frame; no two alike."""
    return (1024 + 100 * frame + np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)).astype(np.uint16)


def _image(sop_class: str, study: str, whole: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SeriesNumber = study, whole, 3
    dataset.Modality, dataset.ImageType, dataset.Manufacturer = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"], "Nobody"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = ROWS, COLUMNS, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    _set(dataset, PATIENT)
    return dataset


def _set(dataset: Dataset, elements: dict[str, Any]) -> None:
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)


def _item(**elements: Any) -> Dataset:
    item = Dataset()
    _set(item, elements)
    return item
