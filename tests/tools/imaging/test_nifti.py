"""NIfTI slices, shown radiologically whatever the storage order."""

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from support.image_fixtures import AFFINE, RAS, write_dicom, write_nifti

from ibisagent.tools.allowed_paths import resolve
from ibisagent.tools.errors import InputError
from ibisagent.tools.export import save_mask
from ibisagent.tools.imaging.grids import Spacing
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.imaging.window import WINDOWS, Percentiles, apply_window
from ibisagent.tools.masks.reading import read_mask


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPS", "PIR", "SAL", "IPL"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_every_storage_order_shows_the_same_picture(tmp_path, codes, ending):
    path = write_nifti(tmp_path / f"a{ending}", codes)
    axial, coronal, sagittal = (open_image(path, slice=f"{name}:1") for name in ("axial", "coronal", "sagittal"))
    # Rows from front (or head) to back (or feet); columns from the patient's right, or from the front.
    assert np.array_equal(axial.values, RAS[::-1, ::-1, 1].T)
    assert np.array_equal(coronal.values, RAS[::-1, 1, ::-1].T)
    assert np.array_equal(sagittal.values, RAS[1, ::-1, ::-1].T)
    assert [image.spacing for image in (axial, coronal, sagittal)] == [Spacing(3, 2), Spacing(4, 2), Spacing(4, 3)]
    assert np.array_equal(axial.pixels, apply_window(axial.values, Percentiles(0.5, 99.5), RAS.astype(np.float32)))


def test_oblique_volume_is_shown_along_its_nearest_axes(tmp_path):
    angle = np.deg2rad(20)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    path = write_nifti(tmp_path / "a.nii", "PIR", affine=turn @ AFFINE)
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
    image = open_image(write_nifti(tmp_path / "a.nii"), slice=wanted)
    assert image.slice == opened
    assert open_image(image.uri, slice=image.slice, window=image.window).sha == image.sha


@pytest.mark.parametrize("wanted", ["5", "-1", "axial:5", "oblique:1", "axial:", "axial:x", "a:b:c", "axial:²"])
def test_wrong_slice_lists_the_ranges(tmp_path, wanted):
    with pytest.raises(InputError, match=r"axial:0\.\.4, coronal:0\.\.5, sagittal:0\.\.3"):
        open_image(write_nifti(tmp_path / "a.nii"), slice=wanted)


def test_undefined_unit_counts_as_millimetres(tmp_path):
    content = bytearray(write_nifti(tmp_path / "a.nii").read_bytes())
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
    assert np.array_equal(opened.pixels, apply_window(opened.values, WINDOWS["lung"]))
    assert opened.spacing == Spacing(0.003, 0.002)


def test_flat_and_single_slice_files_open(tmp_path):
    flat = open_image(write_nifti(tmp_path / "a.nii", volume=RAS[:, :, 1]))
    assert np.array_equal(flat.values, RAS[::-1, ::-1, 1].T)
    trailing = open_image(write_nifti(tmp_path / "b.nii", volume=RAS[..., None, None]), slice="1")
    assert np.array_equal(trailing.values, flat.values)
    thin = open_image(write_nifti(tmp_path / "c.nii", volume=RAS[1:2]))
    assert thin.slice == "sagittal:0"


def test_not_finite_voxels_are_black(tmp_path):
    volume = RAS.astype(np.float32)
    volume[0, 0, 2], volume[1, 0, 2], volume[2, 0, 2] = np.nan, np.inf, -np.inf
    image = open_image(write_nifti(tmp_path / "a.nii", volume=volume))
    assert image.pixels[-1].tolist()[1:] == [0, 0, 0]
    assert image.pixels.max() > 200
    assert f"3 of {image.pixels.size} pixels have no finite value (NaN or infinite): black" in image.notes
    whole = open_image(write_nifti(tmp_path / "b.nii", volume=RAS.astype(np.float32)))
    assert not any("finite" in note for note in whole.notes)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_a_volume_without_any_finite_voxel_is_refused_by_name(tmp_path, ending):
    volume = RAS.astype(np.float32)
    volume[..., 2] = np.nan
    path = tmp_path / f"unknown{ending}"

    def write(values):
        if ending in (".nii", ".nii.gz"):
            write_nifti(path, volume=values)
        else:
            SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values.transpose(2, 1, 0)), path)

    write(volume)
    black = open_image(path, slice="axial:2")
    assert not black.pixels.any()
    assert any("no finite value" in note for note in black.notes)
    for nothing in (np.nan, np.inf):
        write(np.full_like(volume, nothing))
        with pytest.raises(
            InputError, match=rf"unknown{ending}: got a volume in which no voxel has a finite value.*; "
        ):
            open_image(path)


STORED = np.arange(120, dtype=np.int16).reshape(4, 6, 5)


def written(path, kind=nib.Nifti1Image, slope=None):
    """Write STORED in its place; of a pair, both files."""
    image = kind(STORED, AFFINE)
    image.set_sform(AFFINE, 2)
    image.set_qform(AFFINE, 1)
    if slope is not None:
        image.header.set_slope_inter(slope, 1)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("slope", [None, 2.0])
def test_content_tells_whether_a_file_is_packed_not_its_name(kind, slope, tmp_path):
    plain = written(tmp_path / "a.nii", kind, slope)
    expected = open_image(plain)
    assert expected.values.max() > 0
    (tmp_path / "packed.nii").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "plain.nii.gz").write_bytes(plain.read_bytes())
    for name in ("packed.nii", "plain.nii.gz"):
        image = open_image(tmp_path / name)
        assert np.array_equal(image.values, expected.values)
        assert np.array_equal(image.grid.affine, expected.grid.affine)
        assert (image.spacing, image.axes) == (expected.spacing, expected.axes)
    (tmp_path / "half.nii").write_bytes(gzip.compress(plain.read_bytes())[:150])
    with pytest.raises(InputError, match=r"half\.nii: got .*; check that it was copied whole"):
        open_image(tmp_path / "half.nii")


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.nifti2.Nifti2Pair])
@pytest.mark.parametrize(("header", "voxels"), [("p.hdr", "p.img"), ("p.hdr.gz", "p.img.gz")])
def test_a_pair_opens_by_either_of_its_files_and_takes_its_mask(kind, header, voxels, tmp_path):
    written(tmp_path / voxels, kind)
    expected = open_image(written(tmp_path / "a.nii"))
    for name in (header, voxels):
        image = open_image(tmp_path / name)
        assert np.array_equal(image.values, expected.values)
        assert (image.spacing, image.axes) == (expected.spacing, expected.axes)
    mask = np.zeros(image.shape, bool)
    mask[1, 2] = True
    save_mask(tmp_path / "m.nii.gz", mask, image)
    saved = nib.load(tmp_path / "m.nii.gz")
    assert np.allclose(saved.affine, AFFINE)
    assert (int(saved.header["sform_code"]), int(saved.header["qform_code"])) == (2, 1)
    assert np.array_equal(read_mask(tmp_path / "m.nii.gz", expected), mask)
    nib.save(kind(np.asarray(saved.dataobj), saved.affine), tmp_path / f"mask{voxels[1:]}")
    assert np.array_equal(read_mask(tmp_path / f"mask{voxels[1:]}", expected), mask)


def test_half_of_a_pair_and_what_only_looks_like_one_name_the_remedy(tmp_path):
    for name, gone in (("a", "hdr"), ("b", "img")):
        written(tmp_path / f"{name}.img", nib.Nifti1Pair)
        (tmp_path / f"{name}.{gone}").unlink()
    for name, missing in (("a.img", "hdr"), ("b.hdr", "img")):
        with pytest.raises(InputError, match=rf"{name}: got one of two files, expected its \.{missing} beside it"):
            open_image(tmp_path / name)
    nib.save(nib.AnalyzeImage(STORED, AFFINE), tmp_path / "c.img")
    for name in ("c.hdr", "c.img"):
        with pytest.raises(InputError, match=r"an Analyze volume, which does not say where left is.*; convert it"):
            open_image(tmp_path / name)
    (tmp_path / "d.hdr").write_bytes(b"#?RADIANCE\n" + b" " * 500)
    with pytest.raises(InputError, match=r"d\.hdr: got data that cannot be decoded"):
        open_image(tmp_path / "d.hdr")


def test_dicom_under_a_pair_s_name_is_dicom(tmp_path):
    assert open_image(write_dicom(tmp_path / "a.img", np.arange(12, dtype=np.uint16).reshape(3, 4))).shape == (3, 4)


def test_the_other_half_of_a_pair_lies_under_the_roots_as_well(tmp_path):
    (tmp_path / "in").mkdir()
    written(tmp_path / "p.img", nib.Nifti1Pair)
    (tmp_path / "p.hdr").rename(tmp_path / "in" / "p.hdr")
    (tmp_path / "in" / "p.img").symlink_to(tmp_path / "p.img")
    with pytest.raises(InputError, match="outside the folders"):
        resolve("p.hdr", [tmp_path / "in"])
