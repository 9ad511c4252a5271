"""A series under a tilted gantry: each format's own reader finds a mask's voxels where the pixels lie."""

import highdicom
import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from pydicom.uid import generate_uid
from support.dicom_series_fixtures import ORIENTATIONS, SPACING, STEP, compute_lps, format_digits, write_series

from ibisagent.tools.export import Provenance, save_mask
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.reading import read_mask

TILT = np.tan(np.radians(13.5))
PLANES = 20
VOLUME = np.arange(PLANES * 24 * 28, dtype=np.int16).reshape(PLANES, 24, 28)


def place(plane, row, column):
    return compute_lps(ORIENTATIONS["axial"], plane, row, column) + np.array([0, plane * STEP * TILT, 0])


@pytest.fixture
def tilted(tmp_path):
    same = {"SeriesInstanceUID": "1.2.3", "StudyInstanceUID": "1.2", "FrameOfReferenceUID": generate_uid()}
    for plane in range(PLANES):
        here = {"ImagePositionPatient": format_digits(place(plane, 0, 0)), **same}
        write_series(tmp_path / "scan", VOLUME[plane : plane + 1], first=plane, **here)
    return tmp_path


def by_nibabel(path):
    saved = nib.load(path)
    assert (int(saved.header["qform_code"]), int(saved.header["sform_code"])) == (0, 1)
    voxels = np.argwhere(np.asarray(saved.dataobj))
    return nib.affines.apply_affine(saved.affine, voxels) * (-1, -1, 1)


def by_simpleitk(path):
    saved = SimpleITK.ReadImage(str(path))
    marked = np.argwhere(SimpleITK.GetArrayFromImage(saved))[:, ::-1]
    return np.array([saved.TransformIndexToPhysicalPoint(index.tolist()) for index in marked])


def by_highdicom(path):
    saved = highdicom.seg.segread(path)
    frames = saved.pixel_array.reshape(-1, saved.Rows, saved.Columns)
    turn = np.array(saved.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient, float)
    starts = [group.PlanePositionSequence[0].ImagePositionPatient for group in saved.PerFrameFunctionalGroupsSequence]
    return np.array(
        [
            np.array(starts[frame], float) + turn[:3] * SPACING[1] * column + turn[3:] * SPACING[0] * row
            for frame, row, column in np.argwhere(frames)
        ]
    )


@pytest.mark.parametrize("wanted", ["axial:17", "coronal:3", "sagittal:20", "2"])
@pytest.mark.parametrize(
    ("ending", "places"), [(".nii.gz", by_nibabel), (".nrrd", by_simpleitk), (".dcm", by_highdicom)]
)
def test_voxels_of_a_mask_lie_where_the_pixels_do(tilted, wanted, ending, places):
    image = open_image(tilted / "scan", slice=wanted)
    mask = np.zeros(image.shape, bool)
    mask[1, 2] = mask[-1, -3] = mask[3, 0] = True
    save_mask(tilted / f"m{ending}", mask, image, Provenance("liver"))
    expected = sorted(tuple(place(k, j, i)) for i, j, k in np.argwhere(image.grid.to_source(mask)))
    assert sorted(map(tuple, places(tilted / f"m{ending}"))) == pytest.approx(np.array(expected), abs=0.1)
    if ending != ".dcm":
        assert np.array_equal(read_mask(tilted / f"m{ending}", image), mask)


def test_itk_refuses_the_nifti_rather_than_misplace_it_and_the_note_says_what_to_save(tilted):
    image = open_image(tilted / "scan", slice="axial:17")
    save_mask(tilted / "m.nii.gz", np.ones(image.shape, bool), image)
    with pytest.raises(RuntimeError, match="orthonormal"):
        SimpleITK.ReadImage(str(tilted / "m.nii.gz"))
    save_mask(tilted / "m.nrrd", np.ones(image.shape, bool), image)
    again, source = open_image(tilted / "m.nrrd"), open_image(tilted / "m.nii.gz")
    assert any(".nrrd" in note and ".dcm" not in note for note in source.notes)
    assert any({".nrrd", ".dcm"} <= set(note.split()) for note in image.notes)
    assert any(".nrrd" in note and ".dcm" not in note for note in again.notes)
