"""Data sets at an address: what is fetched, what is not fetched again, and what is refused."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from support.http_folders import serve_folder

from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.tools.jobs.run_settings import find_common_folder, hash_cases
from ibisagent.tools.remote_folder import RemoteFolder, open_folder

pytestmark = pytest.mark.usefixtures("cache_home")


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "set"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    draw(folder / "images" / "a b#1.png", 90)
    mask = np.zeros((24, 32), np.uint8)
    mask[4:9, 5:20] = 1
    Image.fromarray(mask).save(folder / "masks" / "a.png")
    rows = (
        "id,image,mask,target,present",
        "a,images/a b#1.png,masks/a.png,liver,1",
        "b,images/a b#1.png,,spleen,0",
        f"c,{tmp_path}/secret.png,masks/a.png,liver,1",
        "d,images/missing.png,masks/a.png,liver,1",
        "e,,masks/a.png,liver,1",
    )
    (folder / "manifest.csv").write_text("\n".join(rows))
    draw(tmp_path / "secret.png", 7)
    return folder


def draw(path, grey):
    Image.fromarray(np.full((24, 32), grey, np.uint8)).save(path)


def test_a_data_set_over_http_is_the_local_one_and_each_file_is_fetched_once(dataset):
    local = {case.id: case for case in read_dataset(dataset)}
    with serve_folder(dataset) as served:
        remote = {case.id: case for case in read_dataset(served.address)}
        assert dict(served.gets) == {"/manifest.csv": 1}
        for _ in range(2):
            image = remote["a"].open()
            assert image.sha == local["a"].open().sha
            assert np.array_equal(remote["a"].read_truth(image), local["a"].read_truth(image))
            assert not remote["b"].read_truth(remote["b"].open()).any()
        assert dict(served.gets) == {"/manifest.csv": 1, "/images/a%20b%231.png": 1, "/masks/a.png": 1}
    kept = ("a", "b", "d")
    one, other = ([cases[id] for id in kept] for cases in (local, remote))
    assert hash_cases(one, find_common_folder(one)) == hash_cases(other, find_common_folder(other))


def test_a_picture_that_changed_at_its_address_is_fetched_again(dataset):
    with serve_folder(dataset) as served:
        case = read_dataset(served.address)[0]
        before = case.open().pixels[0, 0]
        draw(dataset / "images" / "a b#1.png", 120)
        os.utime(dataset / "images" / "a b#1.png", (1, 1))
        assert (before, case.open().pixels[0, 0]) == (90, 120)


def test_of_several_that_need_a_file_at_once_one_fetches_it(dataset):
    with serve_folder(dataset) as served, ThreadPoolExecutor(8) as pool:
        cases = read_dataset(served.address)[:2]
        assert len({image.sha for image in pool.map(lambda number: cases[number % 2].open(), range(8))}) == 1
        assert served.gets["/images/a%20b%231.png"] == 1


def test_what_a_row_names_outside_of_the_address_or_in_vain_is_its_own_fault(dataset):
    with serve_folder(dataset) as served:
        cases = {case.id: case for case in read_dataset(served.address)}
        for id, said in (
            ("c", rf"secret.png: got a path outside of {served.address}, expected one inside it; write it relative"),
            ("d", rf"^{served.address}/images/missing.png: got nothing there, expected a file or folder; check"),
            ("e", "got no image, expected its path or a file of this id in images/; name it"),
        ):
            with pytest.raises(InputError, match=said):
                cases[id].open()


def test_a_file_uri_is_a_local_folder(dataset):
    assert read_dataset(dataset.as_uri()) == read_dataset(dataset)


def test_other_protocols_of_fsspec_are_read_as_well(dataset):
    case = read_dataset(f"local://{dataset}/")[0]
    assert case.open().sha == read_dataset(dataset)[0].open().sha
    with pytest.raises(InputError, match=r"/images: got a folder, expected a file; pack a series into a zip file"):
        case.remote.fetch(case.image.parent)


def test_what_cannot_be_opened_is_told_in_a_line(dataset, monkeypatch):
    with serve_folder(dataset / "images") as served:
        refused(served.address, rf"^{served.address}/manifest.csv: got nothing there, expected a file or folder; check")
    refused(served.address, rf"^{served.address}/manifest.csv: could not be read \(ClientConn.*\); check")
    refused("nosuch://x/y", r"^nosuch://x/y: got an address that cannot be opened \(ValueError: Protocol not known")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    refused("s3://b/set", r"^s3://b/set: got an address whose package is missing \(ImportError: Install s3fs .*install")
    with pytest.raises(InputError, match=r"^got kind='coco' of an address, expected native; write a manifest\.csv"):
        read_dataset(served.address, kind="coco")
    with pytest.raises(InputError, match=r"^s3://b/set: got an address under --local-only, expected a local folder; "):
        read_dataset("s3://b/set", local_only=True)
    with serve_folder(dataset) as served, pytest.raises(InputError, match=rf"^{served.address}: got no row of split"):
        read_dataset(served.address, split="val")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtra, match=r"^fsspec is not installed; .*\[remote\]"):
        read_dataset(served.address)


def refused(address, said):
    with pytest.raises(InputError, match=said):
        read_dataset(address)


def test_a_password_is_not_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InputError) as told:
        open_folder("s3://me:secret@bucket/set")
    assert str(told.value).startswith("s3://bucket/set: got an address")
    assert "secret" not in str(told.value)


def test_a_cache_that_cannot_be_made_is_told(dataset, cache_home):
    cache_home.write_text("a file")
    with pytest.raises(InputError, match=r"manifest.csv: could not be written \(.*\); free space, or set XDG_"):
        read_dataset(f"local://{dataset}")


def test_a_folder_named_twice_is_one(cache_home):
    assert open_folder("local:///data/set/") == open_folder("local:///data/set")
    assert isinstance(open_folder("local:///data/set"), RemoteFolder)
    assert open_folder("local:///data/set").folder.parent == cache_home / "ibisagent"
