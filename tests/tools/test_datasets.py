"""Data sets of every kind give the same rows; what is wrong with one row shows when that row is used."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.image_fixtures import GREY, RAS, write_nifti, write_png

from ibisagent.tools.datasets import KINDS, Case, read_dataset, write_manifest
from ibisagent.tools.datasets.manifest import COLUMNS
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import encode

MASK = GREY > 100
BLANK = np.zeros_like(GREY)


def pictures(folder, **arrays):
    """Write PNG files, named with spaces for two underscores and dots for none."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        write_png(np.asarray(array, np.uint8) * (255 if array.dtype == bool else 1), folder / f"{name}.png")
    return folder


def native(folder, *lines, encoding="utf-8", end="\n"):
    pictures(folder / "images", a=GREY, b=GREY[::-1])
    pictures(folder / "masks", a=MASK)
    (folder / "manifest.csv").write_bytes((end.join(lines) + end).encode(encoding))
    return folder


def summarize(case):
    """Summarize a row by what it is used for, with the folder left out."""
    return case.id, case.image.name, case.mask and case.mask.name, case.label, case.target, case.slice, case.present


def truths(cases):
    """The mask's pixels of each case, or the line that says why there are none."""
    return {case.id: outcome(case) for case in cases}


def outcome(case):
    try:
        mask = case.read_truth(case.open())
    except InputError as error:
        return str(error)
    assert (mask.dtype, mask.flags.writeable) == (np.bool_, False)
    return int(mask.sum())


# Native


def test_every_column_is_read(tmp_path):
    folder = native(
        tmp_path,
        ",".join(COLUMNS),
        "a,images/a.png,masks/a.png,255,left kidney,Where is it?,CT,clinic,test,0,10.5,1",
        'b,images/b.png,,,cyst,,,,,,"40,400",0',
    )
    first = Case(
        *("a", folder / "images/a.png", folder / "masks/a.png", 255, "left kidney", "Where is it?", "CT"),
        *("clinic", "test", "0", "10.5", True, None),
    )
    second = Case("b", folder / "images/b.png", None, None, "cyst", window="40,400", present=False)
    assert read_dataset(folder) == [first, second]
    assert second.request == "Segment the cyst."


def test_truth_is_the_mask_on_the_displayed_picture(tmp_path):
    (case,) = read_dataset(native(tmp_path, "id,image,mask,target", "a,images/a.png,masks/a.png,cyst"))
    image = case.open()
    assert np.array_equal(image.pixels, GREY)
    assert np.array_equal(case.read_truth(image), MASK)
    with pytest.raises(InputError, match=r"got a mask of \(5, 7\), expected the image's \(7, 5\)"):
        case.read_truth(open_image(GREY.T))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_spreadsheets_ways_are_understood(tmp_path, encoding, end):
    lines = [" ID ,Target_Name,notes,Present,LABEL", 'a,"cyst, large",x y,1.0,255.0', "", ",,,,", "b , é ,,FALSE"]
    cases = read_dataset(native(tmp_path, *lines, encoding=encoding, end=end))
    assert [summarize(case) for case in cases] == [
        ("a", "a.png", "a.png", 255, "cyst, large", None, True),
        ("b", "b.png", None, None, "é", None, False),
    ]
    assert truths(cases) == {"a": MASK.sum(), "b": 0}


def test_rows_come_sorted_and_by_split(tmp_path):
    folder = native(tmp_path, "id,target,split", "c,x,test", "a,x,train", "b,x,test")
    assert [case.id for case in read_dataset(folder)] == ["a", "b", "c"]
    assert [case.id for case in read_dataset(folder, split="test")] == ["b", "c"]
    with pytest.raises(InputError, match=r"no row of split 'val', expected one of 'test', 'train'"):
        read_dataset(folder, split="val")


FAULTS = {
    "missing image": ("x,images/none.png,masks/a.png,,cyst,1", "images/none.png: got a path with no file"),
    "no image": ("x,,masks/a.png,,cyst,1", "got no image"),
    "missing mask": ("x,images/a.png,masks/none.png,,cyst,1", "masks/none.png: got a path with no file"),
    "no mask": ("x,images/a.png,,,cyst,1", "got no mask"),
    "empty mask": ("x,images/a.png,images/black.png,,cyst,1", "got an empty mask"),
    "other label": ("x,images/a.png,masks/a.png,3,cyst,1", r"got a mask without label 3, expected the cyst"),
    "other shape": ("x,images/a.png,images/turned.png,,cyst,1", "expected the image's"),
    "text": ("x,images/a.png,manifest.csv,,cyst,1", "got no picture"),
    "unknown label": ("x,images/a.png,masks/a.png,one,cyst,1", "got label 'one'"),
    "unknown present": ("x,images/a.png,masks/a.png,,cyst,maybe", "got present='maybe'"),
    "image outside": ("x,../a.png,masks/a.png,,cyst,1", "got path '../a.png', expected one inside"),
    "mask outside": ("x,images/a.png,masks/../../a.png,,cyst,1", "expected one inside"),
    "too many cells": ("x,images/a.png,masks/a.png,,cyst,1,and,more", "got a row of 8 cells"),
    "line break": ('x,"images/a\n.png",masks/a.png,,cyst,1', "got a path with no file"),
    "null": ("x,images/a\0.png,masks/a.png,,cyst,1", "got a path"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_broken_row_is_a_fault_of_its_own(tmp_path, name):
    line, says = FAULTS[name]
    folder = native(tmp_path, "id,image,mask,label,target,present", line, "a,images/a.png,masks/a.png,,cyst,1")
    pictures(folder / "images", black=BLANK, turned=GREY.T)
    sound, broken = read_dataset(folder)
    assert outcome(sound) == MASK.sum()
    with pytest.raises(InputError, match=says) as caught:
        broken.read_truth(broken.open())
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["id;image;target", "a;b;c"], "line 1: got no column id and target, expected commas between id,image,"),
        (["id,image"], "line 1: got no column target"),
        (["id,target,ID"], "line 1: got column id twice"),
        (["target,target_name,id"], "line 1: got column target twice"),
        (["id,target", "a,x", "", "a,y"], "line 4: got id 'a' again, after line 2"),
        (["id,target", ",x"], "line 2: got id ''"),
        (["id,target", "../a,x"], "line 2: got id '../a'"),
        (["id,target", "a:b,x"], "line 2: got id 'a:b'"),
        (["id,target", ".a,x"], "line 2: got id '.a'"),
        (["id,target", "a" * 300 + ",x"], "line 2: got id"),
        (["id,target", "a,x", '"b,y'], "got no valid CSV after line 2"),
        (["id,target", "a," + "x" * 200_000], "got no valid CSV after line 0"),
        (["id,target"], "got no row"),
        ([""], "line 1: got no column id and target"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_broken_manifest_is_refused_naming_the_line(tmp_path, lines, says):
    with pytest.raises(InputError) as caught:
        read_dataset(native(tmp_path, *lines))
    assert says in str(caught.value)
    assert str(caught.value).isprintable()


def test_manifest_in_another_encoding_is_refused(tmp_path):
    with pytest.raises(InputError, match="not UTF-8"):
        read_dataset(native(tmp_path, "id,target", "a,é", encoding="latin-1"))


def test_absolute_paths_lead_anywhere(tmp_path):
    native(tmp_path / "one", "id,target", "a,x")
    folder = native(tmp_path / "two", "id,image,target,present", f"z,{tmp_path}/one/images/b.png,x,0")
    (case,) = read_dataset(folder)
    assert np.array_equal(case.open().pixels, GREY[::-1])


def test_relative_folder_gives_paths_from_here(tmp_path, monkeypatch):
    native(tmp_path / "one", "id,target", "a,x")
    monkeypatch.chdir(tmp_path)
    (case,) = read_dataset("one")
    assert case.image == Path("one/images/a.png")
    assert outcome(case) == MASK.sum()


def test_masks_of_every_file_kind(tmp_path):
    folder = native(
        tmp_path,
        "id,image,mask,label,target,slice",
        "json,images/a.png,masks/m.json,,x,",
        "labels,images/a.png,masks/l.png,2,x,",
        "several,images/a.png,masks/l.png,1+2,x,",
        "volume,images/v.nii,masks/v.nii.gz,,x,coronal:1",
    )
    (folder / "masks/m.json").write_text(json.dumps(encode(MASK)))
    write_png((GREY > 50).astype(np.uint8) + MASK, folder / "masks/l.png")
    write_nifti(folder / "images/v.nii", "LPS")
    write_nifti(folder / "masks/v.nii.gz", "LPS", volume=(RAS > 200).astype(np.uint8))
    assert truths(read_dataset(folder)) == {
        "json": MASK.sum(),
        "labels": MASK.sum(),
        "several": (GREY > 50).sum(),
        "volume": (RAS[:, 1] > 200).sum(),
    }


def test_written_manifest_reads_back(tmp_path):
    folder = native(tmp_path / "data", "id,target", "a,x")
    cases = [
        Case("a b", folder / "images/a.png", folder / "masks/a.png", 255, 'a "cyst", big', "Segment é,\nplease."),
        Case("c", tmp_path / "elsewhere.png", None, (1, 2), "x", slice="axial:3", window="40,400", present=False),
    ]
    assert write_manifest(folder, cases) == folder / "manifest.csv"
    assert read_dataset(folder) == cases
    assert sorted(os.listdir(folder)) == ["images", "manifest.csv", "masks"]
    written = (folder / "manifest.csv").read_text()
    assert written.splitlines()[:2] == [
        ",".join(COLUMNS),
        'a b,images/a.png,masks/a.png,255,"a ""cyst"", big","Segment é,',
    ]
    assert f'c,{tmp_path}/elsewhere.png,,1+2,x,Segment the x.,,,,axial:3,"40,400",0' in written


LETTERS = st.characters(codec="utf-8", exclude_characters="\0")
TEXT = st.text(LETTERS, min_size=1, max_size=9).map(str.strip).filter(bool)


@settings(max_examples=60, deadline=None)
@given(TEXT, TEXT, TEXT, st.booleans(), st.none() | st.integers(0, 999) | st.tuples(st.just(1), st.integers(2, 9)))
def test_any_text_survives_the_manifest(tmp_path_factory, target, request, window, present, label):
    folder = tmp_path_factory.mktemp("data")
    image = folder / "images/a.png"
    case = Case("a", image, image, label, target, request, target, window, request, window, target, present)
    write_manifest(folder, [case])
    assert read_dataset(folder) == [case]


@pytest.mark.parametrize(
    "cases",
    [
        [Case("a", Path("a.png"), None, None, "x")] * 2,
        [Case("a/b", Path("a.png"), None, None, "x")],
        [Case("a", Path("a.png"), None, None, "x", fault="got nothing")],
        [Case("a", Path("\udcff.png"), None, None, "x")],
    ],
    ids=["twice", "unsafe", "faulty", "not Unicode"],
)
def test_manifest_that_could_not_be_read_is_not_written(tmp_path, cases):
    (tmp_path / "manifest.csv").write_text("old")
    with pytest.raises(InputError):
        write_manifest(tmp_path, cases)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


# BiomedParse


def test_biomedparse_names_are_taken_apart(tmp_path):
    pictures(tmp_path / "test", **{"amos_4_CT_abdomen": GREY, "amos_4_CT_abdomen_2_CT_abdomen": GREY, "unused": GREY})
    masks = {"amos_4_CT_abdomen_left+kidney": MASK, "amos_4_CT_abdomen_2_CT_abdomen_liver": MASK}
    pictures(tmp_path / "test_mask", **masks, **{"amos_4_CT_abdomen_in_flow": MASK, "other_MRI-T1_head_tumor": MASK})
    pictures(tmp_path / "train", b_X_y=GREY)
    pictures(tmp_path / "train_mask", b_X_y_z=BLANK)
    cases = read_dataset(tmp_path)
    assert [(case.target, case.image.stem, case.modality, case.split) for case in cases] == [
        ("liver", "amos_4_CT_abdomen_2_CT_abdomen", "CT", "test"),
        ("in_flow", "amos_4_CT_abdomen", "CT", "test"),
        ("left kidney", "amos_4_CT_abdomen", "CT", "test"),
        ("z", "b_X_y", "X", "train"),
        ("tumor", "other_MRI-T1_head", "MRI-T1", "test"),
    ]
    assert {case.source for case in cases} == {tmp_path.name}
    assert cases[2].request == "Segment the left kidney."
    assert [outcome(case) for case in cases[:3]] == [MASK.sum()] * 3
    assert "got an empty mask" in outcome(cases[3])
    assert "got mask 'other_MRI-T1_head_tumor.png' of no picture" in outcome(cases[4])


def test_biomedparse_folders_one_level_down_are_read(tmp_path):
    for name in ("ACDC", "amos"):
        pictures(tmp_path / name / "train", a_MRI_heart=GREY)
        pictures(tmp_path / name / "train_mask", a_MRI_heart_ventricle=MASK)
    pictures(tmp_path / "BTCV" / "images", a_CT_abdomen=GREY)
    pictures(tmp_path / "BTCV" / "masks", a_CT_abdomen_liver=MASK)
    cases = read_dataset(tmp_path)
    assert [(case.id, case.source, case.split) for case in cases] == [
        ("a_CT_abdomen_liver", "BTCV", ""),
        ("a_MRI_heart_ventricle", "ACDC", "train"),
        ("a_MRI_heart_ventricle-2", "amos", "train"),
    ]
    assert set(truths(cases).values()) == {MASK.sum()}


# nnU-Net


LABELS = np.zeros((4, 6, 5), np.uint8)
LABELS[1:3, 2, 1], LABELS[1:4, 2, 3], LABELS[0, 0, 3] = 1, 1, 2


def nnunet(folder, ending=".nii.gz", write=write_nifti, channels=1, **description):
    for kind in ("imagesTr", "labelsTr", "imagesTs"):
        (folder / kind).mkdir()
    described = {"channel_names": {"0": "CT", "1": "PET"}, "labels": {"background": 0, "liver": 1, "cyst_wall": 2}}
    described |= {"numTraining": 2, "file_ending": ending} | description
    (folder / "dataset.json").write_text(json.dumps(described))
    for case in ("a", "b"):
        for channel in range(channels):
            write(folder / f"imagesTr/{case}_{channel:04d}{ending}")
    write(folder / f"imagesTs/t_0000{ending}")
    return folder


def volumes(folder, **options):
    nnunet(folder, **options)
    write_nifti(folder / "labelsTr/a.nii.gz", volume=LABELS)
    write_nifti(folder / "labelsTr/b.nii.gz", volume=(LABELS == 1).astype(np.uint8))
    return folder


def test_volume_s_label_is_a_row_in_its_largest_slice(tmp_path):
    cases = read_dataset(volumes(tmp_path))
    assert [summarize(case) for case in cases] == [
        ("a_cyst_wall", "a_0000.nii.gz", "a.nii.gz", 2, "cyst wall", "axial:3", True),
        ("a_liver", "a_0000.nii.gz", "a.nii.gz", 1, "liver", "axial:3", True),
        ("b_liver", "b_0000.nii.gz", "b.nii.gz", 1, "liver", "axial:3", True),
        ("t_cyst_wall", "t_0000.nii.gz", None, 2, "cyst wall", None, True),
        ("t_liver", "t_0000.nii.gz", None, 1, "liver", None, True),
    ]
    assert [(case.modality, case.source, case.split) for case in cases[::4]] == [
        ("CT", tmp_path.name, "train"),
        ("CT", tmp_path.name, "test"),
    ]
    assert [outcome(case) for case in cases[:3]] == [1, 3, 3]
    assert cases[4].open().slice == "axial:2"
    assert "got no mask" in outcome(cases[4])


def test_every_slice_that_shows_the_label_is_a_row(tmp_path):
    cases = read_dataset(volumes(tmp_path), slices="all", split="train")
    assert truths(cases) == {
        "a_cyst_wall_axial-0003": 1,
        "a_liver_axial-0001": 2,
        "a_liver_axial-0003": 3,
        "b_liver_axial-0001": 2,
        "b_liver_axial-0003": 3,
    }


def test_regions_join_labels_and_channels_are_chosen(tmp_path):
    labels = {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}
    volumes(tmp_path, channels=2, labels=labels, regions_class_order=[1, 2])
    cases = read_dataset(tmp_path, channel=1, split="train")
    assert [summarize(case) for case in cases] == [
        ("a_core", "a_0001.nii.gz", "a.nii.gz", 2, "core", "axial:3", True),
        ("a_whole", "a_0001.nii.gz", "a.nii.gz", (1, 2), "whole", "axial:3", True),
        ("b_whole", "b_0001.nii.gz", "b.nii.gz", (1, 2), "whole", "axial:3", True),
    ]
    assert [(case.modality, outcome(case)) for case in cases] == [("PET", 1), ("PET", 4), ("PET", 3)]


def test_decathlon_s_names_and_numbered_labels_are_read(tmp_path):
    volumes(tmp_path, labels={"0": "background", "1": "liver"}, channel_names=None, modality={"0": "MRI"})
    description = json.loads((tmp_path / "dataset.json").read_text())
    del description["file_ending"], description["channel_names"]
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    for path in [*tmp_path.glob("*/*_0000.nii.gz")]:
        path.rename(path.with_name(path.name.replace("_0000", "")))
    (tmp_path / "imagesTr/._a.nii.gz").write_text("a Macintosh's")
    cases = read_dataset(tmp_path)
    assert [summarize(case)[:3] for case in cases] == [
        ("a_liver", "a.nii.gz", "a.nii.gz"),
        ("b_liver", "b.nii.gz", "b.nii.gz"),
        ("t_liver", "t.nii.gz", None),
    ]
    assert [(case.modality, case.label) for case in cases] == [("MRI", 1)] * 3


def test_flat_pictures_have_no_slice(tmp_path):
    nnunet(tmp_path, ".png", lambda path: write_png(GREY, path))
    write_png(MASK.astype(np.uint8) * 2, tmp_path / "labelsTr/a.png")
    write_png(BLANK, tmp_path / "labelsTr/b.png")
    cases = read_dataset(tmp_path, split="train", slices="all")
    assert [summarize(case) for case in cases] == [("a_cyst_wall", "a_0000.png", "a.png", 2, "cyst wall", None, True)]
    assert outcome(cases[0]) == MASK.sum()


def test_tiff_pages_are_slices(tmp_path):
    def stack(path, *arrays):
        first, *rest = (Image.fromarray(array) for array in arrays or [GREY] * 3)
        first.save(path, save_all=True, append_images=rest)

    nnunet(tmp_path, ".tif", stack)
    stack(tmp_path / "labelsTr/a.tif", BLANK, MASK.astype(np.uint8), BLANK)
    stack(tmp_path / "labelsTr/b.tif", BLANK, BLANK, (GREY > 200).astype(np.uint8))
    cases = read_dataset(tmp_path, split="train")
    assert [(case.slice, outcome(case)) for case in cases] == [("1", MASK.sum()), ("2", (GREY > 200).sum())]


def test_broken_files_are_faults_of_their_own_rows(tmp_path):
    volumes(tmp_path)
    (tmp_path / "labelsTr/a.nii.gz").write_bytes(b"no volume")
    (tmp_path / "labelsTr/b.nii.gz").unlink()
    write_nifti(tmp_path / "labelsTr/c.nii.gz", volume=LABELS)
    outcomes = truths(read_dataset(tmp_path, split="train"))
    assert {id: text.partition(", expected")[0] for id, text in outcomes.items()} == {
        **dict.fromkeys(["a_cyst_wall", "a_liver"], "a.nii.gz: got data that cannot be decoded (ImageFileError)"),
        **dict.fromkeys(["b_cyst_wall", "b_liver"], f"{tmp_path}/labelsTr/b.nii.gz: got a path with no file"),
        **dict.fromkeys(["c_cyst_wall", "c_liver"], f"{tmp_path}/imagesTr/c_0000.nii.gz: got a path with no file"),
    }


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"labels": 3}', '{"labels": {"a": "b", "c": 1}}', '{"labels": {"a": null}}', "[" * 99_999],
)
def test_unsound_description_is_refused(tmp_path, content):
    (volumes(tmp_path) / "dataset.json").write_text(content)
    with pytest.raises(InputError, match=r"dataset\.json"):
        read_dataset(tmp_path)


# COCO


SQUARE = [1, 0, 3, 0, 3, 2, 1, 2]


def coco(path, names=("a.png", "b.png"), **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {"size": [5, 7], "counts": [33, 2]}
    parts = [(0, 7, [SQUARE]), (0, 7, plain), (0, 8, encode(MASK)), (1, 7, None), (1, 9, [SQUARE]), (5, 7, [SQUARE])]
    content = {
        "images": [{"id": id, "file_name": name, "height": 5, "width": 7} for id, name in enumerate(names)],
        "categories": [{"id": 7, "name": "polyp"}, {"id": 8, "name": "lymph_node"}, {"id": 10, "name": "unused"}],
        "annotations": [
            {"id": index, "image_id": image, "category_id": category, "segmentation": part, "iscrowd": part == plain}
            for index, (image, category, part) in enumerate(parts)
        ],
    }
    path.write_text(json.dumps(content | more))


EXPECTED = {"a_lymph_node": MASK.sum(), "a_polyp": 6, "b_category-9": 4}


@pytest.mark.parametrize(
    ("annotations", "images", "split"),
    [
        ("annotations/instances_val2017.json", "val2017", "val"),
        ("annotations/instances_train2017.json", "images/train2017", "train"),
        ("annotations/my.json", "images", ""),
        ("coco.json", "images", ""),
        ("test.json", ".", "test"),
        ("train/_annotations.coco.json", "train", "train"),
    ],
)
def test_instances_of_a_category_are_one_target(tmp_path, annotations, images, split):
    coco(tmp_path / annotations)
    pictures(tmp_path / images, a=GREY, b=GREY)
    cases = read_dataset(tmp_path)
    assert [summarize(case)[:5] for case in cases] == [
        ("a_lymph_node", "a.png", Path(annotations).name, 8, "lymph node"),
        ("a_polyp", "a.png", Path(annotations).name, 7, "polyp"),
        ("b_category-9", "b.png", Path(annotations).name, 9, "category 9"),
        ("b_polyp", "b.png", Path(annotations).name, 7, "polyp"),
    ]
    assert {case.split for case in cases} == {split}
    outcomes = truths(cases)
    assert "without label 7, expected the polyp" in outcomes.pop("b_polyp")
    assert outcomes == EXPECTED


def test_captions_and_key_points_are_no_further_targets(tmp_path):
    for name in ("captions", "instances", "person_keypoints"):
        coco(tmp_path / f"annotations/{name}_train.json")
    assert len(read_dataset(tmp_path)) == 4


def test_picture_outside_the_folder_is_a_fault(tmp_path):
    coco(tmp_path / "annotations/a.json", names=("../../a.png", "b.png"))
    pictures(tmp_path / "images", b=GREY)
    cases = read_dataset(tmp_path)
    assert [case.fault is None for case in cases] == [False, False, True, True]
    assert "expected one inside" in outcome(cases[0])


# CVPR


def npz(path, **arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


FRAMES = np.stack([GREY, GREY[::-1], GREY])
GTS = np.stack([MASK * 1, (GREY > 30) * 1, (GREY > 200) * 6])


def test_label_of_an_npz_is_a_row(tmp_path):
    npz(tmp_path / "train" / "CT_Abd_001.npz", imgs=FRAMES, gts=GTS, spacing=(1, 1, 3))
    npz(tmp_path / "2D" / "X-Ray_lung.npz", imgs=np.dstack([GREY] * 3), gts=GTS[2])
    npz(tmp_path / "2D" / "plain.npz", imgs=np.dstack([GREY] * 3), gts=GTS[2] * 0)
    cases = read_dataset(tmp_path)
    assert [(*summarize(case)[:6], case.modality, case.split) for case in cases] == [
        ("CT_Abd_001_1", "CT_Abd_001.npz", "CT_Abd_001.npz", 1, "target 1", "1", "CT", "train"),
        ("CT_Abd_001_6", "CT_Abd_001.npz", "CT_Abd_001.npz", 6, "target 6", "2", "CT", "train"),
        ("X-Ray_lung_6", "X-Ray_lung.npz", "X-Ray_lung.npz", 6, "target 6", None, "X-Ray", ""),
    ]
    assert truths(cases) == {"CT_Abd_001_1": GTS[1].sum(), "CT_Abd_001_6": (GTS[2] > 0).sum()} | {
        "X-Ray_lung_6": (GTS[2] > 0).sum()
    }
    assert [case.slice for case in read_dataset(tmp_path, slices="all", split="train")] == ["0", "1", "2"]


def test_prompts_name_the_targets_and_labels_may_lie_apart(tmp_path):
    said = np.array({"6": "Visualization of the cyst", "9": "Visualization of air", "instance_label": 0}, dtype=object)
    npz(tmp_path / "val" / "MR_a.npz", imgs=FRAMES, text_prompts=said)
    npz(tmp_path / "val" / "MR_b.npz", imgs=FRAMES, text_prompts=said)
    npz(tmp_path / "val_gt" / "MR_a.npz", gts=GTS)
    cases = read_dataset(tmp_path)
    assert [(case.id, case.target, case.request, case.label, case.slice) for case in cases] == [
        ("MR_a_6", "Visualization of the cyst", "Visualization of the cyst", 6, "2"),
        ("MR_b_6", "Visualization of the cyst", "Visualization of the cyst", 6, None),
        ("MR_b_9", "Visualization of air", "Visualization of air", 9, None),
    ]
    assert outcome(cases[0]) == (GTS[2] > 0).sum()
    assert "got no mask" in outcome(cases[1])


def test_labels_of_instances_are_one_target(tmp_path):
    said = np.array({"1": "All cells", "instance_label": 1}, dtype=object)
    cells = np.stack([GTS[0], GTS[0] * 0, GTS[0] + GTS[2]])
    npz(tmp_path / "Microscopy_a.npz", imgs=FRAMES, gts=cells, text_prompts=said)
    (case,) = read_dataset(tmp_path)
    assert summarize(case) == ("Microscopy_a_instances", *["Microscopy_a.npz"] * 2, None, "All cells", "0", True)
    assert outcome(case) == MASK.sum()


def test_broken_archive_is_one_faulty_row(tmp_path):
    npz(tmp_path / "a.npz", imgs=FRAMES, gts=GTS)
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    npz(tmp_path / "c.npz", imgs=FRAMES, gts=GTS / 2)
    npz(tmp_path / "d.npz", other=GTS)
    outcomes = truths(read_dataset(tmp_path))
    assert {id: str(text).partition(",")[0] for id, text in outcomes.items()} == {
        "a_1": str(GTS[1].sum()),
        "a_6": str((GTS[2] > 0).sum()),
        "b_unknown": "b_unknown: b.npz: got data that cannot be decoded (BadZipFile)",
        "c_unknown": "c_unknown: c.npz: got gts of float64 (3",
        "d_1": "d.npz: got no array 'imgs'",
    }


# Every kind


MAKERS = {
    "native": lambda folder: native(folder, "id,target", "a,cyst"),
    "biomedparse": lambda folder: [
        pictures(folder / "test", a_CT_b=GREY),
        pictures(folder / "test_mask", a_CT_b_cyst=MASK),
    ],
    "nnunet": volumes,
    "coco": lambda folder: [coco(folder / "annotations/a.json"), pictures(folder / "images", a=GREY, b=GREY)],
    "cvpr": lambda folder: npz(folder / "a.npz", imgs=FRAMES, gts=GTS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kind_is_recognised_and_becomes_a_native_one(tmp_path, kind):
    source, made = tmp_path / "source", tmp_path / "made"
    source.mkdir(), made.mkdir()
    MAKERS[kind](source)
    cases = read_dataset(source)
    assert cases == read_dataset(source, kind=kind)
    write_manifest(made, cases)
    again = read_dataset(made)
    assert again == cases
    assert truths(again) == truths(cases)


def test_unknown_folder_lists_the_kinds_and_what_they_hold(tmp_path):
    with pytest.raises(InputError) as caught:
        read_dataset(tmp_path)
    assert all(f"{files} ({kind})" in str(caught.value) for kind, files in KINDS.items())


@pytest.mark.parametrize("kind", [*KINDS, "dicom"])
def test_folder_without_such_files_is_refused(tmp_path, kind):
    for folder in (tmp_path, tmp_path / "none", Path(__file__), "a\0b"):
        with pytest.raises(InputError, match="got"):
            read_dataset(folder, kind=kind)


def test_wrong_choice_of_slices_is_refused(tmp_path):
    with pytest.raises(InputError, match="'largest' or 'all'"):
        read_dataset(volumes(tmp_path), slices="middle")


def test_foreign_names_become_safe_and_unique_ids(tmp_path):
    names = ["a b_CT_c", "a-b_CT_c", "A-B_CT_c", "é_CT_c", f"{'x' * 200}_CT_c"]
    pictures(tmp_path / "test", **dict.fromkeys(names, GREY))
    pictures(tmp_path / "test_mask", **dict.fromkeys([f"{name}_cyst" for name in names], MASK))
    ids = [case.id for case in read_dataset(tmp_path)]
    assert ids[:3] == ["A-B_CT_c_cyst", "a-b_CT_c_cyst-2", "a-b_CT_c_cyst-3"]
    assert ids[4] == "é_CT_c_cyst"
    assert (len(ids[3]), ids[3][:100]) == (150, "x" * 100)
