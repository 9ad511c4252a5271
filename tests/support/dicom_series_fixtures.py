"""DICOM series and multi-frame files that the tests write: every voxel's place in the patient is known."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, generate_uid

from ibisagent.tools.imaging.grids import VolumeGrid
from ibisagent.tools.imaging.medical_image import MedicalImage
from support.image_fixtures import build_raw_element, write_dicom

ORIENTATIONS = {  # directions of the rows and of the columns, LPS
    "axial": (1, 0, 0, 0, 1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "feet first": (-1, 0, 0, 0, 1, 0),
    "prone": (-1, 0, 0, 0, -1, 0),
    "turned": (0, 1, 0, 1, 0, 0),
    "oblique": (0.8, 0.6, 0, -0.36, 0.48, -0.8),
    "slightly oblique": (*(np.array([0.98, 0.199, 0]) / np.hypot(0.98, 0.199)), 0, 0, -1),
}
VOLUME = (np.arange(5 * 6 * 7, dtype=np.int16) * 3 - 100).reshape(5, 6, 7)  # planes, rows, columns; no two alike
SPACING, STEP, ORIGIN = (2.0, 3.0), 4.0, np.array([-20.0, 15.0, 30.0])


def compute_normal(orientation: Sequence[float]) -> NDArray[Any]:
    return np.cross(orientation[:3], orientation[3:])


def compute_lps(orientation: Sequence[float], plane: float, row: float, column: float) -> NDArray[Any]:
    """Where a stored pixel lies, in mm (PS3.3 C.7.6.2.1.1)."""
    rows, columns = np.array(orientation, float).reshape(2, 3)
    start = ORIGIN + compute_normal(orientation) * STEP * plane
    return start + rows * SPACING[1] * column + columns * SPACING[0] * row


def format_digits(numbers: Iterable[float]) -> list[str]:
    return [f"{number:.10f}".rstrip("0") for number in numbers]


def write_series(
    folder: Path,
    volume: NDArray[Any] = VOLUME,
    orientation: Sequence[float] = ORIENTATIONS["axial"],
    planes: Iterable[float] | None = None,
    first: int = 1,
    **elements: Any,
) -> list[Path]:
    """Write a file a plane, names and instance numbers in no order that means anything; return the paths by plane."""
    folder.mkdir(exist_ok=True, parents=True)
    shared: dict[str, Any] = {
        "SeriesInstanceUID": generate_uid(),
        "SeriesNumber": 3,
        "SliceThickness": STEP,
        "Modality": "CT",
    }
    paths = []
    for count, plane in enumerate(planes if planes is not None else range(len(volume))):
        path = folder / f"{(count * 7 + first) % 101:03}.dcm"
        number = len(volume) - count + first * 100
        here: dict[str, Any] = {
            "ImagePositionPatient": format_digits(compute_lps(orientation, plane, 0, 0)),
            "ImageOrientationPatient": format_digits(orientation),
        }
        here |= {"PixelSpacing": list(SPACING), "InstanceNumber": number}
        paths.append(write_dicom(path, volume[count], **(shared | here | elements)))
    return paths


def overwrite_elements(path: Path, **elements: bytes) -> None:
    """Write these bytes into elements of a file, whether they may hold them or not."""
    dataset = dcmread(path)
    for keyword, content in elements.items():
        element = build_raw_element(keyword, content)
        dataset[element.tag] = element
    dataset.save_as(path)


def build_item(**elements: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        if isinstance(value, RawDataElement):
            dataset[value.tag] = value
        else:
            setattr(dataset, keyword, value)
    return dataset


def write_enhanced(
    path: Path,
    volume: NDArray[Any] = VOLUME,
    orientation: Sequence[float] = ORIENTATIONS["axial"],
    order: Iterable[int] | None = None,
    spacing: Sequence[float] = SPACING,
    frames: Sequence[dict[str, Dataset]] | None = None,
    **elements: Any,
) -> Path:
    """Write the planes as frames in ``order``; ``frames``: further functional groups of each, by frame."""
    order = list(order if order is not None else range(len(volume)))
    own = []
    for number, plane in enumerate(order):
        position = build_item(ImagePositionPatient=format_digits(compute_lps(orientation, plane, 0, 0)))
        more = {keyword: [value] for keyword, value in (frames[number] if frames else {}).items()}
        own.append(build_item(PlanePositionSequence=[position], **more))
    shared = build_item(
        PixelMeasuresSequence=[build_item(PixelSpacing=list(spacing), SliceThickness=STEP)],
        PlaneOrientationSequence=[build_item(ImageOrientationPatient=format_digits(orientation))],
    )
    groups: dict[str, Any] = {"SharedFunctionalGroupsSequence": [shared], "PerFrameFunctionalGroupsSequence": own}
    stored = volume[[plane % len(volume) for plane in order]]
    kind: dict[str, Any] = {"SOPClassUID": EnhancedCTImageStorage, "NumberOfFrames": len(order), "Modality": "CT"}
    return write_dicom(path, stored, **(kind | groups | elements))


def find_place(image: MedicalImage, row: int, column: int) -> tuple[NDArray[Any], list[int]]:
    """Where a displayed pixel lies by the image's own grid, in LPS mm, and its source index."""
    assert isinstance(image.grid, VolumeGrid)
    mask = np.zeros(image.shape, bool)
    mask[row, column] = True
    ((*index,),) = np.argwhere(image.grid.to_source(mask)).tolist()
    return (image.grid.affine @ [*index, 1])[:3] * [-1, -1, 1], index
