"""NIfTI slices, shown radiologically whatever the storage order."""

import struct

import nibabel as nib
import numpy as np
import pytest
from samples import AFFINE, RAS, nifti

from ibisagent.tools.errors import InputError
from ibisagent.tools.images import Spacing, open_image
from ibisagent.tools.window import WINDOWS, Percentiles, render


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
