"""DICOM series and multi-frame files that the tests write: every voxel's place in the patient is known."""

import numpy as np
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, generate_uid
from samples import dicom, raw

TURNS = {  # directions of the rows and of the columns, LPS
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


def normal(turn):
    return np.cross(turn[:3], turn[3:])


def lps(turn, plane, row, column):
    """Where a stored pixel lies, in mm (PS3.3 C.7.6.2.1.1)."""
    turn = np.array(turn, float)
    return ORIGIN + normal(turn) * STEP * plane + turn[:3] * SPACING[1] * column + turn[3:] * SPACING[0] * row


def digits(numbers):
    return [f"{number:.10f}".rstrip("0") for number in numbers]


def series(folder, volume=VOLUME, turn=TURNS["axial"], planes=None, first=1, **elements):
    """Write a file a plane, names and instance numbers in no order that means anything; give the paths by plane."""
    folder.mkdir(exist_ok=True, parents=True)
    shared = {"SeriesInstanceUID": generate_uid(), "SeriesNumber": 3, "SliceThickness": STEP, "Modality": "CT"}
    paths = []
    for count, plane in enumerate(planes if planes is not None else range(len(volume))):
        path = folder / f"{(count * 7 + first) % 101:03}.dcm"
        number = len(volume) - count + first * 100
        here = {"ImagePositionPatient": digits(lps(turn, plane, 0, 0)), "ImageOrientationPatient": digits(turn)}
        here |= {"PixelSpacing": list(SPACING), "InstanceNumber": number}
        paths.append(dicom(path, volume[count], **(shared | here | elements)))
    return paths


def damage(path, **elements):
    """Put these bytes into a file's elements."""
    dataset = dcmread(path)
    for keyword, content in elements.items():
        element = raw(keyword, content)
        dataset[element.tag] = element
    dataset.save_as(path)


def item(**elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        if isinstance(value, RawDataElement):
            dataset[value.tag] = value
        else:
            setattr(dataset, keyword, value)
    return dataset


def enhanced(path, volume=VOLUME, turn=TURNS["axial"], order=None, spacing=SPACING, frames=None, **elements):
    """Write the planes as frames in ``order``; ``frames``: further functional groups of each, by frame."""
    order = list(order if order is not None else range(len(volume)))
    own = []
    for number, plane in enumerate(order):
        position = item(ImagePositionPatient=digits(lps(turn, plane, 0, 0)))
        more = {keyword: [value] for keyword, value in (frames[number] if frames else {}).items()}
        own.append(item(PlanePositionSequence=[position], **more))
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=list(spacing), SliceThickness=STEP)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=digits(turn))],
    )
    groups = {"SharedFunctionalGroupsSequence": [shared], "PerFrameFunctionalGroupsSequence": own}
    stored = volume[[plane % len(volume) for plane in order]]
    kind = {"SOPClassUID": EnhancedCTImageStorage, "NumberOfFrames": len(order), "Modality": "CT"}
    return dicom(path, stored, **(kind | groups | elements))


def place_of(image, row, column):
    """Where a displayed pixel lies by the image's own grid, in LPS mm, and its source index."""
    mask = np.zeros(image.shape, bool)
    mask[row, column] = True
    ((*index,),) = np.argwhere(image.grid.to_source(mask)).tolist()
    return (image.grid.affine @ [*index, 1])[:3] * [-1, -1, 1], index
