"""Masks: run lengths as pycocotools makes them, and files that land where the image lies."""

import contextlib
import json
import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from pycocotools import mask as coco

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic, require_writable_folder
from ibisagent.tools.images import open_image
from ibisagent.tools.masks import area, decode, encode, read_mask, rle_key, save_mask

LETTER = np.array(  # an F: any flip or transpose shows
    [
        [1, 1, 1, 1, 0, 0],
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0],
    ],
    dtype=bool,
)
PICTURE = open_image(np.zeros(LETTER.shape, np.uint8))
SHAPE = (4, 6, 5)
AFFINE = np.array([[2.0, 0, 0, -10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])


def volume(path, codes="RAS", affine=AFFINE, shape=SHAPE):
    """Write a volume whose axes run along ``codes``; the world places of its voxels do not depend on them."""
    image = nib.Nifti1Image(np.arange(np.prod(shape), dtype=np.int16).reshape(shape), affine)
    if codes != "RAS":
        ornt = nib.orientations
        image = image.as_reoriented(ornt.ornt_transform(ornt.axcodes2ornt("RAS"), ornt.axcodes2ornt(codes)))
    image.set_qform(image.affine, 1)
    image.set_sform(image.affine, 4)
    image.header["descrip"] = b"Doe^Jane"
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


# Run lengths


@settings(max_examples=200, deadline=None)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=70)))
def test_encoding_is_pycocotools_own(mask):
    rle = encode(mask)
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert rle == {"size": list(mask.shape), "counts": theirs["counts"].decode()}
    assert np.array_equal(decode(rle), mask)
    assert area(rle) == mask.sum()


def test_run_lengths_are_plain_json():
    rle = encode(LETTER)
    assert json.loads(json.dumps(rle)) == rle
    assert rle["size"] == [5, 6]
    mask = decode(rle)
    assert (mask.dtype, mask.flags.c_contiguous, mask.flags.writeable) == (np.bool_, True, True)


def test_runs_longer_than_five_characters_decode():
    mask = np.zeros((3000, 3000), bool)
    mask[-1, -1] = True
    assert np.array_equal(decode(encode(mask)), mask)
    assert area(encode(~mask)) == 3000 * 3000 - 1


def test_any_memory_order_encodes_alike():
    wide = np.zeros((10, 12), bool)
    wide[::2, ::2] = LETTER
    assert encode(np.asfortranarray(LETTER)) == encode(LETTER) == encode(wide[::2, ::2]) == encode(LETTER.astype(int))


def test_key_names_content_and_shape():
    keys = [rle_key(encode(mask)) for mask in (LETTER, LETTER[::-1], np.zeros((2, 3), bool), np.zeros((3, 2), bool))]
    assert len(set(keys)) == 4
    assert all(len(key) == 16 and int(key, 16) >= 0 for key in keys)
    assert rle_key(pickle.loads(pickle.dumps(encode(LETTER)))) == keys[0]


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [4, 4], "counts": ""},
        {"size": [4, 4], "counts": "00"},
        {"size": [4, 4], "counts": "zzzz"},
        {"size": [4, 4], "counts": "P"},
        {"size": [2, 2], "counts": "999"},
        {"size": [4, 4], "counts": "é"},
        {"size": [4, 4], "counts": [3, 13]},
        {"size": [4], "counts": "`0"},
        {"size": [0, 0], "counts": "0"},
        {"size": [-4, -4], "counts": "`0"},
        {"size": [10**6, 10**6], "counts": "`0"},
        {"size": [4, 4], "counts": "oooooooooooooooo0"},
        {"size": [4, 4]},
        {},
    ],
)
def test_unsound_run_lengths_are_refused(rle):
    with pytest.raises(InputError, match="run lengths"):
        decode(rle)


@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12))
def test_no_counts_crash_the_decoder(counts):
    with contextlib.suppress(InputError):
        assert decode({"size": [4, 5], "counts": counts}).shape == (4, 5)


# Reading


def test_array_and_run_lengths_are_masks():
    assert np.array_equal(read_mask(LETTER, PICTURE), LETTER)
    assert np.array_equal(read_mask(LETTER.astype(np.uint8) * 3, PICTURE), LETTER)
    assert np.array_equal(read_mask(np.where(LETTER, 0.5, np.nan), PICTURE), LETTER)
    assert np.array_equal(read_mask(encode(LETTER), PICTURE), LETTER)


@pytest.mark.parametrize("level", [1, 128, 255])
def test_any_level_but_zero_is_inside(tmp_path, level):
    Image.fromarray((LETTER * level).astype(np.uint8)).save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png", PICTURE), LETTER)


def test_mask_pictures_of_every_kind(tmp_path):
    grey = LETTER.astype(np.uint8) * 2
    overlay = np.zeros((*LETTER.shape, 3), np.uint8)
    overlay[..., 2] = grey
    clear = np.dstack([overlay, np.zeros_like(grey)])
    palette = Image.fromarray(1 - LETTER.astype(np.uint8)).convert("P")
    palette.putpalette([255, 0, 0, 0, 0, 0])  # index 0 is red, index 1 black
    pictures = {
        "colour": Image.fromarray(overlay),
        "transparent": Image.fromarray(clear),
        "deep": Image.fromarray(LETTER.astype(np.uint16) * 300),
        "bits": Image.fromarray(LETTER),
        "palette": palette,
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / f"{name}.png")
    masks = {name: read_mask(tmp_path / f"{name}.png", PICTURE) for name in pictures}
    assert {name: np.array_equal(mask, LETTER) for name, mask in masks.items()} == dict.fromkeys(pictures, True)


def test_jpeg_mask_is_cut_in_the_middle(tmp_path):
    mask = np.kron(LETTER, np.ones((9, 9), bool))
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "m.jpg")
    image = open_image(np.zeros(mask.shape, np.uint8))
    assert np.array_equal(read_mask(tmp_path / "m.jpg", image), mask)


@pytest.mark.parametrize("source", [LETTER.T, encode(LETTER.T), np.zeros((5, 6, 3), bool)], ids=["array", "rle", "3-D"])
def test_other_shape_is_refused_naming_both(source):
    with pytest.raises(InputError, match=r"got a mask of \(.*\), expected the image's \(5, 6\)"):
        read_mask(source, PICTURE)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.png", b""),
        ("m.png", b"text"),
        ("m.json", b"{"),
        ("m.json", b"[1, 2]"),
        ("m.json", b'{"size": [5, 6], "counts": 3}'),
        ("m.json", b"[" * 100_000),
        ("m.json", b"\xff\xfe"),
        ("m.nii", b"text"),
        ("m.npy", b"\x93NUMPY"),
    ],
)
def test_hostile_mask_is_refused_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    image = open_image(volume(tmp_path / "image.nii"))
    for target in (PICTURE, image):
        with pytest.raises(InputError) as caught:
            read_mask(tmp_path / name, target)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("source", ["missing.png", "http://example.org/m.png", "."])
def test_wrong_mask_path_is_refused(source):
    with pytest.raises(InputError, match="got"):
        read_mask(source, PICTURE)


# Writing and reading back


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
    image = open_image(volume(tmp_path / "a.nii.gz", codes), slice=wanted)
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
    path = volume(tmp_path / "a.nii", "LPS")
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
    image = open_image(volume(tmp_path / "a.nii"))
    for name in ("m.nii.gz", "n.nii.gz"):
        save_mask(tmp_path / name, np.ones(image.shape, bool), image)
    assert (tmp_path / "m.nii.gz").read_bytes() == (tmp_path / "n.nii.gz").read_bytes()


def test_volume_also_saves_the_displayed_picture(tmp_path):
    image = open_image(volume(tmp_path / "a.nii", "PIR"))
    mask = np.zeros(image.shape, bool)
    mask[0, 1] = True
    save_mask(tmp_path / "m.png", mask, image)
    assert np.array_equal(read_mask(tmp_path / "m.png", image), mask)


def test_flat_volume_round_trip(tmp_path):
    image = open_image(volume(tmp_path / "a.nii", shape=(4, 6)))
    mask = np.zeros(image.shape, bool)
    mask[0, 1] = True
    save_mask(tmp_path / "m.nii", mask, image)
    assert nib.load(tmp_path / "m.nii").shape == (4, 6)
    assert np.array_equal(read_mask(tmp_path / "m.nii", image), mask)


def test_mask_on_another_grid_is_refused(tmp_path):
    image = open_image(volume(tmp_path / "a.nii"))
    moved = AFFINE.copy()
    moved[0, 3] += 1
    with pytest.raises(InputError, match="another affine"):
        read_mask(volume(tmp_path / "b.nii", affine=moved), image)
    with pytest.raises(InputError, match="another affine"):
        read_mask(volume(tmp_path / "c.nii", affine=AFFINE * [[1.1], [1], [1], [1]]), image)
    with pytest.raises(InputError, match=r"\(4, 6, 4\), expected the image's \(4, 6, 5\)"):
        read_mask(volume(tmp_path / "d.nii", shape=(4, 6, 4)), image)
    with pytest.raises(InputError, match="not NIfTI"):
        read_mask(tmp_path / "a.nii", PICTURE)
    rounded = AFFINE.copy()
    rounded[0, 3] += 1e-4
    assert read_mask(volume(tmp_path / "e.nii", affine=rounded), image).any()


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


# Files


def write_half(path, error):
    with atomic(path) as temporary:
        temporary.write_text("half")
        raise error


def test_atomic_write_replaces_or_leaves_the_file(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_half(path, ZeroDivisionError())
    assert path.read_text() == "old"
    with atomic(path) as temporary:
        assert temporary.name.endswith(".nii.gz")
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_failing_write_is_the_users_to_mend(tmp_path):
    with pytest.raises(InputError, match="No space left"):
        write_half(tmp_path / "a", OSError(28, "No space left on device"))
    assert not list(tmp_path.iterdir())


def test_folder_is_no_file_name(tmp_path):
    (tmp_path / "m.png").mkdir()
    with pytest.raises(InputError, match="folder"):
        save_mask(tmp_path / "m.png", LETTER, PICTURE)


def test_unwritable_folder_is_refused(tmp_path):
    require_writable_folder(tmp_path)
    for wrong in (tmp_path / "none", Path(__file__), "a\0b", "/proc/self"):
        with pytest.raises(InputError, match="expected a writable folder"):
            require_writable_folder(wrong)
