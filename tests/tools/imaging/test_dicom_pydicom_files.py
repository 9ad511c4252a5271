"""Every DICOM file with pixel data that the installed pydicom carries: read as pydicom reads it, or on this list."""

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRLittleEndian

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image

FOLDER = Path(pydicom.__file__).parent / "data"
REFUSED = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "decoded",  # its stream is cut by a delimiter; pydicom fails as well
    "JPEG-lossy.dcm": "more than 8 bits",  # 12-bit JPEG: only a GPL library, or one that fails, decodes it
    "JPGExtended.dcm": "more than 8 bits",  # the same
    "MR_truncated.dcm": "whole pixel data",  # cut short
    "meta_missing_tsyntax.dcm": "without Rows or Columns",  # no picture, only an element of that name
    "nested_priv_SQ.dcm": "without Rows or Columns",  # the same
}


TWINS = {"SC_rgb_jpeg_gdcm.dcm": "SC_rgb_rle.dcm"}  # lossless JPEG, which pydicom needs GDCM for: the same picture


UNCOUNTED = {"badVR.dcm"}  # NumberOfFrames is 1A, which pydicom does not get over, and counts as missing here


def read(path):
    """Read a whole file by pydicom, which has something to say about many of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(path, force=True)
    if path.name in UNCOUNTED:
        del dataset.NumberOfFrames
    return dataset


def carried():
    """Name the files in which pydicom itself finds pixels."""
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file() and path.suffix not in (".py", ".pyc", ".json", ".md", ".txt", ".icc", ".gz", ".dump"):
            dataset = read(path)
            if any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
                yield pytest.param(path, id=path.name)


def shown(values, dataset):
    """Return the picture by pydicom's own window or table, or as stored; None where the file says neither."""
    if "WindowCenter" in dataset or "VOILUTSequence" in dataset:
        levels = apply_voi_lut(values, dataset)
        low, high = apply_voi_lut(np.array([-1e9, 1e9]), dataset)
        pixels = np.floor((levels - low) / (high - low) * 255 + 0.5)
    elif values.dtype == np.uint8 and dataset.BitsStored == 8:
        pixels = values
    else:
        return None
    return 255 - pixels if dataset.PhotometricInterpretation == "MONOCHROME1" else pixels


def coloured(stored, dataset):
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return apply_color_lut(stored, dataset)[..., :3] >> 8
    return np.floor(stored / (2.0**dataset.BitsStored - 1) * 255 + 0.5)


@pytest.mark.parametrize("path", list(carried()))
def test_carried_file_is_read_as_pydicom_reads_it_or_refused_in_one_line(path, capfd):
    dataset = read(path)
    needs = dataset.file_meta.get("TransferSyntaxUID", ExplicitVRLittleEndian)
    known = get_decoder(needs).is_available or path.name in TWINS
    refused = REFUSED.get(path.name) or (None if known else r"\.\[medical\]")
    if refused:
        with pytest.raises(InputError, match=refused) as caught:
            open_image(path, slice="0")
        assert str(caught.value).isprintable()
        assert capfd.readouterr() == ("", "")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = read(path.with_name(TWINS.get(path.name, path.name))).pixel_array
        whole = whole[0] if path.name in UNCOUNTED else whole
    count = int(dataset.get("NumberOfFrames") or 1)
    for number in {0, count - 1}:
        image, stored = open_image(path, slice=str(number)), whole[number] if count > 1 else whole
        if image.values is None:
            assert np.array_equal(image.pixels, coloured(stored, dataset))
            continue
        values = apply_modality_lut(stored, dataset)
        padding = stored == dataset.get("PixelPaddingValue")
        assert np.array_equal(image.values, np.where(padding, np.nan, values), equal_nan=True)
        pixels = shown(values, dataset)
        assert pixels is None or np.array_equal(image.pixels, np.where(padding, 0, pixels))
        assert pixels is not None or np.ptp(image.pixels) == 255 or np.ptp(values) == 0


def test_the_list_names_only_files_that_are_there():
    assert set(REFUSED) <= {parameter.id for parameter in carried()}
