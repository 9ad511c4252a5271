"""The picture of a record is found below the folders that the caller names, or by its hash; nothing else is opened."""

import base64
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.image_fixtures import write_nifti

from ibisagent.agent.record_images import find_recorded_image, open_recorded_image
from ibisagent.agent.stores import ImageStore, reference_of
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image

OPENED: list[str] | None = None


def hear(event, arguments):
    if OPENED is not None and event in ("open", "os.listdir", "os.scandir"):
        OPENED.append(os.fsdecode(arguments[0]) if not isinstance(arguments[0], int) else "descriptor")


sys.addaudithook(hear)


@pytest.fixture
def opened():
    """The paths of files and folders that this process opens during a test."""
    global OPENED
    OPENED = []
    yield OPENED
    OPENED = None


@pytest.fixture
def place(tmp_path, pixels):
    """A record's folder with traps in it, beside a picture that is nobody's business."""
    folder = tmp_path / "runs/one"
    (folder / "inner").mkdir(parents=True)
    (tmp_path / "private").mkdir()
    Image.fromarray(pixels).save(tmp_path / "private/secret.png")
    (folder / "link.png").symlink_to(tmp_path / "private/secret.png")
    (folder / "up").symlink_to(tmp_path / "private")
    (folder / "circle.png").symlink_to(folder / "circle.png")
    (folder / "header.nhdr").write_text("NRRD0004\ndata file: secret.raw\n")
    (folder / "secret.raw").symlink_to(tmp_path / "private/secret.png")
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(tmp_path / "private/pipe.png")
    return folder


def record_of(uri, pixels):
    """The reference of a record that holds the right hash, so that its path alone decides."""
    return reference_of(open_image(pixels)) | {"uri": uri}


OUTSIDE = {
    "relative": "../../private/secret.png",
    "inner": "inner/../../../private/secret.png",
    "absolute": "{root}/private/secret.png",
    "link": "link.png",
    "folder link": "up/secret.png",
    "folder": "up",
    "parent": "..",
    "data file of a header": "header.nhdr",
    "file address": "file://{root}/private/secret.png",
    "encoded file address": "file://{root}/private/%73ecret.png",
    "another machine": "file://elsewhere/secret.png",
    "web": "https://127.0.0.1:9/secret.png",
    "pipe": "../../private/pipe.png",
    "device": "/dev/zero",
    "descriptor": "/dev/fd/0",
    "absent": "/etc/there/is/none.png",
    "circle": "circle.png",
    "null": "a\0b.png",
    "long": "x" * 5000,
    "long and deep": "/".join(["y" * 200] * 40),
    "empty": "",
    "number": 7,
    "table": {"uri": "../../private/secret.png"},
}


@pytest.mark.parametrize("uri", OUTSIDE.values(), ids=OUTSIDE)
def test_what_a_record_names_outside_is_neither_opened_nor_told_of(place, tmp_path, pixels, uri, opened):
    given = record_of(uri.format(root=tmp_path) if isinstance(uri, str) else uri, pixels)
    opened.clear()
    with pytest.raises(InputError, match="in a folder that may be read, expected it in the record's own") as refused:
        open_recorded_image(given, place)
    assert str(tmp_path) not in str(refused.value)
    assert len(str(refused.value)) < 400
    assert [path for path in opened if Path(path).resolve() != place / "header.nhdr" and str(place) != path] == []


def test_a_data_url_is_no_picture_of_a_record(place, pixels, opened):
    text = base64.b64encode((place.parents[1] / "private/secret.png").read_bytes()).decode()
    opened.clear()
    with pytest.raises(InputError, match="in a folder that may be read"):
        open_recorded_image(record_of(f"data:image/png;base64,{text}", pixels), place)
    assert opened == []


def test_a_pipe_in_the_record_s_own_folder_is_not_opened(place, pixels, opened):
    with pytest.raises(InputError, match="got a device or pipe"):
        open_recorded_image(record_of("pipe.png", pixels), place)
    assert not [path for path in opened if "pipe" in path]


@pytest.mark.parametrize("uri", ["../../private/secret.png", "link.png", "up/secret.png", "{root}/private/secret.png"])
def test_a_root_that_the_caller_names_lets_it_be_opened(place, tmp_path, pixels, uri, opened):
    given = record_of(uri.format(root=tmp_path), pixels)
    assert np.array_equal(open_recorded_image(given, place, [tmp_path / "private"]).pixels, pixels)
    assert str(tmp_path / "private/secret.png") in opened  # what the other tests would hear
    with pytest.raises(InputError, match="in a folder that may be read"):
        open_recorded_image(given, place, [tmp_path / "priv"])


def test_a_root_may_be_a_link_itself(place, tmp_path, pixels):
    given = record_of("../../private/secret.png", pixels)
    (tmp_path / "named").symlink_to(tmp_path / "private")
    assert find_recorded_image(given, place, [tmp_path / "named"])["uri"] == str(tmp_path / "private/secret.png")


def test_a_picture_beside_its_record_needs_no_root(place, pixels, monkeypatch):
    Image.fromarray(pixels).save(place / "inner/scan.png")
    monkeypatch.chdir(place)
    for folder in (place, Path(), Path("inner/..")):
        assert open_recorded_image(record_of("inner/scan.png", pixels), folder).shape == pixels.shape


def test_other_pixels_are_refused_by_the_file_s_name(place, pixels):
    Image.fromarray(255 - pixels).save(place / "scan.png")
    with pytest.raises(InputError, match=r"^scan\.png: its pixels differ from those recorded; do this$"):
        open_recorded_image(record_of("scan.png", pixels), place, remedy="do this")


def test_a_picture_is_found_under_its_hash(place, tmp_path, pixels):
    """As an image store keeps one without a file: with the spacing and the padding of its reference."""
    values = pixels.astype(np.float32)
    values[:9] = np.nan
    image = open_image(values)
    reference = ImageStore(tmp_path / "kept").to_reference(values) | {"spacing_mm": [0.5, 0.25]}
    assert (tmp_path / f"kept/{image.sha}.png").is_file()
    found = open_recorded_image(reference, place, [tmp_path / "kept"])
    assert (found.sha, found.spacing, found.uri) == (image.sha, (0.5, 0.25), None)
    assert np.array_equal(found.padding, image.padding)
    assert found.padding[:9].all()


def test_a_kept_picture_stands_in_for_a_slice_that_is_gone(place, tmp_path):
    image = open_image(write_nifti(tmp_path / "volume.nii.gz"), slice="axial:1", window="150,200")
    reference = reference_of(image)
    Image.fromarray(image.pixels).save(place / f"{image.sha}.png")
    found = open_recorded_image(reference, place)
    assert (found.sha, found.spacing) == (image.sha, image.spacing)


@pytest.mark.parametrize("sha", ["../../private/secret", "/private/secret", "secret", 7, None, "a" * 31, "A" * 32])
def test_a_hash_is_no_path(place, pixels, sha, opened):
    given = record_of(None, pixels) | {"sha": sha}
    opened.clear()
    with pytest.raises(InputError, match="a run on an image without a file"):
        open_recorded_image(given, place, [place.parents[1]])
    assert opened == []


def test_a_link_under_the_hash_leads_nowhere_else(place, tmp_path, pixels, opened):
    given = record_of(None, pixels)
    (place / f"{given['sha']}.png").symlink_to(tmp_path / "private/secret.png")
    opened.clear()
    with pytest.raises(InputError, match="a run on an image without a file"):
        open_recorded_image(given, place)
    assert opened == []


def test_the_file_that_the_caller_names_is_taken_wherever_it_lies(place, tmp_path, pixels):
    given = record_of("https://127.0.0.1:9/secret.png", pixels)
    assert open_recorded_image(given, place, image=place / "link.png").shape == pixels.shape
    Image.fromarray(255 - pixels).save(tmp_path / "other.png")
    with pytest.raises(InputError, match=r"other\.png: its pixels differ"):
        open_recorded_image(given, place, image=tmp_path / "other.png")
