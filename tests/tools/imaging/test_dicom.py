"""DICOM as its own display rules say."""

import logging
import struct

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from support.image_fixtures import COLOUR, GREY, build_lut, write_dicom

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Spacing
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.imaging.window import WINDOWS, Percentiles, Window, apply_window


def test_rescale_comes_before_the_window(tmp_path):
    stored = (GREY.astype(np.int16) * 10) - 500
    image = open_image(
        write_dicom(
            tmp_path / "a.dcm", stored, Modality="CT", RescaleSlope=2, RescaleIntercept=-1000,
            WindowCenter=-1000, WindowWidth=3000, PixelSpacing=[0.5, 0.75], ImagerPixelSpacing=[9, 9],
        )
    )  # fmt: skip
    hounsfield = stored * 2.0 - 1000
    assert np.array_equal(image.values, hounsfield)
    assert np.array_equal(image.pixels, apply_window(hounsfield, Window(-1000, 3000)))
    assert (image.modality, image.spacing, image.window, image.slice) == ("CT", Spacing(0.5, 0.75), None, None)


def test_first_of_several_windows_counts(tmp_path):
    elements = {"WindowCenter": [100, 40], "WindowWidth": [200, 400]}
    image = open_image(write_dicom(tmp_path / "a.dcm", GREY.astype(np.int16), **elements))
    assert np.array_equal(image.pixels, apply_window(GREY.astype(float), Window(100, 200)))


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_window_function_of_the_file_counts(tmp_path, function):
    path = write_dicom(tmp_path / "a", GREY.astype(np.int16), WindowCenter=90, WindowWidth=80, VOILUTFunction=function)
    assert np.array_equal(open_image(path).pixels, apply_window(GREY.astype(float), Window(90, 80, function)))


@pytest.mark.parametrize(
    "elements",
    [{}, {"WindowCenter": 90, "WindowWidth": 80}, {"VOILUTSequence": build_lut(range(0, 4096, 16), 0, 12)}],
    ids=["plain", "window", "table"],
)
def test_monochrome1_is_inverted_last(tmp_path, elements):
    plain = open_image(write_dicom(tmp_path / "2", GREY.astype(np.uint16), **elements))
    inverse = open_image(
        write_dicom(tmp_path / "1", GREY.astype(np.uint16), PhotometricInterpretation="MONOCHROME1", **elements)
    )
    assert np.array_equal(inverse.pixels, 255 - plain.pixels)
    assert np.array_equal(inverse.values, plain.values)
    assert plain.pixels[0, 0] < plain.pixels[-1, -1]


def test_voi_table_spans_its_declared_bits(tmp_path):
    table = np.arange(256) ** 2 // 16  # 12 bits
    elements = {"VOILUTSequence": build_lut(table.tolist(), 0, 12), "WindowCenter": 1, "WindowWidth": 2}
    path = write_dicom(tmp_path / "a", GREY.astype(np.uint16), **elements)
    assert np.array_equal(open_image(path).pixels, np.floor(table[GREY] / 4095 * 255 + 0.5))


def test_modality_table_gives_the_values(tmp_path):
    table = list(range(1000, 1256))
    image = open_image(write_dicom(tmp_path / "a", GREY.astype(np.uint16), ModalityLUTSequence=build_lut(table, 0, 16)))
    assert np.array_equal(image.values, GREY + 1000.0)


def test_ct_without_a_window_gets_the_abdominal_one(tmp_path):
    hounsfield = GREY.astype(np.int16) * 4 - 400
    image = open_image(write_dicom(tmp_path / "a", hounsfield, Modality="CT", WindowCenter=40, WindowWidth=0))
    assert np.array_equal(image.pixels, apply_window(hounsfield.astype(float), WINDOWS["abdomen"]))


def test_eight_bits_without_a_window_are_shown_as_stored(tmp_path):
    image = open_image(write_dicom(tmp_path / "a", GREY[:, :6], RescaleSlope=1, RescaleIntercept=0))
    assert np.array_equal(image.pixels, GREY[:, :6])


def test_other_modalities_without_a_window_get_percentiles(tmp_path):
    image = open_image(write_dicom(tmp_path / "a", GREY.astype(np.uint16) * 16))
    assert np.array_equal(image.pixels, apply_window(GREY * 16.0, Percentiles(0.5, 99.5)))


def test_colour_dicom(tmp_path):
    rgb = COLOUR[:, :6]
    image = open_image(write_dicom(tmp_path / "rgb", rgb))
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
    by_plane = write_dicom(tmp_path / "planar", rgb, PlanarConfiguration=1, PixelData=planes.tobytes())
    assert np.array_equal(image.pixels, rgb)
    assert np.array_equal(open_image(by_plane).pixels, rgb)
    assert image.values is None
    deep = write_dicom(tmp_path / "deep", rgb.astype(np.uint16) * 16, BitsStored=12, HighBit=11)
    assert np.abs(open_image(deep).pixels - rgb.astype(int)).max() <= 1
    ybr = Image.fromarray(rgb).convert("YCbCr")
    path = write_dicom(tmp_path / "ybr", np.asarray(ybr), PhotometricInterpretation="YBR_FULL")
    assert np.abs(open_image(path).pixels - rgb.astype(int)).max() <= 3


def test_palette_dicom(tmp_path):
    path = write_dicom(tmp_path / "a", GREY[:, :6] % 4, PhotometricInterpretation="PALETTE COLOR")
    dataset = dcmread(path)
    tables = {"Red": [0, 1, 2, 3], "Green": [4, 5, 6, 7], "Blue": [8, 9, 10, 255]}
    for colour, table in tables.items():
        dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [4, 0, 16])
        words = np.array(table, "<u2") << 8
        setattr(dataset, f"{colour}PaletteColorLookupTableData", words.astype("<u2").tobytes())
    dataset.save_as(path)
    expected = np.stack([np.array(table)[GREY[:, :6] % 4] for table in tables.values()], axis=-1)
    assert np.array_equal(open_image(path).pixels, expected)


def test_spacing_of_the_detector_is_second_choice(tmp_path):
    images = [
        open_image(write_dicom(tmp_path / "a", GREY.astype(np.int16), **elements))
        for elements in ({"ImagerPixelSpacing": [0.1, 0.2]}, {"PixelSpacing": [0, 1]}, {})
    ]
    assert [image.spacing for image in images] == [Spacing(0.1, 0.2), None, None]


def test_frames_must_be_named(tmp_path):
    frames = np.stack([GREY, GREY[::-1]])[:, :, :6].astype(np.int16)
    path = write_dicom(tmp_path / "a.dcm", frames, NumberOfFrames=2)
    with pytest.raises(InputError, match=r"2 frames.*slice=0\.\.1"):
        open_image(path)
    image = open_image(path, slice="1", window="p0,p100")
    assert np.array_equal(image.values, frames[1])
    assert image.slice == "1"
    single = write_dicom(tmp_path / "b.dcm", frames[0], NumberOfFrames=1)
    assert np.array_equal(open_image(single).values, frames[0])


def test_dicom_is_told_by_its_content(tmp_path):
    plain = open_image(write_dicom(tmp_path / "a.bin", GREY.astype(np.int16)))
    dual = open_image(write_dicom(tmp_path / "b.tif", GREY.astype(np.int16), preamble=b"II*\0".ljust(128, b"\0")))
    assert plain.sha == dual.sha
    without_header = tmp_path / "c.dcm"
    whole = (tmp_path / "a.bin").read_bytes()
    length = 132 + 12 + struct.unpack("<I", whole[140:144])[0]  # preamble, magic, group length element, group 2
    without_header.write_bytes(whole[length:])
    assert open_image(without_header).sha == plain.sha


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "examples_palette.dcm"])
def test_pydicoms_own_files_open(name):
    image = open_image(get_testdata_file(name))
    assert image.pixels.max() > image.pixels.min()


def test_nothing_of_a_patient_is_kept_or_told(tmp_path, caplog):
    path = write_dicom(tmp_path / "a.dcm", GREY.astype(np.int16), PixelSpacing=[7.125, 7.125])
    image = open_image(path)
    assert "Jane" not in repr(image)
    assert "a.dcm" not in repr(image)
    # pydicom's own error, warning and log line would quote what stands where a number should.
    broken = path.read_bytes().replace(b"7.125\\7.125", b"Jane\nDoe.\\1")
    (tmp_path / "b.dcm").write_bytes(broken)
    cut = path.read_bytes().replace(b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00DSJane")  # where Rows should be
    (tmp_path / "c.dcm").write_bytes(cut)
    with caplog.at_level(logging.DEBUG):
        odd = open_image(tmp_path / "b.dcm")
        with pytest.raises(InputError) as caught:
            open_image(tmp_path / "c.dcm")
    assert odd.notes == ("empty or unreadable in the file, and taken as missing: PixelSpacing",)
    assert "Jane" not in repr(odd) + str(caught.value) + caplog.text
    assert caught.value.__cause__ is None
