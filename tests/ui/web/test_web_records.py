"""Recorded runs on the page: a folder, a file of many or a zip is a list, and each opens with its picture and files."""

import asyncio
import io
import json
import shutil

import nibabel
import numpy as np
import pytest
from PIL import Image
from support.command_line import call
from support.fakes import STOP, positive, script
from support.run_folders import write_runs
from support.web_sessions import OWNER, make_sessions, raise_failure, send, settle, started
from test_web_uploads import zip_bytes

from ibisagent.agent import build_graph
from ibisagent.agent.episode import run_episode
from ibisagent.agent.trajectory_files import write_trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.reading import read_mask
from ibisagent.tools.masks.rle import decode
from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.recorded_runs import list_records
from ibisagent.ui.sessions.session_errors import UnknownSession


@pytest.fixture
def runs(tmp_path):
    return write_runs(tmp_path / "made")


def idle():
    return script(STOP)


def test_a_served_folder_is_a_list_and_each_case_opens_with_its_files(runs):
    async def story():
        sessions = make_sessions(idle, runs=list_records(runs, [runs.parent]))
        async with started(sessions) as handle:
            first = await settle(sessions, handle)
            rows = await sessions.cases(handle, OWNER)
            await sessions.open_case(handle, OWNER, 3)
            last = await settle(sessions, handle)
            await sessions.open_case(handle, OWNER, 0)
            again = await settle(sessions, handle)
            files = {name: await sessions.render(handle, OWNER, name) for name in again["downloads"]}
            await sessions.open_case(handle, OWNER, 9)
            assert "expected one of 0 to 3" in (await settle(sessions, handle))["message"]
            with pytest.raises(UnknownSession):
                await sessions.cases(handle, "x" * 32)
            return first, rows, last, again, files

    first, rows, last, again, files = asyncio.run(story())
    assert [(row["case"], row["policy"], row["stop"]) for row in rows] == [
        ("case-0", "oracle", "terminated"),
        ("case-1", "oracle", "target_absent"),
        ("case-0", "scripted", "terminated"),
        ("case-1", "scripted", "target_absent"),
    ]
    assert rows[0]["iou"] > 0.7 > rows[2]["iou"] > 0
    assert rows[3]["iou"] == 1
    assert (first["read_only"], first["cases"]["count"], first["cases"]["open"]) == (True, 4, 0)
    assert first["truth"] is not None
    assert last["stop_kind"] == "absent"
    assert again["mask"] == first["mask"]

    record = json.loads((runs / "trajectories/oracle/disk/case-0.json").read_text())
    mask = decode(record["targets"][0]["mask"])
    assert {"mask.png", "mask.json", "overlay.png", "trajectory.json", "steps.png", "measurements.csv"} == set(files)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(files["mask.png"]))) > 0, mask)
    assert np.array_equal(decode(json.loads(files["mask.json"])), mask)
    assert json.loads(files["trajectory.json"]) == record
    names, values = (line.split(",") for line in files["measurements.csv"].decode().splitlines())
    assert dict(zip(names, values, strict=False))["area_px"] == str(int(mask.sum()))
    assert Image.open(io.BytesIO(files["steps.png"])).width > 200


def test_the_mask_of_a_recorded_slice_comes_back_on_its_volume_s_grid(tmp_path):
    voxels = np.zeros((40, 32, 6), np.int16)
    voxels[10:20, 8:16, 2:4] = 500
    source = tmp_path / "v.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 1.0, 3.0, 1.0])), source)
    image = open_image(source, slice="axial:2")
    record = run_episode(
        build_graph(script(positive(0.4, 0.6), STOP), "disk"), {"image": image, "request": "It."}, folder=tmp_path
    )
    write_trajectory(tmp_path / "run.json", record)
    opened = list_records(tmp_path / "run.json").open(0)
    assert {"mask.nii.gz", "mask.nrrd"} <= set(opened.downloads)
    for name in ("mask.nii.gz", "mask.nrrd", "mask.png", "mask.json"):
        (tmp_path / name).write_bytes(opened.render(name))
        assert np.array_equal(read_mask(tmp_path / name, image), decode(record.mask)), name


def pack(runs, pictures):
    """A zip of a run folder; ``pictures``: with each picture under its hash."""
    files = {str(path.relative_to(runs)): path.read_bytes() for path in sorted(runs.rglob("*.json"))}
    for path in (runs.parent / "images").iterdir() if pictures else ():
        files[f"pictures/{open_image(path).sha}.png"] = path.read_bytes()
    return zip_bytes(files | {"results.csv": b"id", "notes/settings.json": b"{}"})


def test_a_zip_a_jsonl_and_many_files_open_as_lists_and_outlive_the_server(tmp_path, runs):
    records = [path.read_text() for path in sorted(runs.rglob("*.json"))]
    lines = "\n".join(json.dumps(json.loads(text)) for text in records).encode()
    database = tmp_path / "web.db"

    async def story():
        sessions = make_sessions(idle, database=database, roots=(tmp_path / "made/images",))
        async with started(sessions) as handle:
            assert await send(sessions, handle, pack(runs, pictures=True), "runs.zip") is None
            zipped = await settle(sessions, handle), await sessions.cases(handle, OWNER)
            await sessions.open_case(handle, OWNER, 2)
            chosen = await settle(sessions, handle)
            other = await sessions.create(OWNER)
            line = await send(sessions, other, lines, "many.jsonl")
            many = await settle(sessions, other), await sessions.cases(other, OWNER)
            assert sorted((await sessions.cases(other, OWNER))[0]) == sorted(zipped[1][0])
            third = await sessions.create(OWNER)
            for path in sorted((runs / "trajectories/oracle").rglob("*.json")):

                async def body(path=path):
                    yield path.read_bytes()

                await sessions.receive_file(third, OWNER, path.name, body(), "image", path.stem == "case-0")
            named = await sessions.cases(third, OWNER)
            return handle, zipped, chosen, (line, *many), named

    async def again(handle):
        sessions = make_sessions(idle, database=database)
        async with sessions.running(raise_failure):
            return await settle(sessions, handle)

    handle, (shown, rows), chosen, (line, empty, listed), named = asyncio.run(story())
    assert [row["case"] for row in rows] == ["case-0", "case-1"] * 2
    assert shown["picture"]["width"] == 64
    assert chosen["cases"]["open"] == 2
    assert "no such image" in line, "below --root a picture is found by its path or its hash"
    assert (empty["picture"], empty["cases"]["count"], empty["cases"]["open"]) == (None, 4, None)
    assert [row["policy"] for row in listed] == ["oracle", "oracle", "scripted", "scripted"]
    assert [row["case"] for row in named] == ["case-0", "case-1"]
    resumed = asyncio.run(again(handle))
    assert (resumed["mask"], resumed["cases"]["open"]) == (chosen["mask"], 2)


def test_nothing_else_of_a_zip_is_unpacked_and_a_bomb_is_a_line(tmp_path, runs):
    record = (runs / "trajectories/oracle/disk/case-0.json").read_text()
    stolen = json.loads(record)
    stolen["image"] |= {"uri": "/etc/passwd"}

    async def story():
        sessions = make_sessions(idle, database=tmp_path / "web.db", limits=Limits(file_bytes=2**20))
        async with started(sessions) as handle:
            hostile = {"../out.json": record, "a.json": json.dumps(stolen), "b.json": record, "x.sh": "exit"}
            line = await send(sessions, handle, zip_bytes(hostile | {"/tmp/abs.json": record}), "t.zip")
            assert "no such image" in line
            assert "root:" not in line
            assert [row["case"] for row in await sessions.cases(handle, OWNER)] == ["a", "b"]
            assert not list(tmp_path.rglob("out.json"))
            assert not list(tmp_path.rglob("x.sh"))
            bomb = zip_bytes({"a.json": b" " * 2**22})
            assert len(bomb) < 2**20
            assert "too much once unpacked" in await send(sessions, handle, bomb, "t.zip")
            locked = bytearray(zip_bytes({"a.json": record}))
            locked[6] |= 1
            locked[locked.rindex(b"PK\x01\x02") + 8] |= 1
            assert "locked" in await send(sessions, handle, bytes(locked), "t.zip")
            return [row["case"] for row in await sessions.cases(handle, OWNER)]

    assert asyncio.run(story()) == ["a", "b"], "a refused file leaves what was there"


def test_a_served_case_whose_picture_is_not_found_is_a_line_and_the_others_open(runs):
    (runs.parent / "images/case-0.png").unlink()

    async def story():
        sessions = make_sessions(idle, runs=list_records(runs, [runs.parent]))
        async with started(sessions) as handle:
            missing = await settle(sessions, handle)
            await sessions.open_case(handle, OWNER, 1)
            return missing, await settle(sessions, handle)

    missing, shown = asyncio.run(story())
    assert (missing["error"], missing["picture"], missing["cases"]["open"]) == (True, None, None)
    assert "name its folder by --root" in missing["message"]
    assert (shown["error"], shown["cases"]["open"], shown["picture"]["width"]) == (False, 1, 64)


def test_a_folder_without_records_is_one_line(tmp_path, runs):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/settings.json").write_text("{}")
    with pytest.raises(InputError, match="no trajectory"):
        list_records(tmp_path / "empty")
    ended = call("web", "empty", cwd=tmp_path)
    assert ended.returncode == 2
    assert "no trajectory" in ended.stderr
    shutil.copy(runs / "trajectories/oracle/disk/case-0.json", tmp_path / "empty/a.json")
    (tmp_path / "empty/b.json").write_text('{"version": 2, "steps": [')
    listed = list_records(tmp_path / "empty")
    assert (len(listed.entries), listed.broken) == (1, 1)
