"""Instances: counted, measured, and read back from every kind of file by readers that are not ours where there are."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from support.geometry_fixtures import AFFINE, write_volume

from ibisagent.tools.clicks import Click, PixelBox, click_to_pixel
from ibisagent.tools.errors import InputError
from ibisagent.tools.export import Provenance, save_instances
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks import coco_annotations
from ibisagent.tools.masks.instances import Instances, instances
from ibisagent.tools.masks.rle import decode

THREE = np.array(
    [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 1],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
    ],
    dtype=bool,
)


@pytest.fixture
def photograph(tmp_path):
    Image.fromarray(np.zeros(THREE.shape, np.uint8)).save(tmp_path / "a.png")
    return open_image(tmp_path / "a.png")


def test_instances_are_components_joined_by_sides_or_corners():
    found = instances(THREE)
    assert found.count == 3
    assert found.labels.tolist() == [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 2],
        [0, 0, 0, 0, 2, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 3, 3, 3, 0, 0],
    ]
    assert found.areas == (4, 2, 3)
    assert found.boxes[1] == PixelBox(1, 4, 2, 5)
    assert click_to_pixel(Click(*found.centroids[2]), THREE.shape) == (4, 2)
    assert not found.labels.flags.writeable


def test_an_empty_mask_has_none():
    found = instances(np.zeros((3, 4), bool))
    assert (found.count, found.areas, found.labels.dtype) == (0, (), np.uint16)


def test_labels_without_a_pixel_are_closed_up():
    found = Instances.of_labels(np.array([[0, 7, 7], [900, 0, 3]]))
    assert found.labels.tolist() == [[0, 2, 2], [3, 0, 1]]
    assert found.areas == (1, 2, 1)


def test_label_picture_has_16_bits(tmp_path, photograph):
    save_instances(tmp_path / "m.png", instances(THREE), photograph)
    with Image.open(tmp_path / "m.png") as picture:
        assert picture.mode == "I;16"
        assert np.array_equal(np.asarray(picture), instances(THREE).labels)


def test_more_instances_than_16_bits_hold(tmp_path):
    grid = np.zeros((600, 600), bool)
    grid[::2, ::2] = True
    image, found = open_image(np.zeros(grid.shape, np.uint8)), instances(grid)
    assert (found.count, found.labels.dtype) == (90_000, np.uint32)
    with pytest.raises(InputError, match="got 90000 instances, expected at most 65,535"):
        save_instances(tmp_path / "m.png", found, image)
    assert list(tmp_path.iterdir()) == []


def test_label_volume_lies_in_the_source(tmp_path):
    image = open_image(write_volume(tmp_path / "a.nii.gz", "LPS"), slice="axial:1")
    mask = np.zeros(image.shape, bool)
    mask[0, 1] = mask[2, 2] = mask[2, 3] = True
    save_instances(tmp_path / "m.nii.gz", instances(mask), image)
    saved, source = nib.load(tmp_path / "m.nii.gz"), nib.load(tmp_path / "a.nii.gz")
    assert saved.get_data_dtype() == np.uint16
    assert np.array_equal(saved.affine, source.affine)
    labels = np.asarray(saved.dataobj)
    assert np.bincount(labels.ravel()).tolist() == [117, 1, 2]
    (place,) = nib.affines.apply_affine(saved.affine, np.argwhere(labels == 1))
    assert np.allclose(place, AFFINE[:3, :3] @ [2, 5, 1] + AFFINE[:3, 3])


def test_table_has_sizes_and_centroids(tmp_path):
    image = open_image(write_volume(tmp_path / "a.nii.gz"), slice="axial:1")
    mask = np.zeros(image.shape, bool)
    mask[1:3, 0:3] = True
    save_instances(tmp_path / "m.csv", instances(mask), image)
    (row,) = csv.DictReader((tmp_path / "m.csv").read_text().splitlines())
    assert (row["label"], row["area_px"], row["area_mm2"]) == ("1", "6", "36.0")
    assert (float(row["column"]), float(row["row"])) == pytest.approx((1.0, 1.5))
    assert (float(row["x"]), float(row["y"])) == pytest.approx((1.5 / 4, 2 / 6))
    assert [row[edge] for edge in ("left", "top", "right", "bottom")] == ["0", "1", "2", "2"]


def test_table_without_spacing_leaves_mm_empty(tmp_path, photograph):
    save_instances(tmp_path / "m.csv", instances(THREE), photograph)
    lines = (tmp_path / "m.csv").read_text().splitlines()
    assert {row["area_mm2"] for row in csv.DictReader(lines)} == {""}


def test_coco_is_read_by_pycocotools_and_by_our_own_reader(tmp_path, photograph, capsys):
    path = tmp_path / "m.json"
    save_instances(path, instances(THREE), photograph, Provenance(target="cell nuclei"))
    theirs = COCO(str(path))
    capsys.readouterr()
    parts = theirs.loadAnns(theirs.getAnnIds(iscrowd=False))
    assert [part["area"] for part in parts] == [4, 2, 3]
    assert parts[1]["bbox"] == [4, 1, 2, 2]
    found = instances(THREE).labels
    assert all(np.array_equal(decode(theirs.annToRLE(part)), found == part["id"]) for part in parts)
    assert json.loads(path.read_text())["categories"] == [{"id": 1, "name": "cell nuclei"}]
    assert np.array_equal(coco_annotations.read_mask(path, photograph, 1), THREE)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("m.dcm", "got ending '.dcm', expected .png, .nii, .nii.gz, .csv or .json"),
        ("m.nii.gz", "got an image without a place"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, photograph, name, message):
    before = set(tmp_path.iterdir())
    with pytest.raises(InputError, match=message):
        save_instances(tmp_path / name, instances(THREE), photograph)
    assert set(tmp_path.iterdir()) == before


def test_instances_of_another_shape_are_refused(tmp_path, photograph):
    with pytest.raises(InputError, match="expected the displayed picture's"):
        save_instances(tmp_path / "m.csv", instances(np.ones((2, 2), bool)), photograph)
