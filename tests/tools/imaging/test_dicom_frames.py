"""Multi-frame and enhanced DICOM, the file's own windows, and what its spacing is true of."""

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import EncapsulatedPDFStorage, RLELossless
from support.dicom_series_fixtures import ORIENTATIONS, VOLUME, build_item, compute_lps, find_place, write_enhanced
from support.image_fixtures import COLOUR, GREY, build_lut, build_raw_element, write_dicom

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.dicom import read_full_header
from ibisagent.tools.imaging.grids import DicomSource, Spacing
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.imaging.window import Window, apply_window

ORDER = [3, 0, 4, 1, 2]


@pytest.mark.parametrize("turn", ORIENTATIONS)
def test_frames_of_an_enhanced_file_lie_where_their_groups_say(tmp_path, turn):
    path = write_enhanced(tmp_path / "a.dcm", orientation=ORIENTATIONS[turn], order=ORDER)
    for frame, plane in enumerate(ORDER):
        image = open_image(path, slice=str(frame))
        assert np.array_equal(image.values, VOLUME[plane])
        place, index = find_place(image, 4, 1)
        assert index == [1, 4, plane]
        assert place == pytest.approx(compute_lps(ORIENTATIONS[turn], plane, 4, 1), abs=1e-6)
        assert image.grid.sources == tuple(DicomSource(path, ORDER.index(number)) for number in range(5))
    for name in ("axial", "coronal", "sagittal"):
        image = open_image(path, slice=f"{name}:middle")
        for row, column in ((0, 0), (1, 2), (-1, -1)):
            place, (i, j, k) = find_place(image, row, column)
            assert VOLUME[k, j, i] == image.values[row, column]
            assert place == pytest.approx(compute_lps(ORIENTATIONS[turn], k, j, i), abs=1e-6)


def test_middle_plane_of_an_enhanced_file_is_shown_by_default(tmp_path):
    path = write_enhanced(tmp_path / "a.dcm", orientation=ORIENTATIONS["prone"], order=ORDER)
    image = open_image(path)
    assert (image.slice, image.axes, image.spacing) == ("axial:2", ("P", "L"), Spacing(2, 3))
    assert np.array_equal(image.values, VOLUME[2][::-1, ::-1])
    assert open_image(path, slice=image.slice).sha == image.sha
    assert read_full_header(image.grid.sources[0]).NumberOfFrames == 5


def test_each_frame_has_its_own_rescale_and_window_and_the_shared_ones_else(tmp_path):
    frames = [
        {
            "PixelValueTransformationSequence": build_item(RescaleSlope=frame + 1, RescaleIntercept=-frame),
            "FrameVOILUTSequence": build_item(
                WindowCenter=[frame * 10, 0], WindowWidth=[50, 9], VOILUTFunction="SIGMOID"
            ),
        }
        for frame in range(5)
    ]
    path = write_enhanced(tmp_path / "a.dcm", frames=frames, RescaleSlope=99, RescaleIntercept=99)
    values = np.stack([VOLUME[frame] * (frame + 1.0) - frame for frame in range(5)])
    for frame in range(5):
        image = open_image(path, slice=str(frame))
        assert np.array_equal(image.values, values[frame])
        assert np.array_equal(image.pixels, apply_window(values[frame], Window(frame * 10, 50, "SIGMOID")))
    across = open_image(path, slice="sagittal:0")
    assert np.array_equal(across.values, values[::-1, :, 6])


def test_laterality_of_a_frame_counts_before_the_half_of_the_scan(tmp_path):
    frames = [{"FrameAnatomySequence": build_item(FrameLaterality="L")}] * 5
    image = open_image(write_enhanced(tmp_path / "a.dcm", frames=frames))
    assert {image.side_of(x, 0.5) for x in (0.1, 0.9)} == {"left"}


def test_enhanced_file_with_several_volumes(tmp_path):
    contents = [{"FrameContentSequence": build_item(TemporalPositionIndex=number // 5 + 1)} for number in range(10)]
    path = write_enhanced(tmp_path / "a.dcm", order=[*ORDER, *(plane for plane in ORDER)], frames=contents)
    image = open_image(path)
    assert image.slice == "axial:2@0"
    assert image.notes == (
        "slice: took the middle one, axial:2@0 of 0..4; choose with slice (--slice)",
        "the first of 2 volumes; name another by slice=axial:2@0",
    )
    other = open_image(path, slice="axial:2@1")
    assert [source.frame for source in other.grid.sources] == [5 + ORDER.index(plane) for plane in range(5)]


def test_uneven_frames_have_a_place_each_and_no_planes_across(tmp_path):
    path = write_enhanced(tmp_path / "a.dcm", order=[0, 1, 2, 4])
    with pytest.raises(InputError, match="got 4 frames, expected one picture"):
        open_image(path)
    image = open_image(path, slice="3")
    assert find_place(image, 0, 0)[0] == pytest.approx(compute_lps(ORIENTATIONS["axial"], 4, 0, 0))
    assert image.notes == ("planes missing between the others, which are 4 mm apart: 1",)
    with pytest.raises(InputError, match="no evenly spaced stack"):
        open_image(path, slice="coronal:0")


def test_dose_grid_is_a_volume():
    path = get_testdata_file("rtdose.dcm")
    head = dcmread(path)
    image = open_image(path, slice="axial:0")
    lowest = int(np.argmin(head.GridFrameOffsetVector))
    assert image.grid.sources[0].frame == lowest
    place = find_place(image, 0, 0)[0]
    assert place[2] == pytest.approx(head.ImagePositionPatient[2] + head.GridFrameOffsetVector[lowest])


def test_cine_without_a_place_opens_by_number_or_middle(tmp_path):
    frames = np.stack([GREY, GREY[::-1], 255 - GREY])[:, :, :6]
    path = write_dicom(tmp_path / "a.dcm", frames, NumberOfFrames=3)
    assert [open_image(path, slice=wanted).slice for wanted in ("middle", "2")] == ["1", "2"]
    assert np.array_equal(open_image(path, slice="middle").pixels, frames[1])
    with pytest.raises(InputError, match="no evenly spaced stack"):
        open_image(path, slice="axial:0")


def test_compressed_frames_are_decoded_one_by_one(tmp_path):
    path = write_enhanced(tmp_path / "a.dcm", order=ORDER)
    dataset = dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(tmp_path / "rle.dcm")
    for wanted in ("0", "4", "coronal:3", "sagittal:1"):
        plain, packed = (open_image(tmp_path / name, slice=wanted) for name in ("a.dcm", "rle.dcm"))
        assert packed.sha == plain.sha


def test_truncated_file_still_gives_its_first_frames(tmp_path):
    path = write_enhanced(tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes()[:-10])
    assert np.array_equal(open_image(path, slice="0").values, VOLUME[0])
    with pytest.raises(InputError, match="decoded"):
        open_image(path, slice="4")


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("content", [None, b"", b"x ", b"-5", b"0 "], ids=["missing", "empty", "junk", "negative", "0"])
def test_frames_are_counted_where_the_file_does_not_say_how_many(tmp_path, content, packed):
    path = write_enhanced(tmp_path / "a.dcm", order=ORDER)
    dataset = dcmread(path)
    if packed:
        dataset.compress(RLELossless)
    del dataset.NumberOfFrames
    if content is not None:
        dataset["NumberOfFrames"] = build_raw_element("NumberOfFrames", content, "IS")
    dataset.save_as(path)
    note = "missing or unreadable in the file, and counted in its pixel data: NumberOfFrames"
    image = open_image(path, slice="3")
    assert np.array_equal(image.values, VOLUME[ORDER[3]])
    assert image.notes == (note,)
    for source in (path, tmp_path):
        across = open_image(source, slice="coronal:2")
        assert np.array_equal(across.values, VOLUME[::-1, 3])
        assert across.notes == (note,)


def test_cine_frames_are_counted_by_whole_ones_alone(tmp_path):
    frames = np.stack([GREY, GREY[::-1], 255 - GREY])[:, :, :6]
    path = write_dicom(tmp_path / "a.dcm", frames)
    assert np.array_equal(open_image(path, slice="2").pixels, frames[2])
    longer = write_dicom(tmp_path / "b.dcm", frames[0], PixelData=frames.tobytes()[: frames[0].size * 3 // 2 // 2 * 2])
    assert np.array_equal(open_image(longer).pixels, frames[0])


# The file's own windows


def many_windows(path):
    return write_dicom(
        path, GREY.astype(np.int16), WindowCenter=[100, 40, 90], WindowWidth=[200, 400, 10],
        WindowCenterWidthExplanation=["WIDE", "Soft Tissue ", "LUNG"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "window"),
    [
        (None, Window(100, 200)),
        ("file", Window(100, 200)),
        ("file:1", Window(40, 400)),
        ("file:2", Window(90, 10)),
        ("File: soft tissue", Window(40, 400)),
        ("file:lung", Window(90, 10)),
        ("7,50", Window(7, 50)),
    ],
)
def test_one_of_several_windows_is_chosen_by_number_or_name(tmp_path, wanted, window):
    image = open_image(many_windows(tmp_path / "a"), window=wanted)
    assert np.array_equal(image.pixels, apply_window(GREY.astype(float), window))
    assert image.window == wanted


@pytest.mark.parametrize("wanted", ["file:3", "file:-1", "file:brain", "file:²", "file:" + "9" * 5000])
def test_wrong_window_of_the_file_says_how_many_there_are(tmp_path, wanted):
    with pytest.raises(InputError, match=r"expected file:0\.\.2 or a name that it gives"):
        open_image(many_windows(tmp_path / "a"), window=wanted)
    with pytest.raises(InputError, match="brings no window"):
        open_image(write_dicom(tmp_path / "b", GREY.astype(np.int16)), window=wanted)


def test_tables_come_before_windows_and_count_on(tmp_path):
    tables = build_lut(range(256), 0, 8) + build_lut(range(255, -1, -1), 0, 8)
    tables[1].LUTExplanation = "NEGATIVE"
    elements = {"VOILUTSequence": tables, "WindowCenter": 100, "WindowWidth": 50}
    path = write_dicom(tmp_path / "a", GREY.astype(np.uint16), **elements)
    expected = {"file": GREY, "file:1": 255 - GREY, "file:negative": 255 - GREY, None: GREY}
    for wanted, pixels in expected.items():
        assert np.array_equal(open_image(path, window=wanted).pixels, pixels)
    assert np.array_equal(open_image(path, window="file:2").pixels, apply_window(GREY.astype(float), Window(100, 50)))


def test_values_beyond_a_table_take_its_ends(tmp_path):
    stored = np.array([[-32768, -1, 0, 3], [4, 100, 32767, 2]], np.int16)
    path = write_dicom(tmp_path / "a", stored, VOILUTSequence=build_lut([10, 20, 30, 255], 0, 8))
    assert open_image(path).pixels.tolist() == [[10, 10, 10, 255], [255, 255, 255, 30]]


# Values


@pytest.mark.parametrize(
    ("stored", "elements"),
    [
        (GREY.astype(np.int16), {"RescaleSlope": "0.3183", "RescaleIntercept": "-7.1"}),
        (np.array([[2**31, 2**31 + 1], [7, 2**32 - 1]], np.uint32), {}),
        (GREY.astype(np.int16), {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 400}),
        (GREY.astype(np.uint16), {"WindowCenter": 100, "WindowWidth": 50, "VOILUTFunction": "LINEAR_EXACT"}),
    ],
)
def test_values_and_picture_are_exactly_pydicom_s(tmp_path, stored, elements):
    path = write_dicom(tmp_path / "a", stored, **elements)
    head, image = dcmread(path), open_image(path)
    values = apply_modality_lut(head.pixel_array, head)
    assert np.array_equal(image.values, values)
    if "WindowCenter" in elements:
        shown = apply_voi_lut(values, head)
        low, high = apply_voi_lut(np.array([-1e6, 1e6]), head)
        assert np.array_equal(image.pixels, np.floor((shown - low) / (high - low) * 255 + 0.5))


def test_studio_range_colours(tmp_path):
    levels = np.array([[16, 16, 128, 128], [235, 235, 128, 128], [81, 81, 90, 240]], np.uint8)  # black, white, red
    elements = {"PhotometricInterpretation": "YBR_PARTIAL_422", "Rows": 3, "Columns": 2, "SamplesPerPixel": 3}
    path = write_dicom(tmp_path / "a", levels, PixelData=levels.tobytes(), PlanarConfiguration=0, **elements)
    pixels = open_image(path).pixels
    assert pixels.shape == (3, 2, 3)
    assert np.abs(pixels.astype(int) - np.array([[[0] * 3], [[255] * 3], [[255, 0, 0]]])).max() <= 1


@pytest.mark.parametrize("photometric", ["HSV", "CMYK", "YBR_PARTIAL_420", "DOE JANE"])
def test_retired_colour_models_are_refused(tmp_path, photometric):
    with pytest.raises(InputError) as caught:
        open_image(write_dicom(tmp_path / "a.dcm", COLOUR[:, :6], PhotometricInterpretation=photometric))
    assert "a.dcm: got" in str(caught.value)
    assert photometric not in str(caught.value)


# Spacing, and what else a picture's reader must know


@pytest.mark.parametrize(
    ("elements", "spacing", "notes"),
    [
        ({"PixelSpacing": [0.5, 0.75], "Modality": "MR"}, (0.5, 0.75), ()),
        (
            {"PixelSpacing": [0.5, 0.75], "Modality": "DX"},
            (0.5, 0.75),
            ("the file does not say whether its spacing is that at the detector",),
        ),
        (
            {"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.2], "Modality": "DX"},
            (0.2, 0.2),
            ("spacing is that at the detector, the magnification is unknown",),
        ),
        (
            {"PixelSpacing": [0.1, 0.1], "ImagerPixelSpacing": [0.2, 0.2], "PixelSpacingCalibrationType": "FIDUCIAL"},
            (0.1, 0.1),
            ("spacing is calibrated (fiducial), not that at the detector",),
        ),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": 1.25},
            (0.2, 0.2),
            ("spacing is that at the detector; the body is magnified 1.25 times there",),
        ),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "DistanceSourceToDetector": 1500, "DistanceSourceToPatient": 1000},
            (0.2, 0.2),
            ("spacing is that at the detector; the body is magnified 1.5 times there",),
        ),
        ({"NominalScannedPixelSpacing": [0.3, 0.4]}, (0.3, 0.4), ("spacing is that of the scanned film",)),
        ({"BurnedInAnnotation": "YES"}, None, ("annotations are burned into the picture, and may name the patient",)),
        ({"BurnedInAnnotation": "NO"}, None, ()),
    ],
)
def test_spacing_says_what_it_is_true_of(tmp_path, elements, spacing, notes):
    image = open_image(write_dicom(tmp_path / "a", GREY.astype(np.int16), **elements))
    assert (image.spacing, image.notes) == (spacing, notes)


def region(units=3, spatial=1, delta=0.02):
    return build_item(
        RegionSpatialFormat=spatial, PhysicalUnitsXDirection=units, PhysicalUnitsYDirection=units,
        PhysicalDeltaX=delta, PhysicalDeltaY=-delta * 2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("regions", "spacing"),
    [
        ([region()], Spacing(0.4, 0.2)),
        ([region(), region(), region(units=4, spatial=3)], Spacing(0.4, 0.2)),
        ([region(), region(delta=0.03)], None),
        ([region(units=4)], None),
        ([region(delta=0.0)], None),
    ],
    ids=["one", "two alike and a trace", "two scales", "seconds", "none"],
)
def test_calibrated_ultrasound_has_a_spacing(tmp_path, regions, spacing):
    image = open_image(write_dicom(tmp_path / "a", GREY.astype(np.int16), SequenceOfUltrasoundRegions=regions))
    assert image.spacing == (pytest.approx(spacing) if spacing else None)


def test_overlay_planes_are_told_and_not_drawn(tmp_path):
    plain, overlaid = (
        write_dicom(tmp_path / "a", GREY.astype(np.int16)),
        write_dicom(tmp_path / "b", GREY.astype(np.int16)),
    )
    dataset = dcmread(overlaid)
    dataset.add_new(0x60000010, "US", 5)
    dataset.add_new(0x60000011, "US", 7)
    dataset.add_new(0x60003000, "OW", b"\xff" * 6)
    dataset.save_as(overlaid)
    assert open_image(overlaid).sha == open_image(plain).sha
    assert open_image(overlaid).notes == ("overlay planes are not drawn",)


def test_bits_outside_the_stored_ones_are_not_shown(tmp_path):
    stored = GREY.astype(np.uint16) + 0xF000  # embedded overlays used to lie there
    image = open_image(write_dicom(tmp_path / "a", stored, BitsStored=12, HighBit=11))
    assert np.array_equal(image.values, GREY)


def test_headers_that_lie_are_refused(tmp_path):
    wrong = {
        "more frames": {"NumberOfFrames": 9},
        "absurdly many": {"NumberOfFrames": 2**31 - 1},
        "no columns": {"Columns": None},
        "no photometric": {"PhotometricInterpretation": None},
        "odd bits": {"BitsAllocated": 12},
        "kind": {"SOPClassUID": EncapsulatedPDFStorage, "PixelData": None},
    }
    for name, elements in wrong.items():
        frames = 2 if "many" in name else 1  # of a single one, whatever the count, the picture opens
        stored = np.stack([GREY[:, :6].astype(np.int16)] * frames).squeeze()
        path = write_dicom(tmp_path / f"{name}.dcm", stored, **elements)
        with pytest.raises(InputError) as caught:
            open_image(path, slice="8" if "more" in name else None)
        assert str(caught.value).startswith(f"{name}.dcm: got")
        assert str(caught.value).isprintable()
