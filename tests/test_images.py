"""Opening images: every reader shows the same picture for the same content, and refuses the rest in one line."""

import base64
import gzip
import io
import logging
import struct
import threading
import warnings
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_windowing
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    RTStructureSetStorage,
    generate_uid,
)

from ibisagent.tools.decoding import MAX_PIXELS, decoding
from ibisagent.tools.errors import InputError
from ibisagent.tools.images import MedicalImage, Spacing, open_image
from ibisagent.tools.window import WINDOWS, Percentiles, Window, parse_window, render

GREY = (np.arange(35, dtype=np.uint8) * 7).reshape(5, 7)  # no two pixels alike: any flip or transpose shows
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)
PATIENT = "Doe^Jane"


def png(array, path, **options):
    Image.fromarray(array).save(path, **options)
    return path


def dicom(path, stored, *, syntax=ExplicitVRLittleEndian, preamble=b"\0" * 128, **elements):
    """Write a file that holds ``stored`` (rows, columns[, 3]) unsigned or signed pixels."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
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
        else:
            setattr(dataset, keyword, value)
    dataset.preamble = preamble
    dataset.save_as(path, enforce_file_format=True)
    return path


def lut(entries, first, bits):
    item = Dataset()
    item.add_new(0x00283002, "US", [len(entries), first, bits])
    item.add_new(0x00283006, "US", list(entries))
    return [item]


# Volume in RAS: values 100 * x + 10 * y + z at world (x, y, z) mm apart by (2, 3, 4).
RAS = np.fromfunction(lambda x, y, z: 100 * x + 10 * y + z, (4, 6, 5)).astype(np.int16)
AFFINE = np.array([[2.0, 0, 0, -10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])


def nifti(path, codes="RAS", volume=RAS, affine=AFFINE):
    """Store the RAS volume with its axes along ``codes``; the world places of the voxels stay."""
    image = nib.Nifti1Image(volume, affine)
    if codes != "RAS":
        turn = nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
        )
        image = image.as_reoriented(turn)
    nib.save(image, path)
    return path


# Raster pictures


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
@pytest.mark.parametrize("array", [GREY, COLOUR], ids=["grey", "colour"])
def test_lossless_picture_comes_as_it_is_stored(tmp_path, ending, array):
    image = open_image(png(array, tmp_path / f"a.{ending}"))
    assert np.array_equal(image.pixels, array)
    assert image.pixels.dtype == np.uint8
    assert (image.values, image.spacing, image.modality, image.slice) == (None, None, None, None)


def test_content_counts_not_the_name(tmp_path):
    assert np.array_equal(open_image(png(GREY, tmp_path / "a.jpg", format="PNG")).pixels, GREY)


UPRIGHT = {  # EXIF 2.3, tag 0x0112: where the stored first row and column lie
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_is_obeyed(tmp_path, orientation, kind):
    stored = Image.fromarray(np.kron(GREY, np.ones((8, 8), np.uint8)))
    exif = stored.getexif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a", format=kind, exif=exif)
    expected = np.asarray(stored.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else stored)
    shown = open_image(tmp_path / "a").pixels
    assert shown.shape == expected.shape == ((56, 40) if orientation > 4 else (40, 56))
    assert np.abs(shown.astype(int) - expected).max() <= 3  # JPEG
    if kind != "TIFF":  # Pillow does not turn a TIFF that it opens by name
        with Image.open(tmp_path / "a") as picture:
            assert np.array_equal(open_image(picture).pixels, shown)


def test_alpha_is_composited_on_black(tmp_path):
    alpha = np.full(GREY.shape, 255, np.uint8)
    alpha[0], alpha[1, 0] = 0, 128
    rgba = np.dstack([np.full((*GREY.shape, 3), 200, np.uint8), alpha])
    pixels = open_image(png(rgba, tmp_path / "a.png")).pixels
    assert (pixels[0] == 0).all()
    assert (pixels[2:] == 200).all()
    assert (pixels[1, 0] == 100).all()
    assert np.array_equal(open_image(rgba).pixels, pixels)


def test_palette_is_expanded(tmp_path):
    picture = Image.frombytes("P", (7, 5), (GREY % 3).tobytes())
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.save(tmp_path / "a.png")
    colours = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], np.uint8)
    assert np.array_equal(open_image(tmp_path / "a.png").pixels, colours[GREY % 3])


@pytest.mark.parametrize("mode", ["1", "CMYK", "LA", "YCbCr"])
def test_other_modes_become_grey_or_colour(mode):
    picture = Image.fromarray(COLOUR).convert(mode)
    expected = np.asarray(picture.convert("L" if mode in ("1", "LA") else "RGB"))
    assert np.array_equal(open_image(picture).pixels, expected)


def test_sixteen_bits_are_kept_until_windowing(tmp_path):
    deep = (np.arange(35, dtype=np.uint16) * 1000).reshape(5, 7)
    image = open_image(png(deep, tmp_path / "a.png"), window="p0,p100")
    assert np.array_equal(image.values, deep)
    assert np.array_equal(image.pixels, np.floor(deep / 34000 * 255 + 0.5))
    assert np.array_equal(open_image(deep, window="p0,p100").pixels, image.pixels)


def test_float_tiff_keeps_its_values(tmp_path):
    values = GREY.astype(np.float32) / 100 - 1
    image = open_image(png(values, tmp_path / "a.tif"), window="0,1")
    assert np.array_equal(image.values, values)
    assert np.array_equal(image.pixels, np.floor(np.clip(values.astype(np.float64) + 0.5, 0, 1) * 255 + 0.5))


def test_slice_chooses_a_page(tmp_path):
    first, second = Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    assert np.array_equal(open_image(tmp_path / "a.tif").pixels, GREY)
    image = open_image(tmp_path / "a.tif", slice="1")
    assert np.array_equal(image.pixels, GREY[::-1])
    assert image.slice == "1"
    with pytest.raises(InputError, match="from 0 to 1"):
        open_image(tmp_path / "a.tif", slice="2")


def test_every_way_of_naming_a_picture_gives_the_same(tmp_path):
    path = png(COLOUR, tmp_path / "a b.png")
    data = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    sources = [path, str(path), path.as_uri(), data, Image.open(path), COLOUR]
    images = [open_image(source) for source in sources]
    assert len({image.sha for image in images}) == 1
    assert [image.uri for image in images] == [str(path)] * 3 + [None] * 3
    assert open_image(images[0]) is images[0]
    assert open_image(images[0], slice=images[0].slice) is images[0]
    with pytest.raises(InputError, match="opened image"):
        open_image(images[0], window="40,400")


def test_pixels_are_read_only_and_the_source_is_left_alone():
    array = GREY.copy()
    image = open_image(array)
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0] = 1
    array[0, 0] = 99
    assert image.pixels[0, 0] == 0
    picture = Image.fromarray(GREY)
    open_image(picture)
    assert np.array_equal(np.asarray(picture), GREY)


def test_content_hash_depends_on_pixels_and_shape():
    shas = [open_image(array).sha for array in (GREY, GREY.reshape(7, 5), GREY + 1, COLOUR)]
    assert len(set(shas)) == 4
    assert all(len(sha) == 32 and int(sha, 16) >= 0 for sha in shas)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (GREY > 100, (GREY > 100) * 255),
        ((COLOUR.astype(np.uint16) * 257), COLOUR),
        ((COLOUR / 255.0), COLOUR),
        (np.array([[0, np.nan], [np.inf, 10.0]]), [[0, 0], [0, 255]]),
        (np.full((2, 2), np.nan), [[0, 0], [0, 0]]),
        (np.full((2, 2), 5, np.int16), [[0, 0], [0, 0]]),
        (GREY[..., None], GREY),
    ],
    ids=["bool", "uint16 colour", "float colour", "not finite", "nothing finite", "constant", "one channel"],
)
def test_arrays(array, expected):
    window = "p0,p100" if array.dtype.kind == "f" and array.ndim == 2 else None
    assert np.array_equal(open_image(array, window=window).pixels, expected)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 2)),
        np.zeros(4),
        np.zeros((0, 4)),
        np.zeros((2, 2), complex),
        COLOUR.astype(float),
        np.array("a"),
    ],
    ids=["two channels", "1-D", "empty", "complex", "float colour to 255", "text"],
)
def test_wrong_array_is_refused(array):
    with pytest.raises(InputError, match="got"):
        open_image(array)


# Windows


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_window_agrees_with_pydicom(function):
    header = Dataset()
    header.PhotometricInterpretation, header.BitsStored, header.PixelRepresentation = "MONOCHROME2", 8, 0
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = 100, 50, function
    values = np.linspace(-20, 300, 641).reshape(1, -1)
    expected = np.floor(apply_windowing(values, header) + 0.5)
    assert np.array_equal(render(values, Window(100, 50, function)), expected)


def test_linear_window_edges_follow_the_standard():
    # PS3.3 C.11.2.1.2.1: for c=40, w=400 black up to -160, white above 239.
    levels = render(np.array([[-161.0, -160, 39.5, 239, 240]]), Window(40, 400))
    assert levels.tolist() == [[0, 0, 128, 255, 255]]
    assert render(np.array([[9.0, 9.5, 10, 11]]), Window(10, 1)).tolist() == [[0, 0, 255, 255]]


def test_percentiles_fall_back_to_the_extremes():
    values = np.zeros((100, 100))
    values[5, 5] = 8
    assert render(values, Percentiles(0.5, 99.5))[5, 5] == 255


@pytest.mark.parametrize(
    "text", ["", "skull", "40", "40,0", "40,-1", "nan,400", "40,inf", "p5,p5", "p-1,p99", "p1,99", "1,2,3"]
)
def test_bad_window_lists_the_names(text):
    with pytest.raises(InputError) as caught:
        parse_window(text, "a.dcm", hounsfield=True)
    assert all(name in str(caught.value) for name in WINDOWS)


def test_window_names_need_hounsfield_units(tmp_path):
    hounsfield = (GREY.astype(np.int16) - 100) * 5
    mr, ct = dicom(tmp_path / "mr", hounsfield), dicom(tmp_path / "ct", hounsfield, Modality="CT")
    assert np.array_equal(open_image(ct, window="Lung ").pixels, render(hounsfield.astype(float), Window(-600, 1500)))
    assert np.array_equal(open_image(hounsfield, window="lung").pixels, open_image(ct, window="lung").pixels)
    for source in (mr, GREY, GREY.astype(np.uint16)):
        with pytest.raises(InputError, match="HU"):
            open_image(source, window="lung")
    with pytest.raises(InputError, match="colour"):
        open_image(COLOUR, window="40,400")


# DICOM


def test_rescale_comes_before_the_window(tmp_path):
    stored = (GREY.astype(np.int16) * 10) - 500
    image = open_image(
        dicom(
            tmp_path / "a.dcm", stored, Modality="CT", RescaleSlope=2, RescaleIntercept=-1000,
            WindowCenter=-1000, WindowWidth=3000, PixelSpacing=[0.5, 0.75], ImagerPixelSpacing=[9, 9],
        )
    )  # fmt: skip
    hounsfield = stored * 2.0 - 1000
    assert np.array_equal(image.values, hounsfield)
    assert np.array_equal(image.pixels, render(hounsfield, Window(-1000, 3000)))
    assert (image.modality, image.spacing, image.window, image.slice) == ("CT", Spacing(0.5, 0.75), None, None)


def test_first_of_several_windows_counts(tmp_path):
    elements = {"WindowCenter": [100, 40], "WindowWidth": [200, 400]}
    image = open_image(dicom(tmp_path / "a.dcm", GREY.astype(np.int16), **elements))
    assert np.array_equal(image.pixels, render(GREY.astype(float), Window(100, 200)))


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_window_function_of_the_file_counts(tmp_path, function):
    path = dicom(tmp_path / "a", GREY.astype(np.int16), WindowCenter=90, WindowWidth=80, VOILUTFunction=function)
    assert np.array_equal(open_image(path).pixels, render(GREY.astype(float), Window(90, 80, function)))


@pytest.mark.parametrize(
    "elements",
    [{}, {"WindowCenter": 90, "WindowWidth": 80}, {"VOILUTSequence": lut(range(0, 4096, 16), 0, 12)}],
    ids=["plain", "window", "table"],
)
def test_monochrome1_is_inverted_last(tmp_path, elements):
    plain = open_image(dicom(tmp_path / "2", GREY.astype(np.uint16), **elements))
    inverse = open_image(
        dicom(tmp_path / "1", GREY.astype(np.uint16), PhotometricInterpretation="MONOCHROME1", **elements)
    )
    assert np.array_equal(inverse.pixels, 255 - plain.pixels)
    assert np.array_equal(inverse.values, plain.values)
    assert plain.pixels[0, 0] < plain.pixels[-1, -1]


def test_voi_table_spans_its_declared_bits(tmp_path):
    table = np.arange(256) ** 2 // 16  # 12 bits
    elements = {"VOILUTSequence": lut(table.tolist(), 0, 12), "WindowCenter": 1, "WindowWidth": 2}
    path = dicom(tmp_path / "a", GREY.astype(np.uint16), **elements)
    assert np.array_equal(open_image(path).pixels, np.floor(table[GREY] / 4095 * 255 + 0.5))


def test_modality_table_gives_the_values(tmp_path):
    table = list(range(1000, 1256))
    image = open_image(dicom(tmp_path / "a", GREY.astype(np.uint16), ModalityLUTSequence=lut(table, 0, 16)))
    assert np.array_equal(image.values, GREY + 1000.0)


def test_ct_without_a_window_gets_the_abdominal_one(tmp_path):
    hounsfield = GREY.astype(np.int16) * 4 - 400
    image = open_image(dicom(tmp_path / "a", hounsfield, Modality="CT", WindowCenter=40, WindowWidth=0))
    assert np.array_equal(image.pixels, render(hounsfield.astype(float), WINDOWS["abdomen"]))


def test_eight_bits_without_a_window_are_shown_as_stored(tmp_path):
    image = open_image(dicom(tmp_path / "a", GREY[:, :6], RescaleSlope=1, RescaleIntercept=0))
    assert np.array_equal(image.pixels, GREY[:, :6])


def test_other_modalities_without_a_window_get_percentiles(tmp_path):
    image = open_image(dicom(tmp_path / "a", GREY.astype(np.uint16) * 16))
    assert np.array_equal(image.pixels, render(GREY * 16.0, Percentiles(0.5, 99.5)))


def test_colour_dicom(tmp_path):
    rgb = COLOUR[:, :6]
    image = open_image(dicom(tmp_path / "rgb", rgb))
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
    by_plane = dicom(tmp_path / "planar", rgb, PlanarConfiguration=1, PixelData=planes.tobytes())
    assert np.array_equal(image.pixels, rgb)
    assert np.array_equal(open_image(by_plane).pixels, rgb)
    assert image.values is None
    deep = dicom(tmp_path / "deep", rgb.astype(np.uint16) * 16, BitsStored=12, HighBit=11)
    assert np.abs(open_image(deep).pixels - rgb.astype(int)).max() <= 1
    ybr = Image.fromarray(rgb).convert("YCbCr")
    path = dicom(tmp_path / "ybr", np.asarray(ybr), PhotometricInterpretation="YBR_FULL")
    assert np.abs(open_image(path).pixels - rgb.astype(int)).max() <= 3


def test_palette_dicom(tmp_path):
    path = dicom(tmp_path / "a", GREY[:, :6] % 4, PhotometricInterpretation="PALETTE COLOR")
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
        open_image(dicom(tmp_path / "a", GREY.astype(np.int16), **elements))
        for elements in ({"ImagerPixelSpacing": [0.1, 0.2]}, {"PixelSpacing": [0, 1]}, {})
    ]
    assert [image.spacing for image in images] == [Spacing(0.1, 0.2), None, None]


def test_frames_must_be_named(tmp_path):
    frames = np.stack([GREY, GREY[::-1]])[:, :, :6].astype(np.int16)
    path = dicom(tmp_path / "a.dcm", frames, NumberOfFrames=2)
    with pytest.raises(InputError, match=r"2 frames.*slice=0\.\.1"):
        open_image(path)
    image = open_image(path, slice="1", window="p0,p100")
    assert np.array_equal(image.values, frames[1])
    assert image.slice == "1"
    single = dicom(tmp_path / "b.dcm", frames[0], NumberOfFrames=1)
    assert np.array_equal(open_image(single).values, frames[0])


def test_dicom_is_told_by_its_content(tmp_path):
    plain = open_image(dicom(tmp_path / "a.bin", GREY.astype(np.int16)))
    dual = open_image(dicom(tmp_path / "b.tif", GREY.astype(np.int16), preamble=b"II*\0".ljust(128, b"\0")))
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
    path = dicom(tmp_path / "a.dcm", GREY.astype(np.int16), PixelSpacing=[7.125, 7.125])
    image = open_image(path)
    assert "Jane" not in repr(image)
    assert "a.dcm" not in repr(image)
    # pydicom's own error, warning and log line would quote what stands where a number should.
    broken = path.read_bytes().replace(b"7.125\\7.125", b"Jane\nDoe.\\1")
    (tmp_path / "b.dcm").write_bytes(broken)
    with caplog.at_level(logging.DEBUG), pytest.raises(InputError) as caught:
        open_image(tmp_path / "b.dcm")
    assert "Jane" not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None


# NIfTI


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPS", "PIR", "SAL", "IPL"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_every_storage_order_shows_the_same_picture(tmp_path, codes, ending):
    path = nifti(tmp_path / f"a{ending}", codes)
    axial, coronal, sagittal = (open_image(path, slice=f"{name}:1") for name in ("axial", "coronal", "sagittal"))
    # Rows from front (or head) to back (or feet); columns from the patient's right, or from the front.
    assert np.array_equal(axial.values, RAS[::-1, ::-1, 1].T)
    assert np.array_equal(coronal.values, RAS[::-1, 1, ::-1].T)
    assert np.array_equal(sagittal.values, RAS[1, ::-1, ::-1].T)
    assert [image.spacing for image in (axial, coronal, sagittal)] == [Spacing(3, 2), Spacing(4, 2), Spacing(4, 3)]
    assert np.array_equal(axial.pixels, render(axial.values, Percentiles(0.5, 99.5), RAS.astype(np.float32)))


def test_oblique_volume_is_shown_along_its_nearest_axes(tmp_path):
    angle = np.deg2rad(20)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    path = nifti(tmp_path / "a.nii", "PIR", affine=turn @ AFFINE)
    assert np.array_equal(open_image(path, slice="2").values, RAS[::-1, ::-1, 2].T)


@pytest.mark.parametrize(
    ("wanted", "opened"),
    [
        (None, "axial:2"),
        ("middle", "axial:2"),
        ("0", "axial:0"),
        ("Coronal:middle", "coronal:3"),
        ("sagittal:3", "sagittal:3"),
    ],
)
def test_slice_is_named_by_plane_and_index(tmp_path, wanted, opened):
    image = open_image(nifti(tmp_path / "a.nii"), slice=wanted)
    assert image.slice == opened
    assert open_image(image.uri, slice=image.slice, window=image.window).sha == image.sha


@pytest.mark.parametrize("wanted", ["5", "-1", "axial:5", "oblique:1", "axial:", "axial:x", "a:b:c", "axial:²"])
def test_wrong_slice_lists_the_ranges(tmp_path, wanted):
    with pytest.raises(InputError, match=r"axial:0\.\.4, coronal:0\.\.5, sagittal:0\.\.3"):
        open_image(nifti(tmp_path / "a.nii"), slice=wanted)


def test_undefined_unit_counts_as_millimetres(tmp_path):
    content = bytearray(nifti(tmp_path / "a.nii").read_bytes())
    content[123] = 4  # xyzt_units
    (tmp_path / "a.nii").write_bytes(content)
    assert open_image(tmp_path / "a.nii").spacing == Spacing(3, 2)


def test_scaled_values_units_and_named_window(tmp_path):
    image = nib.Nifti1Image(RAS, AFFINE)
    image.header.set_slope_inter(0.5, -100)
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "a.nii")
    with (tmp_path / "a.nii").open("r+b") as file:  # nibabel resets the scaling on saving
        file.seek(112)
        file.write(struct.pack("<ff", 0.5, -100))
    opened = open_image(tmp_path / "a.nii", slice="1", window="lung")
    assert np.array_equal(opened.values, RAS[::-1, ::-1, 1].T * 0.5 - 100)
    assert np.array_equal(opened.pixels, render(opened.values, WINDOWS["lung"]))
    assert opened.spacing == Spacing(0.003, 0.002)


def test_flat_and_single_slice_files_open(tmp_path):
    flat = open_image(nifti(tmp_path / "a.nii", volume=RAS[:, :, 1]))
    assert np.array_equal(flat.values, RAS[::-1, ::-1, 1].T)
    trailing = open_image(nifti(tmp_path / "b.nii", volume=RAS[..., None, None]), slice="1")
    assert np.array_equal(trailing.values, flat.values)
    thin = open_image(nifti(tmp_path / "c.nii", volume=RAS[1:2]))
    assert thin.slice == "sagittal:0"


def test_not_finite_voxels_are_black(tmp_path):
    volume = RAS.astype(np.float32)
    volume[0, 0, 2], volume[1, 0, 2], volume[2, 0, 2] = np.nan, np.inf, -np.inf
    image = open_image(nifti(tmp_path / "a.nii", volume=volume))
    assert image.pixels[-1].tolist()[1:] == [0, 0, 0]
    assert image.pixels.max() > 200
    empty = open_image(nifti(tmp_path / "b.nii", volume=volume * np.nan))
    assert not empty.pixels.any()


# What is refused


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width, height):
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return start + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")


def nifti_header(shape, dtype=np.int16):
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    header["magic"], header["vox_offset"] = b"n+1", 352
    header["srow_x"], header["srow_y"], header["srow_z"], header["sform_code"] = *AFFINE[:3], 1
    return header.binaryblock + b"\0" * 4


def half(content):
    return content[: len(content) // 2]


def encoded(array, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def saved(writer, folder, name, *arguments, **options):
    return writer(folder / name, *arguments, **options).read_bytes()


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
HOSTILE = {
    "empty.png": lambda folder: b"",
    "empty.nii.gz": lambda folder: b"",
    "text.dcm": lambda folder: b"Dear colleague,\nplease find enclosed\n" * 20,
    "text.png": lambda folder: b"no picture",
    "text.nii": lambda folder: b"no volume" * 100,
    "text.nii.gz": lambda folder: b"no volume" * 100,
    "text.xyz": lambda folder: b"what is this",
    "short.dcm": lambda folder: b"\0" * 128 + b"DICM",
    "half.png": lambda folder: half(encoded(NOISE, "PNG")),
    "half.jpg": lambda folder: half(encoded(NOISE, "JPEG")),
    "half.gif": lambda folder: half(encoded(NOISE, "GIF")),
    "half.bmp": lambda folder: half(encoded(NOISE, "BMP")),
    "half.tif": lambda folder: half(encoded(NOISE, "TIFF")),
    "half_lzw.tif": lambda folder: half(encoded(NOISE, "TIFF", compression="tiff_lzw")),
    "half.dcm": lambda folder: half(saved(dicom, folder, "b", NOISE.astype(np.int16))),
    "half.nii": lambda folder: half(saved(nifti, folder, "b.nii")),
    "half.nii.gz": lambda folder: half(saved(nifti, folder, "b.nii.gz")),
    "head.nii": lambda folder: saved(nifti, folder, "b.nii")[:100],
    "rubbish.png": lambda folder: b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "rubbish.jpg": lambda folder: b"\xff\xd8\xff" + bytes(range(256)),
    "rubbish.tif": lambda folder: b"II*\0" + bytes(range(256)),
    "huge.png": lambda folder: png_header(60_000, 60_000),
    "large.png": lambda folder: png_header(10_000, 10_000),
    "zero.png": lambda folder: png_header(0, 10),
    "huge.dcm": lambda folder: saved(dicom, folder, "b", GREY[:, :6], Rows=60_000, Columns=60_000),
    "zero.dcm": lambda folder: saved(dicom, folder, "b", GREY[:, :6], Rows=0),
    "no_pixels.dcm": lambda folder: saved(
        dicom, folder, "b", GREY[:, :6], PixelData=None, SOPClassUID=RTStructureSetStorage
    ),
    "no_rows.dcm": lambda folder: saved(dicom, folder, "b", GREY[:, :6], Rows=None),
    "jpegls.dcm": lambda folder: saved(dicom, folder, "b", GREY[:, :6]).replace(
        ExplicitVRLittleEndian.encode() + b"\0", JPEGLSLossless.encode()[: len(ExplicitVRLittleEndian) + 1]
    ),
    "huge.nii.gz": lambda folder: gzip.compress(nifti_header((30_000, 30_000, 30_000))),
    "claims.nii.gz": lambda folder: gzip.compress(nifti_header((1000, 1000, 1000))),
    "claims.nii": lambda folder: nifti_header((1000, 1000, 1000)),
    "flat.nii.gz": lambda folder: gzip.compress(nifti_header((30_000, 30_000, 1), np.uint8)),
    "4d.nii": lambda folder: saved(nifti, folder, "b.nii", volume=np.zeros((2, 2, 2, 3), np.int16)),
    "complex.nii": lambda folder: saved(nifti, folder, "b.nii", volume=np.zeros((2, 2, 2), np.complex64)),
    "colour.nii": lambda folder: saved(
        nifti, folder, "b.nii", volume=np.zeros((2, 2, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    ),
    "singular.nii": lambda folder: saved(nifti, folder, "b.nii")[:280] + b"\0" * 48 + b"\0" * 1000,
}


def refusal(source, **options):
    """Open what cannot be opened; give the line that says so."""
    with pytest.raises(InputError) as caught:
        open_image(source, **options)
    text = str(caught.value)
    assert text.isprintable()
    assert "got" in text
    assert "expected" in text
    assert "Jane" not in text
    return text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_refused_in_one_line(tmp_path, name, capfd, caplog):
    path = tmp_path / name
    path.write_bytes(HOSTILE[name](tmp_path))
    with caplog.at_level(logging.WARNING):
        assert name in refusal(path)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("huge.png", f"60000 x 60000 pixels, expected at most {MAX_PIXELS:,}"),
        ("no_pixels.dcm", "RT Structure Set Storage without pixel data"),
        ("4d.nii", r"4-D data of \(2, 2, 2, 3\)"),
        ("huge.nii.gz", "4 GiB"),
    ],
)
def test_refusal_says_what_is_wrong(tmp_path, name, says):
    (tmp_path / name).write_bytes(HOSTILE[name](tmp_path))
    with pytest.raises(InputError, match=says):
        open_image(tmp_path / name)


def test_missing_decoder_names_the_compression_and_the_extra():
    path = get_testdata_file("MR_small_jpeg_ls_lossless.dcm")
    if get_decoder(JPEGLSLossless).is_available:
        assert open_image(path).shape == (64, 64)
        return
    with pytest.raises(InputError, match=r"JPEG-LS Lossless.*ibisagent\[medical\]"):
        open_image(path)


@pytest.mark.parametrize(
    "source",
    [
        "http://example.org/a.png",
        "HTTPS://example.org/a.png",
        "s3://bucket/a.png",
        "file://elsewhere/a.png",
        "file://[a/a.png",
        "~nobody/a.png",
        "data:image/png;base64,!!!!",
        "data:image/png,abc",
        "data:text/plain;base64,aGVsbG8=",
        "data:",
        "no/such\nfile.png",
        "a\0b.png",
        "x" * 5000,
        "",
        "/dev/zero",
    ],
)
def test_wrong_address_is_refused_in_one_line(source):
    assert len(refusal(source)) < 400


@pytest.mark.parametrize("source", [None, 3, b"\x89PNG", ["a.png"]])
def test_wrong_kind_of_source_is_refused(source):
    refusal(source)


def test_folder_and_forbidden_file_are_refused(tmp_path):
    assert "folder" in refusal(tmp_path)
    path = png(GREY, tmp_path / "a.png")
    path.chmod(0)
    try:
        path.open("rb").close()
    except PermissionError:
        assert "permission" in refusal(path)


def test_large_picture_object_is_refused():
    picture = Image.new("1", (10_000, 10_000))
    assert "10000 x 10000" in refusal(picture)


# The boundary to the decoders


def test_warnings_are_back_after_overlapping_decoders():
    entered, leave = threading.Event(), threading.Event()

    def other():
        with decoding("b", "a picture"):
            entered.set()
            leave.wait(5)
            warnings.warn("held back", stacklevel=1)

    before = warnings.filters[:]
    with decoding("a", "a picture"):
        thread = threading.Thread(target=other)
        thread.start()
        entered.wait(5)
    leave.set()
    thread.join()
    assert warnings.filters[:] == before


def test_our_own_log_lines_pass_while_another_thread_decodes(caplog):
    entered, leave = threading.Event(), threading.Event()

    def other():
        with decoding("b", "a picture"):
            logging.getLogger("pydicom").warning("held back")
            entered.set()
            leave.wait(5)

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(5)
    logging.getLogger("pydicom").warning("let through")
    leave.set()
    thread.join()
    assert caplog.messages == ["let through"]


def test_image_survives_pickling(tmp_path):
    import pickle

    image = open_image(nifti(tmp_path / "a.nii"))
    again = pickle.loads(pickle.dumps(image))
    assert isinstance(again, MedicalImage)
    assert again.sha == image.sha
    assert Path(again.uri) == tmp_path / "a.nii"
