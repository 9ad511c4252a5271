"""What a client may have opened: files under the roots, not through links, and none that is too large."""

import base64
import io
import os

import numpy as np
import pytest
from PIL import Image
from support.mcp_servers import call, call_refused, over_stdio, run

from ibisagent.tools.errors import InputError
from ibisagent.ui.mcp.files import open_allowed, require_roots, resolve_allowed
from ibisagent.ui.mcp.limits import Limits

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
    with pytest.raises(InputError, match="--root"):
        require_roots([root / "scan.png"])


def test_without_roots_only_data_urls_are_opened(pixels):
    assert np.array_equal(open_allowed(url_of(pixels), [], Limits()).pixels, pixels)
    with pytest.raises(InputError, match="reads no files"):
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


def test_a_client_is_told_so(root, tmp_path):
    wrong = {
        "../secret.png": "outside the folders",
        "link.png": "outside the folders",
        "huge.png": "5,120 MiB",
        "none.png": "no file",
        "inner": "",
    }

    async def ask():
        async with over_stdio("--policy", "centre", "--root", root) as client:
            told = {name: await call_refused(client, "segment", image=name, request="x") for name in wrong}
            masks = [
                await call_refused(client, "segment", image="scan.png", request="x", mask=mask)
                for mask in ("../secret.png", "link.png", "huge.png", {"size": [90000, 90000], "counts": "0"})
            ]
            await call(client, "segment", image="scan.png", request="x")
            return told, masks

    told, masks = run(ask)
    for name, words in told.items():
        assert wrong[name] in words
        assert "Traceback" not in words
        assert str(tmp_path) not in words
    assert all(words.startswith("mask: ") for words in masks)
    assert [("outside" in words, "MiB" in words) for words in masks] == [(True, False)] * 2 + [
        (False, True),
        (False, False),
    ]
    assert os.stat(root / "huge.png").st_size == 5 * GIB
