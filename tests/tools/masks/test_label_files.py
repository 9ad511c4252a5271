"""Label files: which values they hold, plane by plane, and the mask of one of them, or of several."""

import json

import numpy as np
import pytest
from PIL import Image
from support.image_fixtures import write_nifti, write_png

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.label_maps import choose_label_slices, count_label_areas
from ibisagent.tools.masks.reading import read_mask
from ibisagent.tools.masks.rle import encode

LABELS = np.array([[0, 1, 1, 2], [0, 0, 3, 2], [7, 0, 0, 2]], np.uint8)
PICTURE = open_image(np.zeros(LABELS.shape, np.uint8))


def is_label(path, values, image=PICTURE):
    return np.array_equal(read_mask(path, image, values=values), np.isin(LABELS, values))


def palette(path):
    picture = Image.fromarray(LABELS).convert("P")
    picture.putpalette([200, 0, 0] * 256)  # every index one colour: only the index can tell them apart
    picture.save(path)
    return path


@pytest.mark.parametrize("values", [1, 2, 7, (1, 2), (3, 9)])
def test_value_of_a_label_picture_is_its_mask(tmp_path, values):
    files = {
        "grey": write_png(LABELS, tmp_path / "grey.png"),
        "deep": write_png(LABELS.astype(np.uint16), tmp_path / "deep.png"),
        "colour": write_png(np.dstack([LABELS] * 3), tmp_path / "colour.png"),
        "alpha": write_png(np.dstack([LABELS, LABELS * 0]), tmp_path / "alpha.png"),
        "palette": palette(tmp_path / "palette.png"),
    }
    assert {name: is_label(path, values) for name, path in files.items()} == dict.fromkeys(files, True)
    assert np.array_equal(read_mask(LABELS, PICTURE, values=values), np.isin(LABELS, values))


def test_true_colour_is_no_label(tmp_path):
    colours = np.dstack([LABELS, LABELS, LABELS])
    colours[0, 1] = (1, 1, 2)
    path = write_png(colours, tmp_path / "a.png")
    assert count_label_areas(path) == {None: {1: 1, 2: 3, 3: 1, 7: 1}}
    assert np.argwhere(read_mask(path, PICTURE, values=1)).tolist() == [[0, 2]]


def test_run_lengths_hold_label_1():
    mask = LABELS > 1
    assert np.array_equal(read_mask(encode(mask), PICTURE, values=1), mask)
    assert not read_mask(encode(mask), PICTURE, values=2).any()


def test_labels_in_a_jpeg_are_refused(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(LABELS).save(path)
    with pytest.raises(InputError, match="save them as PNG"):
        read_mask(path, PICTURE, values=1)


def pages(path, *arrays):
    first, *rest = (Image.fromarray(array) for array in arrays)
    first.save(path, save_all=True, append_images=rest)
    return path


def test_mask_of_several_pages_is_read_at_the_image_s_page(tmp_path):
    empty = np.zeros_like(LABELS)
    mask = pages(tmp_path / "m.tif", empty, LABELS, empty + 2)
    images = [open_image(pages(tmp_path / "i.tif", *[LABELS] * 3), slice=str(page)) for page in range(3)]
    assert [int(read_mask(mask, image, values=2).sum()) for image in images] == [0, 3, 12]
    assert [int(read_mask(mask, image).sum()) for image in images[::2]] == [0, 12]
    assert count_label_areas(mask) == {"0": {}, "1": {1: 2, 2: 3, 3: 1, 7: 1}, "2": {2: 12}}
    one = write_png(LABELS, tmp_path / "one.png")
    assert np.array_equal(read_mask(one, images[2], values=(1, 2, 3, 7)), LABELS > 0)
    for several in (mask, one):
        with pytest.raises(InputError, match=r"got 5 values, expected two .* name the label"):
            read_mask(several, images[1])


VOLUME = np.zeros((4, 6, 5), np.int16)
VOLUME[1:3, 2, 1], VOLUME[1:4, 2, 3], VOLUME[0, 0, 3] = 1, 1, 2


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAL"])
@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_volume_s_planes_are_axial_whatever_the_storage_order(tmp_path, codes, ending):
    path = write_nifti(tmp_path / f"m.{ending}", codes, volume=VOLUME)
    areas = count_label_areas(path)
    assert areas == {"axial:0": {}, "axial:1": {1: 2}, "axial:2": {}, "axial:3": {1: 3, 2: 1}, "axial:4": {}}
    image = open_image(write_nifti(tmp_path / f"i.{ending}", codes), slice="axial:3")
    assert [int(read_mask(path, image, values=values).sum()) for values in (1, 2, (1, 2), 3)] == [3, 1, 4, 0]


def test_thin_volume_s_only_plane_is_counted(tmp_path):
    assert count_label_areas(write_nifti(tmp_path / "m.nii", volume=VOLUME[2:3])) == {"sagittal:0": {1: 2}}


def test_scaled_and_broken_values_are_no_labels_but_whole_ones(tmp_path):
    volume = VOLUME.astype(np.float32)
    volume[3, 5, 1], volume[3, 5, 2] = 1.5, np.nan
    assert count_label_areas(write_nifti(tmp_path / "m.nii", volume=volume))["axial:1"] == {1: 2}


AREAS = {"0": {}, "1": {1: 5, 2: 1}, "2": {1: 5}, "3": {2: 9}}


@pytest.mark.parametrize(
    ("values", "largest", "every"),
    [(1, ["1"], ["1", "2"]), (2, ["3"], ["1", "3"]), ((1, 2), ["3"], ["1", "2", "3"]), (4, [], [])],
)
def test_slices_of_a_label(values, largest, every):
    assert choose_label_slices(AREAS, values, "largest") == largest
    assert choose_label_slices(AREAS, values, "all") == every


# COCO


SQUARE = [1.0, 0.0, 3.0, 0.0, 3.0, 2.0, 1.0, 2.0]


def annotations(path, *parts, name="scan.png", **more):
    """Write an annotation file whose one picture has ``parts`` of category 5."""
    entries = [{"id": index, "image_id": 3, "category_id": 5, "segmentation": part} for index, part in enumerate(parts)]
    content = {"images": [{"id": 3, "file_name": name}], "annotations": entries, "categories": [{"id": 5, "name": "a"}]}
    path.write_text(json.dumps(content | more))
    return path


def scan(tmp_path, name="scan.png"):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    return open_image(write_png(np.zeros_like(LABELS), tmp_path / name))


def test_segmentations_of_every_kind_are_joined(tmp_path):
    square, corner, edge = np.zeros((3, *LABELS.shape), bool)
    square[:2, 1:3], corner[2, 0], edge[:, 3] = True, True, True
    plain = {"size": [3, 4], "counts": [2, 1, 9]}
    path = annotations(tmp_path / "a.json", [SQUARE], plain, encode(edge), None, [], [[0, 0, 1, 1]])
    assert np.array_equal(read_mask(path, scan(tmp_path), values=5), square | corner | edge)
    assert not read_mask(path, scan(tmp_path), values=4).any()


def test_picture_is_found_by_the_longest_file_name_that_fits(tmp_path):
    content = {
        "images": [{"id": 1, "file_name": "scan.png"}, {"id": 2, "file_name": "b\\scan.png"}],
        "annotations": [{"image_id": 2, "category_id": 5, "segmentation": [SQUARE]}],
        "categories": [],
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    found = [read_mask(path, scan(tmp_path, name), values=5).any() for name in ("scan.png", "b/scan.png")]
    assert found == [False, True]
    with pytest.raises(InputError, match="no entry for this picture"):
        read_mask(path, scan(tmp_path, "other.png"), values=5)
    with pytest.raises(InputError, match="no entry for this picture"):
        read_mask(path, PICTURE, values=5)


def test_changed_annotation_file_is_read_anew(tmp_path):
    image = scan(tmp_path)
    assert read_mask(annotations(tmp_path / "a.json", [SQUARE]), image, values=5).any()
    assert not read_mask(annotations(tmp_path / "a.json"), image, values=5).any()


@pytest.mark.parametrize(
    "part",
    [
        [[0, 0, 1, 1, 2]],
        [[0, 0, 1e9, 0, 1e9, 1e9]],
        [[0, 0, float("nan"), 0, 2, 2]],
        [[-4, 0, 8, 6] * 400_000],
        [["a"] * 6],
        [[[0, 0], [1, 1], [2, 2]]],
        ["0,0,1,1"],
        [3],
        "PPYo1",
        {"counts": [12]},
        {"size": [4, 3], "counts": [12]},
        {"size": [3, 4], "counts": [11]},
        {"size": [3, 4], "counts": [-1, 13]},
        {"size": [3, 4], "counts": [1.5, 10.5]},
        {"size": [3, 4], "counts": [True, 11]},
        {"size": [3, 4], "counts": "rubbish"},
        {"size": [3, 4], "counts": 12},
        {"size": 12, "counts": "<"},
    ],
    ids=lambda part: str(part)[:30],
)
def test_unsound_segmentation_is_refused_in_one_line(tmp_path, part):
    path = annotations(tmp_path / "a.json", [SQUARE], part)
    with pytest.raises(InputError) as caught:
        read_mask(path, scan(tmp_path), values=5)
    assert str(caught.value).isprintable()
    assert "a.json" in str(caught.value) or "run lengths" in str(caught.value)


NO_COCO = [b"", b"{", b"[]", b"3", b'{"images": []}', b"[" * 99_999, b"\xff"]
WRONG = b'{"images": 3, "annotations": [], "categories": []}'


@pytest.mark.parametrize("content", [*NO_COCO, WRONG], ids=lambda content: str(content[:20]))
def test_file_that_is_no_coco_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json"):
        read_mask(tmp_path / "a.json", scan(tmp_path), values=5)
