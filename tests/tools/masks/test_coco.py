"""COCO annotations and the picture that they were made on: as stored, as shown, or another one."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from support.image_fixtures import UPRIGHT, write_png

from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks import coco_annotations as annotations

HEIGHT, WIDTH = 48, 64
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[8:20, 40:60] = True  # of the stored picture, in no middle and no corner


def folder(path, orientation=1, size=(HEIGHT, WIDTH), segmentation=None, kind="JPEG"):
    """Write a data set of one picture, stored 48 x 64, whose entry gives ``size`` and whose lesion is MASK."""
    polygon = [[40, 8, 60, 8, 60, 20, 40, 20]]
    entry = {"id": 1, "file_name": "a.jpg"} | (
        {} if size is None else dict(zip(("height", "width"), size, strict=True))
    )
    found = {"image_id": 1, "category_id": 1, "segmentation": polygon if segmentation is None else segmentation}
    content = {"images": [entry], "categories": [{"id": 1, "name": "lesion"}], "annotations": [found]}
    (path / "images").mkdir()
    (path / "annotations").mkdir()
    (path / "annotations/a.json").write_text(json.dumps(content), "utf-8-sig")
    stored = Image.fromarray(MASK.astype(np.uint8) * 200)
    exif = stored.getexif()
    exif[0x0112] = orientation
    write_png(np.asarray(stored), path / "images/a.jpg", format=kind, exif=exif)
    return path


def opened(path):
    (case,) = read_dataset(path)
    image = case.open()
    return image, case


def turned(mask, orientation):
    return np.asarray(Image.fromarray(mask).transpose(UPRIGHT[orientation])) if orientation > 1 else mask


def counts(mask, form):
    text = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    flat = np.concatenate([[False], mask.T.ravel()])
    runs = np.diff([0, *np.flatnonzero(np.diff(flat)), mask.size]).tolist()
    return {"size": list(mask.shape), "counts": text if form == "text" else runs}


@pytest.mark.parametrize("orientation", [1, 5, 6, 7, 8])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("form", ["polygon", "text", "list"])
def test_annotations_of_the_stored_picture_are_turned_with_it(tmp_path, orientation, kind, form):
    given = None if form == "polygon" else counts(MASK, form)
    image, case = opened(folder(tmp_path, orientation, segmentation=given, kind=kind))
    truth = case.read_truth(image)
    assert np.array_equal(truth, turned(MASK, orientation))
    assert (image.pixels[truth] > 150).mean() > 0.95


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_annotations_of_the_upright_picture_stay(tmp_path, orientation):
    upright = turned(MASK, orientation)
    image, case = opened(folder(tmp_path, orientation, upright.shape, counts(upright, "text")))
    assert np.array_equal(case.read_truth(image), upright)


@pytest.mark.parametrize(
    ("orientation", "size", "says"),
    [
        (1, (96, 128), r"a picture of \(96, 128\) \(height, width\), expected the opened picture's \(48, 64\)"),
        (1, (64, 48), r"expected the opened picture's \(48, 64\)"),
        (6, (96, 128), r"expected the opened picture's \(64, 48\)"),
        (2, (48, 64), "EXIF turns .orientation 2.*save it upright"),
        (3, (48, 64), "EXIF turns .orientation 3.*save it upright"),
        (4, None, "EXIF turns .orientation 4.*save it upright"),
        (6, None, "EXIF turns .orientation 6.*save it upright"),
    ],
)
def test_another_picture_s_annotations_and_those_that_nobody_can_place_are_refused(tmp_path, orientation, size, says):
    image, case = opened(folder(tmp_path, orientation, size))
    with pytest.raises(InputError, match=says) as caught:
        case.read_truth(image)
    assert str(caught.value).isprintable()


def test_an_entry_without_a_size_is_believed_where_nothing_is_turned(tmp_path):
    image, case = opened(folder(tmp_path, size=None))
    assert np.array_equal(case.read_truth(image), MASK)


@pytest.mark.parametrize("shift", [(70, 0), (0, 50), (-61, 0), (0, -21)])
def test_a_polygon_beside_the_picture_is_refused(tmp_path, shift):
    points = [40 + shift[0], 8 + shift[1], 60 + shift[0], 8 + shift[1], 60 + shift[0], 20 + shift[1]]
    image, _ = opened(folder(tmp_path, segmentation=[points]))
    with pytest.raises(InputError, match="polygon"):
        annotations.read_mask(tmp_path / "annotations/a.json", image, 1)


@pytest.mark.parametrize("wrong", [[3, 4], [-1, HEIGHT * WIDTH + 1], ["a"], [1.5, HEIGHT * WIDTH - 1.5], None, 7])
def test_run_lengths_that_do_not_fill_the_picture_are_refused(tmp_path, wrong):
    image, case = opened(folder(tmp_path, segmentation={"size": [HEIGHT, WIDTH], "counts": wrong}))
    with pytest.raises(InputError, match="run lengths"):
        case.read_truth(image)


def test_a_broken_exif_block_turns_neither_picture_nor_annotations(tmp_path):
    folder(tmp_path)
    stored = Image.fromarray(MASK.astype(np.uint8) * 200)
    stored.save(tmp_path / "images/a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    image = open_image(tmp_path / "images/a.jpg")
    assert np.array_equal(annotations.read_mask(tmp_path / "annotations/a.json", image, 1), MASK)


WRONG = {
    "fractions": ([[0.6, 0.2, 0.9, 0.2, 0.9, 0.4]], "in fractions of the picture's size, expected pixels"),
    "a flat polygon": ([40, 8, 60, 8, 60, 20, 40, 20], "not one list of numbers in the list of polygons"),
    "pairs": ([[[40, 8], [60, 8], [60, 20]]], "not one list of numbers in the list of polygons"),
    "an odd one": ([[40, 8, 60, 8, 60, 20, 40]], "an odd count of numbers"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_polygon_that_is_none_is_refused_with_what_it_should_be(tmp_path, kind):
    segmentation, message = WRONG[kind]
    image, case = opened(folder(tmp_path, segmentation=segmentation))
    with pytest.raises(InputError, match=message):
        case.read_truth(image)


def test_a_small_part_in_the_first_pixel_is_no_fraction(tmp_path):
    parts = [[40, 8, 60, 8, 60, 20, 40, 20], [0.2, 0.2, 0.8, 0.2, 0.8, 0.8]]
    image, case = opened(folder(tmp_path, segmentation=parts))
    assert np.array_equal(case.read_truth(image), MASK)


def test_run_lengths_in_a_list_are_read_too(tmp_path):
    image, case = opened(folder(tmp_path, segmentation=[counts(MASK, "list")]))
    assert np.array_equal(case.read_truth(image), MASK)


def test_a_box_alone_is_no_mask(tmp_path):
    path = folder(tmp_path)
    content = json.loads((path / "annotations/a.json").read_text("utf-8-sig"))
    content["annotations"][0] |= {"segmentation": [], "bbox": [40, 8, 20, 12]}
    (path / "annotations/a.json").write_text(json.dumps(content))
    image, case = opened(path)
    with pytest.raises(InputError, match="got an annotation with a box alone"):
        case.read_truth(image)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(HEIGHT, None), (None, WIDTH)])
def test_one_length_is_compared_with_the_picture_as_well(tmp_path, size, orientation):
    (tmp_path / "fits").mkdir()
    image, case = opened(folder(tmp_path / "fits", orientation, size))
    assert np.array_equal(case.read_truth(image), turned(MASK, orientation))
    (tmp_path / "not").mkdir()
    image, case = opened(folder(tmp_path / "not", orientation, tuple(length and 2 * length for length in size)))
    with pytest.raises(InputError, match="got annotations of a picture of"):
        case.read_truth(image)
