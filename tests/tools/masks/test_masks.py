"""Masks: run lengths as pycocotools makes them, and files that land where the image lies."""

import contextlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from pycocotools import mask as coco
from support.geometry_fixtures import AFFINE, LETTER, PICTURE, write_volume

from ibisagent.tools.errors import InputError
from ibisagent.tools.export import save_mask
from ibisagent.tools.files import atomic_write, require_writable_folder
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.reading import read_mask
from ibisagent.tools.masks.rle import area, decode, encode, rle_key

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
    image = open_image(write_volume(tmp_path / "image.nii"))
    for target in (PICTURE, image):
        with pytest.raises(InputError) as caught:
            read_mask(tmp_path / name, target)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("source", ["missing.png", "http://example.org/m.png", "."])
def test_wrong_mask_path_is_refused(source):
    with pytest.raises(InputError, match="got"):
        read_mask(source, PICTURE)


def test_mask_on_another_grid_is_refused(tmp_path):
    image = open_image(write_volume(tmp_path / "a.nii"))
    moved = AFFINE.copy()
    moved[0, 3] += 1
    with pytest.raises(InputError, match="another affine"):
        read_mask(write_volume(tmp_path / "b.nii", affine=moved), image)
    with pytest.raises(InputError, match="another affine"):
        read_mask(write_volume(tmp_path / "c.nii", affine=AFFINE * [[1.1], [1], [1], [1]]), image)
    with pytest.raises(InputError, match=r"\(4, 6, 4\), expected the image's \(4, 6, 5\)"):
        read_mask(write_volume(tmp_path / "d.nii", shape=(4, 6, 4)), image)
    with pytest.raises(InputError, match="an image without a place"):
        read_mask(tmp_path / "a.nii", PICTURE)
    rounded = AFFINE.copy()
    rounded[0, 3] += 1e-4
    assert read_mask(write_volume(tmp_path / "e.nii", affine=rounded), image, values=57).sum() == 1


# Files


def write_half(path, error):
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        raise error


def test_atomic_write_replaces_or_leaves_the_file(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_half(path, ZeroDivisionError())
    assert path.read_text() == "old"
    with atomic_write(path) as temporary:
        assert temporary.name.endswith(".nii.gz")
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_failing_write_is_the_users_to_fix(tmp_path):
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
