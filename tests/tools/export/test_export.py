"""Masks written to files: on the source's own grid, in its own place, whole or not at all."""

import itertools
import json

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from PIL import Image
from pycocotools import mask as coco
from support.geometry_fixtures import (
    AFFINE,
    COLUMNS,
    GAP,
    LETTER,
    ORIENTATIONS,
    PICTURE,
    ROWS,
    SHAPE,
    SPACING,
    compute_place,
    write_enhanced,
    write_series,
    write_volume,
)

from ibisagent.tools.errors import InputError
from ibisagent.tools.export import require_savable, save_mask
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.reading import read_mask

CODES = ["".join(code) for axes in itertools.permutations(("RL", "AP", "SI")) for code in itertools.product(*axes)]


@pytest.mark.parametrize("ending", [".png", ".json", ".PNG"])
def test_picture_mask_comes_back(tmp_path, ending):
    path = tmp_path / f"m{ending}"
    save_mask(path, LETTER, PICTURE)
    assert np.array_equal(read_mask(path, PICTURE), LETTER)
    assert list(tmp_path.iterdir()) == [path]


def test_png_mask_holds_0_and_255(tmp_path):
    save_mask(tmp_path / "m.png", LETTER, PICTURE)
    with Image.open(tmp_path / "m.png") as picture:
        assert np.array_equal(np.asarray(picture), LETTER * 255)


def test_json_mask_is_coco(tmp_path):
    save_mask(tmp_path / "m.json", LETTER, PICTURE)
    theirs = coco.encode(np.asfortranarray(LETTER.astype(np.uint8)))
    assert json.loads((tmp_path / "m.json").read_text()) == {"size": [5, 6], "counts": theirs["counts"].decode()}


def test_mask_of_a_turned_photograph_is_upright(tmp_path):
    photograph = Image.fromarray(np.zeros((6, 5), np.uint8))  # stored on its side
    exif = photograph.getexif()
    exif[0x0112] = 6
    photograph.save(tmp_path / "a.jpg", exif=exif)
    image = open_image(tmp_path / "a.jpg")
    assert image.shape == (5, 6)
    save_mask(tmp_path / "m.png", LETTER, image)
    with Image.open(tmp_path / "m.png") as picture:
        assert np.array_equal(np.asarray(picture) > 0, LETTER)
    assert np.array_equal(read_mask(tmp_path / "m.png", image), LETTER)


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPS", "PIR", "SAL", "IPL"])
@pytest.mark.parametrize("wanted", ["axial:1", "coronal:4", "sagittal:3"])
def test_volume_mask_lands_at_its_world_place(tmp_path, codes, wanted):
    image = open_image(write_volume(tmp_path / "a.nii.gz", codes), slice=wanted)
    mask = np.zeros(image.shape, bool)
    mask[0, 1] = mask[1, 0] = mask[-1, 2] = True
    save_mask(tmp_path / "m.nii.gz", mask, image)
    assert np.array_equal(read_mask(tmp_path / "m.nii.gz", image), mask)
    source, saved = nib.load(tmp_path / "a.nii.gz"), nib.load(tmp_path / "m.nii.gz")
    assert saved.shape == source.shape
    assert saved.get_data_dtype() == np.uint8
    voxels = np.argwhere(np.asarray(saved.dataobj) == 1)
    places = {tuple(place) for place in nib.affines.apply_affine(saved.affine, voxels)}
    assert places == {world(wanted, row, column) for row, column in np.argwhere(mask)}


def world(wanted, row, column):
    """Where a displayed pixel lies in mm, by the rule of display: rows and columns run against the canonical axes."""
    name, _, index = wanted.partition(":")
    across = {"sagittal": 0, "coronal": 1, "axial": 2}[name]
    first, second = (axis for axis in range(3) if axis != across)
    place = [0, 0, 0]
    place[across], place[first], place[second] = int(index), SHAPE[first] - 1 - column, SHAPE[second] - 1 - row
    return tuple(AFFINE[:3, :3] @ place + AFFINE[:3, 3])


def test_volume_mask_keeps_both_forms_and_codes(tmp_path):
    path = write_volume(tmp_path / "a.nii", "LPS")
    oblique = nib.load(path)
    turn = nib.eulerangles.euler2mat(0.1, 0.2, 0.3)
    oblique.set_qform(nib.affines.from_matvec(turn, [1, 2, 3]) @ oblique.affine, 2)
    nib.save(oblique, path)
    image = open_image(path)
    save_mask(tmp_path / "m.nii", np.ones(image.shape, bool), image)
    source, saved = nib.load(path).header, nib.load(tmp_path / "m.nii").header
    for key in (
        "qform_code",
        "sform_code",
        "quatern_b",
        "qoffset_x",
        "srow_x",
        "srow_y",
        "srow_z",
        "pixdim",
        "xyzt_units",
    ):
        assert np.array_equal(saved[key], source[key]), key
    assert b"Jane" not in (tmp_path / "m.nii").read_bytes()
    assert np.asarray(nib.load(tmp_path / "m.nii").dataobj).sum() == image.pixels.size


def test_scaled_and_second_version_sources_get_plain_masks(tmp_path):
    image = nib.Nifti2Image(np.linspace(-1, 1, 24).reshape(2, 3, 4), AFFINE)
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "a.nii.gz")
    opened = open_image(tmp_path / "a.nii.gz")
    mask = np.eye(3, 2, dtype=bool)
    save_mask(tmp_path / "m.nii.gz", mask, opened)
    saved = nib.load(tmp_path / "m.nii.gz")
    assert isinstance(saved, nib.Nifti2Image)
    assert set(np.unique(saved.get_fdata())) == {0.0, 1.0}
    assert np.array_equal(read_mask(tmp_path / "m.nii.gz", opened), mask)


def test_volume_masks_of_one_content_are_one_file(tmp_path):
    image = open_image(write_volume(tmp_path / "a.nii"))
    for name in ("m.nii.gz", "n.nii.gz"):
        save_mask(tmp_path / name, np.ones(image.shape, bool), image)
    assert (tmp_path / "m.nii.gz").read_bytes() == (tmp_path / "n.nii.gz").read_bytes()


def test_volume_also_saves_the_displayed_picture(tmp_path):
    image = open_image(write_volume(tmp_path / "a.nii", "PIR"))
    mask = np.zeros(image.shape, bool)
    mask[0, 1] = True
    save_mask(tmp_path / "m.png", mask, image)
    assert np.array_equal(read_mask(tmp_path / "m.png", image), mask)


def test_flat_volume_round_trip(tmp_path):
    image = open_image(write_volume(tmp_path / "a.nii", shape=(4, 6)))
    mask = np.zeros(image.shape, bool)
    mask[0, 1] = True
    save_mask(tmp_path / "m.nii", mask, image)
    assert nib.load(tmp_path / "m.nii").shape == (4, 6)
    assert np.array_equal(read_mask(tmp_path / "m.nii", image), mask)


@pytest.mark.parametrize(
    "name", ["m.tif", "m", "m.nii", "m.nii.gz", "m.gz", "none/m.png", "file/m.png", "http://a.b/m.png"]
)
def test_wrong_target_is_refused_before_any_work(tmp_path, name):
    (tmp_path / "file").write_text("x")
    target = name if "://" in name else tmp_path / name
    with pytest.raises(InputError) as caught:
        save_mask(target, LETTER, PICTURE)
    assert str(caught.value).isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_mask_of_another_shape_is_not_saved(tmp_path):
    with pytest.raises(InputError, match="expected the image's"):
        save_mask(tmp_path / "m.png", LETTER.T, PICTURE)
    assert not list(tmp_path.iterdir())


# NRRD, and what SimpleITK sees


def places_in(path):
    """The places of a file's marked voxels in LPS mm, as SimpleITK gives them."""
    image = SimpleITK.ReadImage(str(path))
    marked = np.argwhere(SimpleITK.GetArrayFromImage(image) == 1)[:, ::-1]
    return sorted(tuple(np.round(image.TransformIndexToPhysicalPoint(index.tolist()), 3)) for index in marked)


def three_pixels(image):
    mask = np.zeros(image.shape, bool)
    mask[0, 1] = mask[1, 0] = mask[-1, 2] = True
    return mask


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
@pytest.mark.parametrize("codes", CODES)
def test_simpleitk_sees_a_volume_s_mask_in_its_physical_place(tmp_path, codes, ending):
    image = open_image(write_volume(tmp_path / "a.nii.gz", codes), slice="coronal:4")
    mask = three_pixels(image)
    save_mask(tmp_path / f"m{ending}", mask, image)
    expected = [world("coronal:4", row, column) for row, column in np.argwhere(mask)]
    assert places_in(tmp_path / f"m{ending}") == sorted((-x, -y, z) for x, y, z in expected)
    source, saved = (SimpleITK.ReadImage(str(tmp_path / name)) for name in ("a.nii.gz", f"m{ending}"))
    assert saved.GetSize() == source.GetSize()
    assert saved.GetPixelIDTypeAsString() == "8-bit unsigned integer"
    assert np.allclose(saved.GetDirection(), source.GetDirection(), atol=1e-6)
    assert np.array_equal(read_mask(tmp_path / f"m{ending}", image), mask)


@pytest.mark.parametrize(
    "space", ["left-posterior-superior", "right-anterior-superior", "left-anterior-superior", None]
)
def test_nrrd_keeps_space_directions_and_origin_of_its_source(tmp_path, space):
    directions, origin = "(0.1,-1.9,0.3) (2.2,0.3,0) (0.4,0,3.1)", "(-12.3,45.6,7.8)"
    named = f"space: {space}" if space else "space dimension: 3"
    fields = ["type: short", "dimension: 3", named, "sizes: 3 4 5", f"space directions: {directions}"]
    fields += ["kinds: domain domain domain", "endian: little", "encoding: raw", f"space origin: {origin}"]
    voxels = np.arange(60, dtype="<i2").tobytes()
    (tmp_path / "a.nrrd").write_bytes("\n".join(["NRRD0004", *fields]).encode() + b"\n\n" + voxels)
    image = open_image(tmp_path / "a.nrrd")
    save_mask(tmp_path / "m.nrrd", three_pixels(image), image)
    saved = (tmp_path / "m.nrrd").read_bytes().partition(b"\n\n")[0].decode().splitlines()
    kept = {line for line in fields if line.startswith(("space", "sizes", "kinds", "dimension"))}
    numbers = {line.replace(",0)", ",0.0)").replace(",0,", ",0.0,") for line in kept}
    assert set(saved) == {"NRRD0005", "type: uint8", "encoding: gzip", *numbers}
    assert np.array_equal(read_mask(tmp_path / "m.nrrd", image), three_pixels(image))


def test_nrrd_masks_of_one_content_are_one_file_without_a_name(tmp_path):
    image = open_image(write_volume(tmp_path / "a.nii"))
    for name in ("m.nrrd", "n.nrrd"):
        save_mask(tmp_path / name, three_pixels(image), image)
    assert (tmp_path / "m.nrrd").read_bytes() == (tmp_path / "n.nrrd").read_bytes()
    assert b"Jane" not in (tmp_path / "m.nrrd").read_bytes()


@pytest.mark.parametrize("ending", [".nii", ".nrrd"])
def test_one_volume_of_several_gives_a_mask_of_three_axes(tmp_path, ending):
    voxels = np.arange(240, dtype=np.int16).reshape(4, 5, 4, 3)
    nib.save(nib.Nifti1Image(voxels, AFFINE), tmp_path / "a.nii")
    image = open_image(tmp_path / "a.nii", slice="axial:1@2")
    mask = three_pixels(image)
    save_mask(tmp_path / f"m{ending}", mask, image)
    assert SimpleITK.ReadImage(str(tmp_path / f"m{ending}")).GetSize() == (4, 5, 4)
    assert np.array_equal(read_mask(tmp_path / f"m{ending}", image), mask)


# DICOM as the source


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_mask_of_a_dicom_series_lies_where_its_pixels_do(tmp_path, orientation, ending):
    write_series(tmp_path / "scan", orientation)
    image = open_image(tmp_path / "scan", slice="2")
    assert image.shape == (ROWS, COLUMNS)
    mask = three_pixels(image)
    save_mask(tmp_path / f"m{ending}", mask, image)
    expected = sorted(tuple(np.round(compute_place(orientation, 2, *pixel), 3)) for pixel in np.argwhere(mask))
    assert np.allclose(places_in(tmp_path / f"m{ending}"), expected, atol=1e-3)
    assert SimpleITK.ReadImage(str(tmp_path / f"m{ending}")).GetSize() == (COLUMNS, ROWS, 4)
    content = (tmp_path / f"m{ending}").read_bytes()
    assert b"Doe" not in content
    assert b"4711" not in content


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_mask_of_an_enhanced_image_lies_where_its_frame_does(tmp_path, ending):
    write_enhanced(tmp_path / "a.dcm", "oblique")
    image = open_image(tmp_path / "a.dcm", slice="0")  # the last position
    mask = three_pixels(image)
    save_mask(tmp_path / f"m{ending}", mask, image)
    expected = sorted(tuple(np.round(compute_place("oblique", 3, *pixel), 3)) for pixel in np.argwhere(mask))
    assert np.allclose(places_in(tmp_path / f"m{ending}"), expected, atol=1e-3)


def test_volume_of_a_dicom_series_has_its_spacing(tmp_path):
    write_series(tmp_path / "scan", "sagittal")
    image = open_image(tmp_path / "scan", slice="1")
    save_mask(tmp_path / "m.nii", three_pixels(image), image)
    saved = nib.load(tmp_path / "m.nii")
    assert np.allclose(saved.header.get_zooms(), (SPACING[1], SPACING[0], GAP))
    assert (int(saved.header["qform_code"]), int(saved.header["sform_code"])) == (1, 1)
    assert saved.header.get_xyzt_units()[0] == "mm"


def test_a_volume_needs_a_place(tmp_path):
    for name in ("m.nii", "m.nii.gz", "m.nrrd"):
        with pytest.raises(InputError, match="without a place in the patient"):
            require_savable(tmp_path / name, PICTURE)
    with pytest.raises(InputError, match="no DICOM"):
        require_savable(tmp_path / "m.dcm", PICTURE)
    with pytest.raises(InputError, match=r"expected \.png, \.json, \.nii, \.nii\.gz, \.nrrd or \.dcm"):
        require_savable(tmp_path / "m.jpg", PICTURE)
