"""Uploads: every kind of picture opens, and every hostile one is a line after which all goes on."""

import asyncio
import io
import json
import zipfile
import zlib

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from support.fakes import STOP, positive, script
from support.web_sessions import OWNER, make_sessions, send, settle, started

from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.web.opening import UploadRefused


def png_bytes(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def dicom_bytes(name="CT_small.dcm"):
    with open(get_testdata_file(name, download=False), "rb") as file:
        return file.read()


def zip_bytes(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def nifti_bytes(tmp_path, voxels):
    path = tmp_path / "made.nii"
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)
    return path.read_bytes()


def huge_png():
    """A PNG that claims 30,000 x 30,000 pixels, in a few bytes."""
    header = b"IHDR" + (30_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    small = png_bytes(np.zeros((1, 1), np.uint8))
    return small[:8] + (13).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big") + small[33:]


def bomb():
    return zip_bytes({f"{number}.dcm": bytes(64 * 2**20) for number in range(4)})


def good(tmp_path, pixels):
    nan = np.full((16, 16, 4), 5.0, np.float32)
    nan[2, 2, 2] = np.nan
    yield "a.png", png_bytes(pixels)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF")
    yield "a.tif", buffer.getvalue()
    yield "a.dcm", dicom_bytes()
    yield "series.zip", zip_bytes({"../../up.dcm": dicom_bytes()})
    yield "volume.nii", nifti_bytes(tmp_path, np.arange(4096, dtype=np.int16).reshape(16, 16, 16))
    yield "nan.nii", nifti_bytes(tmp_path, nan)
    yield "../../../etc/passwd.png", png_bytes(pixels)


def hostile(tmp_path):
    yield "script.png", b"<script>alert(1)</script>"
    yield "script.svg", b"<svg onload='alert(1)'/>"
    yield "page.html", b"<html></html>"
    yield "huge.png", huge_png()
    yield "bomb.zip", bomb()
    yield "many.zip", zip_bytes({f"{number}.txt": b"x" for number in range(5000)})
    yield "up.zip", zip_bytes({"../../up.txt": b"x"})
    yield "cut.dcm", dicom_bytes()[:900]
    yield "cut.png", png_bytes(np.zeros((50, 50), np.uint8))[:60]
    yield "empty.nii.gz", b"\x1f\x8b\x08\x00"
    yield "only-nan.nii", nifti_bytes(tmp_path, np.full((16, 16, 4), np.nan, np.float32))
    yield "a.json", b"{"
    yield "deep.json", b"[" * 100_000
    yield "b.json", json.dumps({"version": 2, "steps": []}).encode()
    yield "x" * 900 + ".png", b"nothing"
    yield "null\x00.png", b"nothing"


def test_what_opens(tmp_path, pixels):
    async def story():
        sessions = make_sessions(lambda: script(positive(0.5, 0.5), STOP), database=tmp_path / "web.db")
        async with started(sessions) as handle:
            for name, content in good(tmp_path, pixels):
                assert await send(sessions, handle, content, name) is None, name
                snapshot = await settle(sessions, handle)
                assert snapshot["picture"]["width"] >= 16, name
                await sessions.ask(handle, OWNER, "Segment it.")
                assert (await settle(sessions, handle))["steps"], name
            (folder,) = (tmp_path / "web.db.store").iterdir()
            uploads = [path for path in (folder / "uploads").rglob("*") if path.is_file()]
            assert [path.name for path in uploads] == ["00000.png"]
            for path in (folder, uploads[0].parent):
                assert path.stat().st_mode & 0o077 == 0
            assert uploads[0].stat().st_mode & 0o077 == 0

    asyncio.run(story())


def test_hostile_files_are_a_line_each_and_all_goes_on(tmp_path, pixels):
    async def story():
        sessions = make_sessions(lambda: script(positive(0.5, 0.5), STOP), database=tmp_path / "web.db")
        async with started(sessions) as handle:
            await send(sessions, handle, png_bytes(pixels), "a.png")
            before = await settle(sessions, handle)
            lines = {}
            for name, content in hostile(tmp_path):
                line = await send(sessions, handle, content, name)
                lines[name] = line
                after = await settle(sessions, handle)
                assert (after["message"], after["error"]) == (line, True), name
                assert "\n" not in line
                assert str(tmp_path) not in line
                assert len(line) < 400
                assert after["picture"] == before["picture"]
            await sessions.ask(handle, OWNER, "Segment it.")
            assert len((await settle(sessions, handle))["steps"]) == 2
            (folder,) = (tmp_path / "web.db.store").iterdir()
            assert len([path for path in (folder / "uploads").rglob("*") if path.is_file()]) == 1
            return lines

    lines = asyncio.run(story())
    for line in lines.values():
        assert "expected" in line or "not a trajectory" in line, line


def test_too_many_bytes_and_nothing_at_all_are_refused_and_leave_nothing(tmp_path):
    async def story():
        sessions = make_sessions(lambda: script(STOP), limits=Limits(file_bytes=1000), database=tmp_path / "web.db")
        async with started(sessions) as handle:
            for content in (bytes(1001), b""):
                with pytest.raises(UploadRefused):
                    await send(sessions, handle, content, "a.png")
            (folder,) = (tmp_path / "web.db.store").iterdir()
            assert list((folder / "uploads").iterdir()) == []

    asyncio.run(story())


def test_the_files_of_a_series_come_one_by_one(tmp_path):
    from support.dicom_series_fixtures import write_series

    files = write_series(tmp_path)

    async def story():
        sessions = make_sessions(lambda: script(positive(0.5, 0.5), STOP))
        async with started(sessions) as handle:
            for number, path in enumerate(files, 1):

                async def body(path=path):
                    yield path.read_bytes()

                more = number < len(files)
                assert await sessions.receive_file(handle, OWNER, path.name, body(), "image", more) is None
            return await settle(sessions, handle)

    picture = asyncio.run(story())["picture"]
    assert picture["slices"]["counts"]["axial"] == len(files)


def test_a_record_opens_without_a_model_and_opens_no_other_file(tmp_path, pixels):
    content = png_bytes(pixels)

    async def story():
        sessions = make_sessions(lambda: script(positive(0.5, 0.5), STOP), database=tmp_path / "web.db")
        async with started(sessions) as handle:
            await send(sessions, handle, content, "a.png")
            await sessions.ask(handle, OWNER, "Segment it.")
            asked = await settle(sessions, handle)
            record = json.loads(await sessions.render(handle, OWNER, "trajectory.json"))
            other = await sessions.create(OWNER)
            stolen = record | {"image": record["image"] | {"uri": "/etc/passwd"}}
            line = await send(sessions, other, json.dumps(stolen).encode(), "t.json")
            assert "no such image" in line
            assert "root:" not in line
            missing = await send(sessions, other, json.dumps(record).encode(), "t.json")
            assert "name its folder by --root" in missing
            masks = [record | {"targets": [record["targets"][0] | {"mask": {"size": [9, 9], "counts": "1"}}]}]
            masks += [record | {"targets": [record["targets"][0] | {"mask": {"size": [96, 128], "counts": "~~"}}]}]
            masks += [record | {"targets": [record["targets"][0] | {"mask": None}]}]
            for wrong in masks:
                assert await send(sessions, handle, json.dumps(wrong).encode(), "t.json")
            assert await send(sessions, handle, json.dumps(record).encode(), "t.json") is None
            shown = await settle(sessions, handle)
            assert shown["read_only"]
            for key in ("mask", "request", "answer", "stop"):
                assert shown[key] == asked[key], key
            assert [step["mask"] for step in shown["steps"]] == [step["mask"] for step in asked["steps"]]
            await sessions.click(handle, OWNER, 0.5, 0.5)
            assert "for reading" in (await settle(sessions, handle))["message"]
            return handle

    async def again(handle):
        sessions = make_sessions(lambda: script(STOP), database=tmp_path / "web.db")
        async with started(sessions):
            return await settle(sessions, handle)

    assert asyncio.run(again(asyncio.run(story())))["read_only"]
