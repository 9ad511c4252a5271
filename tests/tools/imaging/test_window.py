"""Grey values to the display's 256 levels."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing
from support.image_fixtures import COLOUR, GREY, write_dicom

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.imaging.window import WINDOWS, Percentiles, Window, apply_window, parse_window


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_window_agrees_with_pydicom(function):
    header = Dataset()
    header.PhotometricInterpretation, header.BitsStored, header.PixelRepresentation = "MONOCHROME2", 8, 0
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = 100, 50, function
    values = np.linspace(-20, 300, 641).reshape(1, -1)
    expected = np.floor(apply_windowing(values, header) + 0.5)
    assert np.array_equal(apply_window(values, Window(100, 50, function)), expected)


def test_linear_window_edges_follow_the_standard():
    # PS3.3 C.11.2.1.2.1: for c=40, w=400 black up to -160, white above 239.
    levels = apply_window(np.array([[-161.0, -160, 39.5, 239, 240]]), Window(40, 400))
    assert levels.tolist() == [[0, 0, 128, 255, 255]]
    assert apply_window(np.array([[9.0, 9.5, 10, 11]]), Window(10, 1)).tolist() == [[0, 0, 255, 255]]


def test_percentiles_fall_back_to_the_extremes():
    values = np.zeros((100, 100))
    values[5, 5] = 8
    assert apply_window(values, Percentiles(0.5, 99.5))[5, 5] == 255


@pytest.mark.parametrize(
    "text", ["", "skull", "40", "40,0", "40,-1", "nan,400", "40,inf", "p5,p5", "p-1,p99", "p1,99", "1,2,3"]
)
def test_bad_window_lists_the_names(text):
    with pytest.raises(InputError) as caught:
        parse_window(text, "a.dcm", hounsfield=True)
    assert all(name in str(caught.value) for name in WINDOWS)


def test_window_names_need_hounsfield_units(tmp_path):
    hounsfield = (GREY.astype(np.int16) - 100) * 5
    mr, ct = write_dicom(tmp_path / "mr", hounsfield), write_dicom(tmp_path / "ct", hounsfield, Modality="CT")
    assert np.array_equal(
        open_image(ct, window="Lung ").pixels, apply_window(hounsfield.astype(float), Window(-600, 1500))
    )
    assert np.array_equal(open_image(hounsfield, window="lung").pixels, open_image(ct, window="lung").pixels)
    for source in (mr, GREY, GREY.astype(np.uint16)):
        with pytest.raises(InputError, match="HU"):
            open_image(source, window="lung")
    with pytest.raises(InputError, match="colour"):
        open_image(COLOUR, window="40,400")
