"""DICOM series in folders and zips: order, place and side, and what is missing, doubled or mixed."""

import zipfile

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid
from support.dicom_series_fixtures import (
    ORIENTATIONS,
    ORIGIN,
    SPACING,
    STEP,
    VOLUME,
    compute_lps,
    find_place,
    format_digits,
    overwrite_elements,
    write_series,
)
from support.image_fixtures import GREY, write_dicom

from ibisagent.tools.errors import InputError
from ibisagent.tools.export import Provenance, save_mask
from ibisagent.tools.imaging.dicom import read_full_header
from ibisagent.tools.imaging.grids import DicomSource, Spacing
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.imaging.window import Window, apply_window
from ibisagent.tools.masks.reading import read_mask

TOWARDS = {  # the patient's directions (LPS) towards the picture's right side and its bottom, as radiologists look
    "axial": ((1, 0, 0), (0, 1, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
}


@pytest.mark.parametrize("turn", ORIENTATIONS)
def test_every_plane_of_every_order_is_shown_radiologically_and_leads_back_to_its_voxels(tmp_path, turn):
    paths = write_series(tmp_path, orientation=ORIENTATIONS[turn])
    for plane, (right, down) in TOWARDS.items():
        seen = set()
        for index in range(9):
            try:
                image = open_image(tmp_path, slice=f"{plane}:{index}")
            except InputError:
                break
            corner, beside, below = (find_place(image, *pixel)[0] for pixel in ((0, 0), (0, 1), (1, 0)))
            for direction, step in ((right, beside - corner), (down, below - corner)):
                assert step @ direction == pytest.approx(np.abs(step).max())
            for row, column in np.ndindex(image.shape):
                place, (i, j, k) = find_place(image, row, column)
                assert VOLUME[k, j, i] == image.values[row, column]
                assert place == pytest.approx(compute_lps(ORIENTATIONS[turn], k, j, i), abs=1e-6)
                assert image.grid.sources[k] == DicomSource(paths[k])
                seen.add((k, j, i))
            assert image.spacing.row == pytest.approx(np.linalg.norm(below - corner))
            assert image.spacing.column == pytest.approx(np.linalg.norm(beside - corner))
        assert len(seen) == VOLUME.size


@pytest.mark.parametrize("turn", ORIENTATIONS)
def test_numbers_count_along_the_normal_and_show_the_file_as_it_is_stored(tmp_path, turn):
    paths = write_series(tmp_path, orientation=ORIENTATIONS[turn])
    for number, path in enumerate(paths):
        image, alone = open_image(tmp_path, slice=str(number)), open_image(path)
        assert np.array_equal(image.values, VOLUME[number])
        assert image.sha == alone.sha
        assert image.slice == str(number)
        assert image.spacing == alone.spacing == Spacing(*SPACING)
        for opened, plane in ((image, number), (alone, 0)):
            place, index = find_place(opened, 2, 5)
            assert index == [5, 2, plane]
            assert place == pytest.approx(compute_lps(ORIENTATIONS[turn], number, 2, 5), abs=1e-6)
            assert opened.grid.sources[plane] == DicomSource(path)


def test_default_is_the_middle_of_the_planes_that_were_taken(tmp_path):
    opened = {}
    for turn in ("axial", "coronal", "sagittal", "prone"):
        write_series(tmp_path / turn, orientation=ORIENTATIONS[turn])
        image = open_image(tmp_path / turn)
        opened[turn] = image.slice
        assert (
            open_image(image.uri, slice=image.slice).sha == open_image(tmp_path / turn, slice="middle").sha == image.sha
        )
    assert opened == {"axial": "axial:2", "coronal": "coronal:2", "sagittal": "sagittal:2", "prone": "axial:2"}
    shown = open_image(tmp_path / "prone")
    assert np.array_equal(shown.values, VOLUME[2][::-1, ::-1])
    assert shown.axes == ("P", "L")


def test_side_of_the_patient_is_known_in_every_picture(tmp_path):
    write_series(tmp_path)
    axial, sagittal = (open_image(tmp_path, slice=f"{plane}:0") for plane in ("axial", "sagittal"))
    assert [axial.side_of(x, 0.5) for x in (0.01, 0.5, 0.99)] == ["right", None, "left"]
    assert (sagittal.side_of(0.5, 0.5), sagittal.axes) == ("left", ("F", "P"))
    assert open_image(tmp_path, slice="sagittal:6").side_of(0.5, 0.5) == "right"
    prone = write_series(tmp_path / "prone", orientation=ORIENTATIONS["prone"])[0]
    image = open_image(prone)
    assert [image.side_of(x, 0.5) for x in (0.01, 0.99)] == ["left", "right"]
    assert image.notes == ("shown as stored, not as radiologists look: down is A, right is R",)
    knee = open_image(write_dicom(tmp_path / "knee", GREY.astype(np.int16), Laterality="R"))
    assert knee.side_of(0.9, 0.5) == "right"
    chest = open_image(write_dicom(tmp_path / "chest", GREY.astype(np.int16), PatientOrientation=["L", "F"]))
    assert (chest.axes, chest.side_of(0.1, 0.5), chest.side_of(0.9, 0.5)) == (("F", "L"), "right", "left")
    unknown = open_image(write_dicom(tmp_path / "unknown", GREY.astype(np.int16)))
    assert (unknown.axes, unknown.side_of(0.1, 0.5)) == (None, None)


def test_zip_is_read_as_the_folder_is(tmp_path):
    paths = write_series(tmp_path / "a", RescaleSlope=2, RescaleIntercept=-7)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README", "no picture")
        for path in paths:
            archive.write(path, f"study/{path.name}")
    for wanted in (None, "0", "coronal:3", "sagittal:middle"):
        folder, zipped = (open_image(tmp_path / name, slice=wanted) for name in ("a", "a.zip"))
        assert (zipped.sha, zipped.slice) == (folder.sha, folder.slice)
        assert np.array_equal(zipped.values, folder.values)
    source = open_image(tmp_path / "a.zip", slice="3").grid.sources[3]
    assert source == DicomSource(tmp_path / "a.zip", 0, f"study/{paths[3].name}")
    assert read_full_header(source).SOPInstanceUID == dcmread(paths[3]).SOPInstanceUID
    assert {path.name for path in tmp_path.iterdir()} == {"a", "a.zip"}


def test_each_file_keeps_its_own_rescale_and_window(tmp_path):
    for plane in range(3):
        rescale = {"RescaleSlope": plane + 1, "RescaleIntercept": -plane, "WindowCenter": plane * 10, "WindowWidth": 99}
        write_series(
            tmp_path, VOLUME[plane : plane + 1], planes=[plane], first=plane, SeriesInstanceUID="1.2.3", **rescale
        )
    values = np.stack([VOLUME[plane] * (plane + 1.0) - plane for plane in range(3)])
    for plane in range(3):
        image = open_image(tmp_path, slice=f"axial:{plane}")
        assert np.array_equal(image.values, values[plane])
        assert np.array_equal(image.pixels, apply_window(values[plane], Window(plane * 10, 99)))
    across = open_image(tmp_path, slice="coronal:1")
    assert np.array_equal(across.values, values[::-1, 4])
    assert np.array_equal(across.pixels, apply_window(values[::-1, 4], Window(10, 99)))


def test_nearly_even_planes_are_a_volume_and_a_missing_one_is_told(tmp_path):
    write_series(tmp_path / "even", planes=[0, 1.04, 2, 2.97, 4])
    assert open_image(tmp_path / "even", slice="middle").notes == ()
    write_series(tmp_path / "gap", planes=[0, 1, 2, 4, 5])
    image = open_image(tmp_path / "gap")
    assert image.slice == "2"
    assert image.notes == (
        "slice: took the middle one, 2 of 0..4; choose with slice (--slice)",
        "planes missing between the others, which are 4 mm apart: 1",
    )
    assert find_place(image, 1, 2)[1] == [2, 1, 0]
    with pytest.raises(InputError, match=r"no evenly spaced stack, expected a number from 0 to 4"):
        open_image(tmp_path / "gap", slice="coronal:1")


def test_tilted_gantry_is_told_and_keeps_its_place(tmp_path):
    for plane in range(5):
        x, y, z = compute_lps(ORIENTATIONS["axial"], plane, 0, 0)
        here = {"SeriesInstanceUID": "1.2.3", "ImagePositionPatient": format_digits((x, y + plane, z))}
        write_series(tmp_path, VOLUME[plane : plane + 1], first=plane, **here)
    image = open_image(tmp_path, slice="axial:3")
    tilted, advice = image.notes
    assert tilted == "the planes are tilted by 14.0 degrees against their row"
    assert {".nrrd", ".dcm"} <= set(advice.split())
    assert find_place(image, 0, 0)[0] == pytest.approx(ORIGIN + np.array([0, 3, 3 * STEP]))


def test_copies_and_repeated_positions_are_left_out_and_told(tmp_path):
    paths = write_series(tmp_path)
    (tmp_path / "copy.dcm").write_bytes(paths[1].read_bytes())
    uid = dcmread(paths[0]).SeriesInstanceUID
    write_series(tmp_path, VOLUME[:1] + 1, planes=[3], first=50, SeriesInstanceUID=uid, InstanceNumber=9999)
    image = open_image(tmp_path, slice="3")
    assert image.notes == (
        "files left out as copies of others: 1",
        "pictures left out at the position of another: 1",
    )
    assert np.array_equal(image.values, VOLUME[3])
    assert len(image.grid.sources) == 5


def test_every_position_several_times_is_a_fourth_axis(tmp_path):
    for time_point in range(3):
        uid = {"SeriesInstanceUID": "1.2.3", "AcquisitionNumber": time_point + 1}
        write_series(tmp_path, VOLUME + time_point, first=time_point * 20, **uid)
    first = open_image(tmp_path)
    assert first.slice == "axial:2@0"
    assert first.notes == (
        "slice: took the middle one, axial:2@0 of 0..4; choose with slice (--slice)",
        "the first of 3 volumes; name another by slice=axial:2@0",
    )
    last = open_image(tmp_path, slice="coronal:1@2")
    assert np.array_equal(last.values, VOLUME[::-1, 4] + 2)
    assert (last.grid.volume, last.grid.shape, last.notes) == (2, (7, 6, 5), ())
    assert np.array_equal(open_image(tmp_path, slice="7").values, VOLUME[2] + 1)
    with pytest.raises(InputError, match=r"PLANE:middle with @0\.\.2"):
        open_image(tmp_path, slice="axial:1@3")


def test_pictures_without_a_place_are_in_the_order_of_their_numbers(tmp_path):
    for number in (12, 3, 7):
        write_dicom(
            tmp_path / f"{number % 7}.dcm",
            GREY.astype(np.int16) + number,
            InstanceNumber=number,
            SeriesInstanceUID="1.2",
        )
    images = [open_image(tmp_path, slice=str(number)) for number in range(3)]
    assert [image.values[0, 0] for image in images] == [3, 7, 12]
    assert open_image(tmp_path).slice == "1"
    assert images[0].notes == ("the pictures form no stack and are in the order of their numbers",)
    with pytest.raises(InputError, match="no evenly spaced stack"):
        open_image(tmp_path, slice="axial:0")


def test_several_series_are_listed_without_their_description_and_chosen_by_number(tmp_path):
    write_series(tmp_path / "a", SeriesNumber=4, SeriesDescription="Doe^Jane")
    write_series(tmp_path / "b", VOLUME[:2] + 1, SeriesNumber=11, Modality="PT")
    with pytest.raises(InputError) as caught:
        open_image(tmp_path)
    assert "4 (CT, 5 pictures of 6 x 7); 11 (PT, 2 pictures of 6 x 7)" in str(caught.value)
    assert "Jane" not in str(caught.value)
    image = open_image(tmp_path, slice="11/axial:0")
    assert (image.slice, image.modality, image.values[0, 0]) == ("11/axial:0", "PT", -99)
    assert open_image(tmp_path, slice="11/").slice == "11/axial:1"
    assert open_image(tmp_path, slice="4/3").slice == "4/3"
    with pytest.raises(InputError, match="got 2 series and slice='5/middle'"):
        open_image(tmp_path, slice="5/middle")


def test_a_segmentation_beside_the_pictures_does_not_need_to_be_told_apart(tmp_path):
    write_series(tmp_path / "a", SeriesNumber=4)
    write_series(tmp_path / "b", SeriesNumber=5, Modality="SEG")
    image = open_image(tmp_path)
    assert (image.slice, image.modality) == ("4/axial:2", "CT")
    assert open_image(image.uri, slice=image.slice).sha == image.sha


def test_mixed_sizes_in_a_series_are_refused(tmp_path):
    uid = generate_uid()
    write_series(tmp_path, SeriesInstanceUID=uid)
    write_series(tmp_path, VOLUME[:1, :4], planes=[9], first=50, SeriesInstanceUID=uid)
    with pytest.raises(InputError, match="pictures of 4 x 7 and 6 x 7 in one series"):
        open_image(tmp_path)


def test_broken_file_does_not_hide_the_others(tmp_path):
    paths = write_series(tmp_path)
    broken = paths[0].read_bytes().replace(b"-20.\\", b"-20x\\")
    assert len(broken) == paths[0].stat().st_size
    (tmp_path / "broken.dcm").write_bytes(broken)
    (tmp_path / "text.txt").write_text("no picture")
    (tmp_path / "DICOMDIR").write_bytes(paths[0].read_bytes()[:140])
    assert open_image(tmp_path, slice="0").notes == ("files left out because they cannot be read: 1",)
    paths[2].write_bytes(paths[2].read_bytes()[:-10])
    assert open_image(tmp_path, slice="1").slice == "1"
    with pytest.raises(InputError, match=f"{paths[2].name}: got data that cannot be decoded"):
        open_image(tmp_path, slice="2")


def test_a_slice_whose_spacing_is_junk_takes_that_of_the_others(tmp_path):
    paths = write_series(tmp_path / "scan", FrameOfReferenceUID="1.9", StudyInstanceUID="1.2")
    overwrite_elements(paths[2], PixelSpacing=b"junk")
    note = "files whose PixelSpacing cannot be read, and is taken from the others: 1"
    own, across = (open_image(tmp_path / "scan", slice=wanted) for wanted in ("axial:2", "coronal:2"))
    assert (own.grid.shape, own.spacing, across.spacing) == ((7, 6, 5), Spacing(*SPACING), Spacing(STEP, SPACING[1]))
    assert all(note in image.notes for image in (own, across, open_image(tmp_path / "scan")))
    assert not any("left out" in line for image in (own, across) for line in image.notes)
    assert open_image(tmp_path / "scan", slice="2").spacing == Spacing(*SPACING)
    assert np.array_equal(across.values, VOLUME[::-1, 3])
    save_mask(tmp_path / "m.dcm", np.ones(own.shape, bool), own, Provenance(target="liver"))
    (measures,) = dcmread(tmp_path / "m.dcm").SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert list(measures.PixelSpacing) == list(SPACING)
    overwrite_elements(paths[0], PixelSpacing=b"2.5\\3.5 ")
    with pytest.raises(InputError, match="form no evenly spaced stack"):  # the others do not agree
        open_image(tmp_path / "scan", slice="coronal:2")


@pytest.mark.parametrize("keywords", [("ImageOrientationPatient",), ("ImageOrientationPatient", "PixelSpacing")])
@pytest.mark.parametrize("plane", [0, 2])
def test_a_slice_whose_orientation_is_junk_takes_that_of_the_others(tmp_path, keywords, plane):
    paths = write_series(tmp_path, orientation=ORIENTATIONS["oblique"])
    expected = {wanted: open_image(tmp_path, slice=wanted) for wanted in ("axial:2", "coronal:2", "0", "2")}
    overwrite_elements(paths[plane], **dict.fromkeys(keywords, b"junk"))
    notes = [f"files whose {keyword} cannot be read, and is taken from the others: 1" for keyword in keywords]
    for wanted, image in expected.items():
        found = open_image(tmp_path, slice=wanted)
        assert np.array_equal(found.values, image.values)
        assert np.array_equal(found.grid.affine, image.grid.affine)
        assert (found.spacing, found.axes) == (image.spacing, image.axes)
        assert set(notes) <= set(found.notes)
        assert not any("left out" in line for line in found.notes)


def test_a_slice_whose_orientation_is_junk_is_left_out_where_the_others_differ(tmp_path):
    paths = write_series(tmp_path)
    overwrite_elements(paths[0], ImageOrientationPatient=b"1\\0\\0\\0\\-1\\0")
    overwrite_elements(paths[2], ImageOrientationPatient=b"junk")
    assert "files left out because they cannot be read: 1" in open_image(tmp_path).notes


def test_folder_that_changes_is_scanned_again(tmp_path):
    paths = write_series(tmp_path)
    assert len(open_image(tmp_path).grid.sources) == 5
    paths[-1].unlink()
    assert len(open_image(tmp_path).grid.sources) == 4


def test_mask_of_a_series_comes_back_through_nifti(tmp_path):
    write_series(tmp_path / "a", orientation=ORIENTATIONS["slightly oblique"])
    for wanted in ("2", "axial:1", "sagittal:4", None):
        image = open_image(tmp_path / "a", slice=wanted)
        mask = np.zeros(image.shape, bool)
        mask[1, 0] = mask[0, -2:] = True
        save_mask(tmp_path / "m.nii.gz", mask, image)
        assert np.array_equal(read_mask(tmp_path / "m.nii.gz", image), mask)


def test_only_the_shown_file_s_pixels_are_read(tmp_path):
    paths = write_series(tmp_path)
    for path in (paths[0], paths[1], paths[3], paths[4]):
        path.write_bytes(path.read_bytes()[: -VOLUME[0].nbytes])
    assert np.array_equal(open_image(tmp_path).values, VOLUME[2])
