"""Pictures, DICOM files and NIfTI files that the tests write and whose every pixel is known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

GREY = (np.arange(35, dtype=np.uint8) * 7).reshape(5, 7)  # no two pixels alike: any flip or transpose shows
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)
PATIENT = "Doe^Jane"


def write_png(array: NDArray[Any], path: Path, **options: Any) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def write_dicom(
    path: Path,
    stored: NDArray[Any],
    *,
    syntax: str = ExplicitVRLittleEndian,
    preamble: bytes = b"\0" * 128,
    **elements: Any,
) -> Path:
    """Write a file that holds ``stored`` (rows, columns[, 3]) unsigned or signed pixels."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID, dataset.Modality = PATIENT, "4711", "MR"
    bits = stored.dtype.itemsize * 8
    dataset.Rows, dataset.Columns = stored.shape[-2:] if stored.shape[-1] != 3 else stored.shape[-3:-1]
    dataset.SamplesPerPixel = 3 if stored.shape[-1] == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if stored.shape[-1] == 3 else "MONOCHROME2"
    if stored.shape[-1] == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes()
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        elif isinstance(value, RawDataElement):
            dataset[value.tag] = value
        else:
            setattr(dataset, keyword, value)
    dataset.preamble = preamble
    dataset.save_as(path, enforce_file_format=True)
    return path


def build_raw_element(keyword: str, content: bytes, kind: str = "DS") -> RawDataElement:
    """Write these bytes as an element, whether it may hold them or not."""
    content += b" " * (len(content) % 2)
    return RawDataElement(Tag(keyword), kind, len(content), content, 0, False, True)


def build_lut(entries: Sequence[int], first: int, bits: int) -> list[Dataset]:
    item = Dataset()
    item.add_new(0x00283002, "US", [len(entries), first, bits])
    item.add_new(0x00283006, "US", list(entries))
    return [item]


# Volume in RAS: values 100 * x + 10 * y + z at world (x, y, z) mm apart by (2, 3, 4).
RAS = np.fromfunction(lambda x, y, z: 100 * x + 10 * y + z, (4, 6, 5)).astype(np.int16)
AFFINE = np.array([[2.0, 0, 0, -10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])


def write_nifti(path: Path, codes: str = "RAS", volume: NDArray[Any] = RAS, affine: NDArray[Any] = AFFINE) -> Path:
    """Store the RAS volume with its axes along ``codes``; the world places of the voxels stay."""
    kind: Any = nib.Nifti1Image
    image = kind(volume, affine)
    if codes != "RAS":
        ornt: Any = nib.orientations
        image = image.as_reoriented(ornt.ornt_transform(ornt.axcodes2ornt("RAS"), ornt.axcodes2ornt(codes)))
    nib.save(image, path)
    return path


UPRIGHT = {  # EXIF 2.3, tag 0x0112: where the stored first row and column lie
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
