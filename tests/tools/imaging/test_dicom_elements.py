"""Elements that are empty, junk, or of another representation read as missing and are told; the pixels open."""

import numpy as np
import pytest
import SimpleITK
from pydicom import Dataset, dcmread
from pydicom.uid import RLELossless
from support.dicom_series_fixtures import (
    ORIENTATIONS,
    VOLUME,
    build_item,
    compute_lps,
    find_place,
    overwrite_elements,
    write_enhanced,
    write_series,
)
from support.image_fixtures import GREY, build_lut, build_raw_element, write_dicom

from ibisagent.tools.imaging.grids import Spacing
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.imaging.window import Window, apply_window

STORED = GREY.astype(np.int16)
SECONDARY = (
    *("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "PixelSpacing", "InstanceNumber"),
    *("NumberOfFrames", "SliceThickness"),
)
JUNK = {"empty": b"", "comma": b"1,5", "letters": b"x", "unit": b"0.5mm", "nan": b"nan", "infinite": b"1e999"}


@pytest.mark.parametrize("keyword", SECONDARY)
@pytest.mark.parametrize("content", JUNK.values(), ids=JUNK)
@pytest.mark.parametrize("kind", ["DS", "UT"])
def test_a_junk_element_counts_as_missing_and_is_told(tmp_path, keyword, content, kind):
    plain = {"Modality": "CT", "RescaleSlope": 2, "RescaleIntercept": -9, "WindowCenter": 40, "WindowWidth": 300}
    without = {name: value for name, value in plain.items() if name != keyword}
    image = open_image(
        write_dicom(tmp_path / "a.dcm", STORED, **(plain | {keyword: build_raw_element(keyword, content, kind)}))
    )
    expected = open_image(write_dicom(tmp_path / "b.dcm", STORED, **without))
    assert image.notes == (f"empty or unreadable in the file, and taken as missing: {keyword}",)
    assert (image.sha, image.spacing) == (expected.sha, None)
    assert np.array_equal(image.values, expected.values)


@pytest.mark.parametrize("elements", [{"RescaleIntercept": -1024}, {"RescaleSlope": 3}], ids=["intercept", "slope"])
def test_either_of_rescale_slope_and_intercept_counts_alone(tmp_path, elements):
    path = write_dicom(tmp_path / "a.dcm", STORED, Modality="CT", **elements)
    values = STORED * float(elements.get("RescaleSlope", 1)) + elements.get("RescaleIntercept", 0)
    assert np.array_equal(open_image(path).values, values)
    assert np.array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))[0], values)


def test_numbers_written_as_text_are_read_and_told_and_a_comma_list_is_not(tmp_path):
    text = open_image(
        write_dicom(tmp_path / "a", STORED, PixelSpacing=build_raw_element("PixelSpacing", b"2.5\\1.5", "UT"))
    )
    assert (text.spacing, len(text.notes)) == (Spacing(2.5, 1.5), 1)
    assert "PixelSpacing" in text.notes[0]
    comma = open_image(
        write_dicom(tmp_path / "b", STORED, PixelSpacing=build_raw_element("PixelSpacing", b"0.0058,0.0019"))
    )
    assert comma.spacing is None
    assert "missing: PixelSpacing" in comma.notes[0]


def test_a_table_of_twelve_bits_gives_the_values(tmp_path):
    table = list(range(4095, -1, -1))
    image = open_image(write_dicom(tmp_path / "a", GREY.astype(np.uint16), ModalityLUTSequence=build_lut(table, 0, 12)))
    assert np.array_equal(image.values, 4095 - GREY.astype(int))


def test_a_null_table_leaves_the_window_beside_it(tmp_path):
    null = Dataset()
    null.add_new(0x00283002, "SS", None)
    null.add_new(0x00283006, "OW", None)
    window = {"WindowCenter": 90, "WindowWidth": 80}
    image = open_image(write_dicom(tmp_path / "a", STORED, VOILUTSequence=[null], **window))
    assert np.array_equal(image.pixels, apply_window(STORED * 1.0, Window(90, 80)))
    assert image.notes == ("empty or unreadable in the file, and taken as missing: VOILUTSequence",)


def build_word_lut(entries, count, bits, first=0):
    item = Dataset()
    item.add_new(0x00283002, "US", [count, first, bits])
    item.add_new(0x00283006, "OW", np.asarray(entries, "<u2").tobytes())
    return [item]


@pytest.mark.parametrize(
    ("keyword", "count", "bits", "elements"),
    [
        ("ModalityLUTSequence", 1001, 16, {"RescaleSlope": 2}),
        ("VOILUTSequence", 1001, 12, {"WindowCenter": 90, "WindowWidth": 80}),
        ("VOILUTSequence", 1001, 8, {"WindowCenter": 90, "WindowWidth": 80}),
    ],
)
def test_a_table_shorter_than_it_says_is_missing_and_told(tmp_path, keyword, count, bits, elements):
    table = {keyword: build_word_lut(range(1000), count, bits)}
    image = open_image(write_dicom(tmp_path / "a", STORED, **table, **elements))
    expected = open_image(write_dicom(tmp_path / "b", STORED, **elements))
    assert np.array_equal(image.values, expected.values)
    assert np.array_equal(image.pixels, expected.pixels)
    assert image.notes == (f"empty or unreadable in the file, and taken as missing: {keyword}",)


@pytest.mark.parametrize(("kind", "first"), [(np.int16, -500), (np.uint16, 65036)])
def test_the_first_value_of_a_table_has_the_sign_of_the_pixels(tmp_path, kind, first):
    stored = (first + np.arange(64).reshape(8, 8)).astype(kind)
    table = build_word_lut(range(1000, 1500), 500, 16, first=65036)  # -500 as it stands in 16 bits
    image = open_image(write_dicom(tmp_path / "a", stored, ModalityLUTSequence=table))
    assert np.array_equal(image.values, 1000 + np.arange(64).reshape(8, 8))


def test_a_table_of_bytes_is_read_where_it_has_no_more_than_eight_bits(tmp_path):
    table = build_word_lut([], 256, 8)
    table[0].add_new(0x00283006, "OW", bytes(range(255, -1, -1)))
    image = open_image(write_dicom(tmp_path / "a", GREY.astype(np.uint16), VOILUTSequence=table))
    assert np.array_equal(image.pixels, 255 - GREY)
    assert image.notes == ()


@pytest.mark.parametrize("width", [0, -80, [0, -1]])
def test_a_window_without_a_width_is_missing_and_told(tmp_path, width):
    image = open_image(write_dicom(tmp_path / "a", STORED, WindowCenter=[90, 40], WindowWidth=width))
    assert np.array_equal(image.pixels, open_image(write_dicom(tmp_path / "b", STORED)).pixels)
    assert image.notes == ("empty or unreadable in the file, and taken as missing: WindowWidth",)


def test_functional_groups_are_read_as_tolerantly(tmp_path):
    frames = [
        {
            "PixelValueTransformationSequence": build_item(
                RescaleSlope=build_raw_element("RescaleSlope", b"1,5"), RescaleIntercept=7
            )
        }
    ] * 5
    image = open_image(write_enhanced(tmp_path / "a.dcm", frames=frames), slice="1")
    assert np.array_equal(image.values, VOLUME[1] + 7.0)
    assert image.notes == ("empty or unreadable in the file, and taken as missing: RescaleSlope",)


SCALE = {"RescaleSlope": 2, "RescaleIntercept": -10, "PixelPaddingValue": int(VOLUME[1, 3, 4])}
ACROSS = VOLUME[::-1, 3] * 2.0 - 10
ACROSS[3, 4] = np.nan


@pytest.mark.parametrize("keyword", SCALE)
@pytest.mark.parametrize("plane", [1, 2])
@pytest.mark.parametrize("content", [b"", b"1,5 "], ids=["empty", "comma"])
def test_a_plane_across_notes_every_slice_s_junk_and_keeps_one_scale(tmp_path, keyword, plane, content):
    paths = write_series(tmp_path, **SCALE)
    overwrite_elements(paths[plane], **{keyword: content})
    image = open_image(tmp_path, slice="coronal:2")
    note = f"empty or unreadable, and taken from the other planes: {keyword} (in 1 of 5 planes)"
    assert image.notes == (note,)
    assert np.array_equal(image.values, ACROSS, equal_nan=True)
    assert open_image(tmp_path, slice=f"axial:{plane}").notes == (
        f"empty or unreadable in the file, and taken as missing: {keyword}",
    )


def test_where_the_others_do_not_agree_junk_is_missing_and_noted(tmp_path):
    paths = write_series(tmp_path, **SCALE)
    for plane, slope in enumerate([b"2 ", b"x ", b"3 ", b"4 ", b"5 "]):
        overwrite_elements(paths[plane], RescaleSlope=slope)
    image = open_image(tmp_path, slice="coronal:2")
    assert image.notes == ("empty or unreadable in the file, and taken as missing: RescaleSlope (in 1 of 5 planes)",)
    assert np.array_equal(image.values[2], VOLUME[2, 3] * 3.0 - 10)


def test_frames_across_share_one_scale_too(tmp_path):
    frames = [{"PixelValueTransformationSequence": build_item(RescaleSlope=2, RescaleIntercept=-10)} for _ in range(5)]
    frames[1]["PixelValueTransformationSequence"] = build_item(
        RescaleSlope=build_raw_element("RescaleSlope", b"x "), RescaleIntercept=-10
    )
    image = open_image(write_enhanced(tmp_path / "a.dcm", frames=frames), slice="coronal:2")
    assert np.array_equal(image.values, VOLUME[::-1, 3] * 2.0 - 10)
    assert "RescaleSlope (in 1 of 5 planes)" in image.notes[-1]


def delete_elements(path, *keywords):
    dataset = dcmread(path)
    for keyword in keywords:
        delattr(dataset, keyword)
    dataset.save_as(path)


@pytest.mark.parametrize("lacking", [("RescaleSlope",), ("RescaleIntercept",), ("RescaleSlope", "RescaleIntercept")])
@pytest.mark.parametrize("plane", [1, 2])
def test_a_plane_without_the_others_scale_takes_it_and_is_told(tmp_path, lacking, plane):
    paths = write_series(tmp_path, RescaleSlope=2, RescaleIntercept=-10)
    delete_elements(paths[plane], *lacking)
    image = open_image(tmp_path, slice="coronal:2")
    assert np.array_equal(image.values, VOLUME[::-1, 3] * 2.0 - 10)
    names = ", ".join(f"{keyword} (in 1 of 5 planes)" for keyword in lacking)
    assert image.notes == (f"not in the file, and taken from the other planes: {names}",)


def test_a_scale_that_no_plane_has_or_that_the_others_differ_in_is_not_taken(tmp_path):
    write_series(tmp_path / "none")
    image = open_image(tmp_path / "none", slice="coronal:2")
    assert np.array_equal(image.values, VOLUME[::-1, 3])
    assert image.notes == ()
    note = "not in the file, and taken as missing, unlike in the other planes: RescaleSlope (in {} of 5 planes)"
    paths = write_series(tmp_path / "differ", RescaleSlope=2)
    overwrite_elements(paths[0], RescaleSlope=b"3 ")
    delete_elements(paths[1], "RescaleSlope")
    image = open_image(tmp_path / "differ", slice="coronal:2")
    assert np.array_equal(image.values[::-1], VOLUME[:, 3] * np.array([3.0, 1, 2, 2, 2])[:, None])
    assert image.notes == (note.format(1),)
    paths = write_series(tmp_path / "one", RescaleSlope=2)
    for path in paths[1:]:
        delete_elements(path, "RescaleSlope")
    image = open_image(tmp_path / "one", slice="coronal:2")
    assert np.array_equal(image.values[::-1], VOLUME[:, 3] * np.array([2.0, 1, 1, 1, 1])[:, None])
    assert image.notes == (note.format(4),)


@pytest.mark.parametrize("group", [None, []], ids=["without", "empty"])
def test_a_frame_without_the_others_scale_takes_it_and_is_told(tmp_path, group):
    frames = [{"PixelValueTransformationSequence": build_item(RescaleSlope=2, RescaleIntercept=-10)} for _ in range(5)]
    path = write_enhanced(tmp_path / "a.dcm", frames=frames)
    dataset = dcmread(path)
    dataset.PerFrameFunctionalGroupsSequence[1].PixelValueTransformationSequence = group or []
    if group is None:
        del dataset.PerFrameFunctionalGroupsSequence[1].PixelValueTransformationSequence
    dataset.save_as(path)
    image = open_image(path, slice="coronal:2")
    assert np.array_equal(image.values, VOLUME[::-1, 3] * 2.0 - 10)
    names = "RescaleSlope (in 1 of 5 planes), RescaleIntercept (in 1 of 5 planes)"
    assert image.notes[-1] == f"not in the file, and taken from the other planes: {names}"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("content", [b"-1", b"2", b"1e3 ", b"2.7 ", b"70000 "])
@pytest.mark.parametrize("kind", ["IS", "UT"])
def test_a_count_of_frames_that_the_pixels_belie_is_missing(tmp_path, content, kind, packed):
    path = write_dicom(tmp_path / "a.dcm", STORED)
    dataset = dcmread(path)
    if packed:
        dataset.compress(RLELossless)
    dataset["NumberOfFrames"] = build_raw_element("NumberOfFrames", content, kind)
    dataset.save_as(path)
    for source in (path, tmp_path):
        image = open_image(source)
        assert np.array_equal(image.values, STORED)
        assert image.notes[-1] == "empty or unreadable in the file, and taken as missing: NumberOfFrames"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_as_many_frames_as_the_pixels_hold_are_frames(tmp_path, packed):
    path = write_dicom(tmp_path / "a.dcm", np.stack([STORED, STORED + 9]), NumberOfFrames=2)
    if packed:
        dataset = dcmread(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)
    image = open_image(path, slice="1")
    assert np.array_equal(image.values, STORED + 9)
    assert image.notes == ()


def test_directions_are_brought_to_length_one(tmp_path):
    long = [part * 0.98 for part in ORIENTATIONS["axial"]]
    write_series(tmp_path / "scan", ImageOrientationPatient=long)
    image = open_image(tmp_path / "scan", slice="axial:3")
    assert image.notes == ()
    assert find_place(image, 0, 0)[0] == pytest.approx(compute_lps(ORIENTATIONS["axial"], 3, 0, 0))


SCOUT = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}


@pytest.mark.parametrize(
    ("planes", "picture", "elements"),
    [
        (5, VOLUME[0], SCOUT),
        (5, VOLUME[0], {"ImageOrientationPatient": list(ORIENTATIONS["coronal"])}),
        (5, VOLUME[0, :4], {"ImageOrientationPatient": list(ORIENTATIONS["sagittal"])}),
        (12, VOLUME[0, :4], {}),
    ],
    ids=["by its type", "by its orientation", "by both", "by its size"],
)
def test_a_localizer_is_set_aside_and_told(tmp_path, planes, picture, elements):
    uid = {"SeriesInstanceUID": "1.2.3"}
    write_series(tmp_path, np.resize(VOLUME, (planes, 6, 7)), **uid)
    write_series(tmp_path, picture[None], planes=[40], first=99, **uid, **elements)
    image = open_image(tmp_path, slice="axial:3")
    assert image.grid.shape == (7, 6, planes)
    (note,) = image.notes
    assert note.endswith(": 1")
    assert "left out" in note
