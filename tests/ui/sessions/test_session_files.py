"""What a client may have opened: files under the roots, not through links, and its own uploads; none too large."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from support.dicom_series_fixtures import write_series

from ibisagent.tools.allowed_paths import require_roots
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import encode
from ibisagent.ui.sessions.files import (
    Upload,
    find_image,
    open_image_file,
    read_given_mask,
    resolve_allowed,
)
from ibisagent.ui.sessions.limits import Limits

GIB = 2**30


@pytest.fixture
def root(tmp_path, pixels):
    folder = tmp_path / "root"
    (folder / "inner").mkdir(parents=True)
    Image.fromarray(pixels).save(folder / "scan.png")
    Image.fromarray(pixels).save(tmp_path / "secret.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "here.png").symlink_to(folder / "scan.png")
    (folder / "up").symlink_to(tmp_path)
    (folder / "circle").symlink_to(folder / "circle")
    with (folder / "huge.png").open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(5 * GIB)
    return folder.resolve()


def url_of(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def open_allowed(given, roots, limits):
    return open_image_file(find_image(given, roots, limits), limits)


OUTSIDE = {
    "absolute": "{root}/../secret.png",
    "relative": "../secret.png",
    "deep": "inner/../../secret.png",
    "link": "link.png",
    "folder link": "up/secret.png",
    "uri": "file://{root}/../secret.png",
    "system": "/etc/passwd",
    "absent": "/etc/there/is/none.png",
    "sibling": "{root}-2/scan.png",
    "folder": "up",
    "parent": "..",
}


@pytest.mark.parametrize("given", OUTSIDE.values(), ids=OUTSIDE)
def test_what_lies_outside_is_refused_in_the_same_words(root, given):
    with pytest.raises(InputError, match="outside the folders that may be read"):
        resolve_allowed(given.format(root=root), [root], GIB)


@pytest.mark.parametrize("given", ["circle", "a\0b", "x" * 5000, "http://host/scan.png", "none.png", "", "inner/.."])
def test_what_cannot_be_opened_is_an_input_error(root, given):
    with pytest.raises(InputError):
        open_allowed(given, [root], Limits())


@pytest.mark.parametrize(
    "given", ["scan.png", "here.png", "inner/../scan.png", "{root}/scan.png", "file://{root}/scan.png"]
)
def test_what_lies_inside_is_opened(root, pixels, given):
    image = open_allowed(given.format(root=root), [root], Limits())
    assert np.array_equal(image.pixels, pixels)


def test_the_second_root_is_looked_in_as_well(root, tmp_path, pixels):
    (tmp_path / "other").mkdir()
    Image.fromarray(pixels.T.copy()).save(tmp_path / "other/turned.png")
    roots = require_roots([root, tmp_path / "other"])
    assert open_allowed("turned.png", roots, Limits()).shape == pixels.T.shape


def test_a_root_that_is_no_folder_is_refused(root):
    with pytest.raises(InputError, match="got no folder"):
        require_roots([root / "scan.png"])


def test_without_roots_only_data_urls_are_opened(pixels):
    assert np.array_equal(open_allowed(url_of(pixels), [], Limits()).pixels, pixels)
    with pytest.raises(InputError, match="no files are read here"):
        open_allowed("scan.png", [], Limits())


def test_a_large_file_is_refused_before_it_is_read(root):
    with pytest.raises(InputError, match="5,120 MiB"):
        open_allowed("huge.png", [root], Limits())


def test_a_folder_is_weighed_as_a_whole_and_its_links_are_followed(root, pixels):
    series = root / "inner"
    for name in ("a.dcm", "b.dcm"):
        (series / name).write_bytes(b"x" * 1000)
    assert resolve_allowed("inner", [root], 2000) == series
    with pytest.raises(InputError, match="at most"):
        resolve_allowed("inner", [root], 1999)
    (series / "c.dcm").symlink_to("/etc/hostname")
    with pytest.raises(InputError, match="outside the folders"):
        resolve_allowed("inner", [root], GIB)


@pytest.mark.parametrize(
    "header", ["NRRD0004\ntype: uint8\ndata file: voxels.raw\n\n", "ElementDataFile = voxels.raw\n"]
)
def test_a_header_s_data_file_must_not_be_a_link_out(root, header):
    (root / "volume.nhdr").write_text(header)
    (root / "voxels.raw").symlink_to("/etc/hostname")
    with pytest.raises(InputError, match="outside the folders"):
        resolve_allowed("volume.nhdr", [root], GIB)


def test_other_neighbours_of_a_header_do_not_matter(root):
    (root / "volume.nrrd").write_bytes(b"NRRD0004\ntype: uint8\nencoding: raw\n\nlink.png huge.png")
    assert resolve_allowed("volume.nrrd", [root], GIB) == root / "volume.nrrd"


def test_a_header_s_data_file_is_weighed(root):
    (root / "volume.nhdr").write_text("NRRD0004\ntype: uint8\ndata file: voxels.raw\n\n")
    with (root / "voxels.raw").open("wb") as file:
        file.truncate(5 * GIB)
    with pytest.raises(InputError, match="MiB"):
        resolve_allowed("volume.nhdr", [root], GIB)


def test_a_data_url_and_a_picture_are_bounded(pixels):
    with pytest.raises(InputError, match="MiB"):
        open_allowed(url_of(pixels), [], Limits(file_bytes=1000))
    with pytest.raises(InputError, match="pixels"):
        open_allowed(url_of(pixels), [], Limits(pixels=pixels.size - 1))


def test_an_upload_is_opened_by_its_content_and_leaves_nothing(pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "arrived", "PNG")
    for upload in (Upload("DOE.png", (tmp_path / "arrived").read_bytes()), Upload("../DOE", tmp_path / "arrived")):
        file = find_image([upload], [], Limits())
        image = open_image_file(file, Limits())
        assert np.array_equal(image.pixels, pixels)
        assert image.uri is None
        assert file.upload_folder.stat().st_mode & 0o077 == 0
        assert "DOE" not in str(file.place)
        file.delete_upload()
        assert not file.upload_folder.exists()
    assert not (tmp_path / "arrived").exists()


def test_several_uploads_are_a_series(tmp_path):
    slices = [path.read_bytes() for path in write_series(tmp_path)]
    file = find_image([Upload(f"{number}.1", content) for number, content in enumerate(slices)], [], Limits())
    first = open_image_file(file, Limits(), slice="axial:0")
    second = open_image_file(file, Limits(), slice="axial:1")
    file.delete_upload()
    assert first.sha != second.sha
    assert open_image(tmp_path, slice="axial:1").sha == second.sha


@pytest.mark.parametrize(
    ("uploads", "words"),
    [
        ([], "no file"),
        ([Upload("DOE.png", b"x" * 3000)], "DOE.png: got 1 MiB"),
        ([Upload("DOE.png", b"<script>")], "DOE.png: got an unknown kind of file"),
        ([Upload("DOE.nii.gz", b"no gzip")], "DOE.nii.gz: "),
        ([Upload("DOE.dcm", b"")], "DOE.dcm: got an empty file"),
    ],
)
def test_a_wrong_upload_is_told_by_its_name_and_without_a_path(uploads, words):
    limits = Limits(file_bytes=2000)
    with pytest.raises(InputError) as refusal:
        open_image_file(find_image(uploads, [], limits), limits)
    assert words in str(refusal.value)
    assert "/" not in str(refusal.value).replace("NIfTI/NRRD", "")


def test_a_mask_is_read_from_an_upload_and_refused_in_the_name_of_the_argument(pixels, truth):
    image = open_image(pixels)
    buffer = io.BytesIO()
    Image.fromarray(truth).save(buffer, "PNG")
    given = (
        Upload("DOE.png", buffer.getvalue()),
        Upload("DOE.json", json.dumps(encode(truth)).encode()),
        encode(truth),
    )
    for mask in given:
        assert np.array_equal(read_given_mask(mask, image, [], Limits()), truth)
    with pytest.raises(InputError, match=r"^mask: got"):
        read_given_mask(Upload("DOE.png", b""), image, [], Limits())
