"""Examples through the doors of programs: command line, tool and MCP, and the separate objects that come out."""

import csv
import json
import re

import nibabel
import numpy as np
import pytest
from mcp.shared.memory import create_connected_server_and_client_session as connect
from PIL import Image
from support.blobs import COUNT, blob_picture, blobs, example
from support.command_line import call as call_command
from support.fakes import STOP, script
from support.mcp_servers import call, call_refused, read_resource
from support.mcp_servers import run as run_async

from ibisagent.agent import LoopConfig
from ibisagent.agent.integrations import segmentation_tool
from ibisagent.agent.integrations.hidden_arguments import hide_argument
from ibisagent.agent.replay import replay
from ibisagent.agent.trajectory_files import read_trajectories
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import decode
from ibisagent.tools.segmenters.memo import get_memo
from ibisagent.ui.mcp.server import make_server
from ibisagent.ui.sessions.service import SessionService

PLACE = f"{example(5).x:.4f},{example(5).y:.4f}"
AT = [example(5).x, example(5).y]
BESIDE = [0.02, 0.02, 0]
OBJECTS = ["instances.csv", "instances.json", "labels.png"]


@pytest.fixture
def folder(tmp_path):
    Image.fromarray(blob_picture()).save(tmp_path / "nuclei.png")
    voxels = np.stack([blob_picture().T] * 2, axis=2)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.5, 0.5, 2.0, 1.0])), tmp_path / "volume.nii.gz")
    return tmp_path


def test_the_command_line_keeps_the_order_and_writes_the_objects(folder):
    ran = call_command(
        *("segment", "nuclei.png", "Segment the nuclei.", "--out", "out"),
        *("--click", f"+{PLACE}", "--similar", f"+{PLACE}", "--similar", "-0.02,0.02", "--click", "-0.9,0.02"),
        *("--box", "0.1,0.1,0.3,0.3"),
        cwd=folder,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Negative Similar" in " ".join(ran.stdout.split())
    (record,) = read_trajectories(folder / "out/trajectory.json")
    made = [(step.action["type"], step.action.get("positive")) for step in record.steps if step.actor == "person"]
    assert made == [("box", None), ("point", True), ("similar", True), ("similar", False), ("point", False)]
    assert sorted(path.name for path in (folder / "out").iterdir()) == sorted(
        ["mask.png", "overlay.png", "steps.png", "trajectory.json", *OBJECTS]
    )
    labels = np.asarray(Image.open(folder / "out/labels.png"))
    assert np.array_equal(labels > 0, decode(record.mask))
    with (folder / "out/instances.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == labels.max() == COUNT
    assert [int(row["area_px"]) for row in rows] == np.bincount(labels.ravel())[1:].tolist()
    assert len(json.loads((folder / "out/instances.json").read_text())["annotations"]) == COUNT
    assert call_command("replay", "out/trajectory.json", cwd=folder).returncode == 0


def test_without_an_example_the_objects_are_written_where_they_are_asked_for(folder):
    ran = call_command(
        *("segment", "volume.nii.gz", "It.", "--slice", "axial:1", "--click", f"+{PLACE}", "--out", "out"),
        *("--save-instances", "objects.nii.gz", "--save-instances", "objects.csv"),
        cwd=folder,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert not {path.name for path in (folder / "out").iterdir()} & set(OBJECTS)
    assert nibabel.load(folder / "objects.nii.gz").shape == (128, 96, 2)
    assert (
        len((folder / "objects.csv").read_text().splitlines())
        == 1 + nibabel.load(folder / "objects.nii.gz").get_fdata().max()
    )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--similar", "0.5,0.5"], "--similar '0.5,0.5': expected a sign and two decimals from 0 to 1, such as +0.41,"),
        (["--similar", "+0.5"], "--similar '+0.5': expected 2 decimals from 0 to 1 of the picture, as in +0.41,0.52"),
        (
            ["--similar", "+0.5,0.5", "--segmenter", "disk", "--policy", "random"],
            "segmenter 'disk': got Similar (all like this), expected a point or a box; give those, or choose another",
        ),
        (["--similar", "+0.5,0.5", "--segmenter", "medsam2:none.pt"], "segmenter 'medsam2:none.pt': got Similar"),
        (["--click", "+0.5,0.5", "--save-instances", "o.dcm"], "o.dcm: got ending '.dcm', expected .png, "),
        (["--click", "+0.5,0.5", "--save-instances", "o.nii.gz"], "o.nii.gz: "),
        (
            ["--policy", "none"],
            "got --policy none and no prompts, expected a --click, a --similar, a --box or a --mask",
        ),
    ],
)
def test_a_mistake_is_a_line_before_anything_is_written(options, line, folder):
    before = sorted(folder.rglob("*"))
    ran = call_command("segment", "nuclei.png", "It.", *options, "--out", "out", cwd=folder)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert ran.stderr.startswith(f"ibisagent: {line}")
    assert sorted(folder.rglob("*")) == before


def test_help_and_doctor_say_which_segmenters_take_what(folder):
    shown = " ".join(re.sub(r"[│╭╮╰╯─]", " ", call_command("segment", "--help", cwd=folder).stdout).split())
    assert "--similar" in shown
    assert "Segmenter: geocut, geonet, geonet:FILE." in shown
    table = call_command("doctor", cwd=folder).stdout.partition("Segmenters")[2]
    (geocut,) = [line for line in table.splitlines() if re.search(r"\bgeocut\b.*geodesic distances", line)]
    assert "point, box, similar" in geocut


def told(tool, **asked):
    call = {"name": tool.name, "args": {"image": "nuclei.png", "request": "The nuclei."} | asked, "id": "1"}
    return tool.invoke(call | {"type": "tool_call"})


def test_the_tool_takes_examples_where_its_segmenter_does(folder):
    tool = segmentation_tool(script(STOP), "geocut", root=folder, trajectory_folder=folder)
    schema = tool.tool_call_schema.model_json_schema()
    assert "similar" in schema["properties"]
    message = told(tool, similar=[AT, BESIDE])
    assert (message.status, message.artifact["instances"]) == ("success", COUNT)
    assert f"The mask has {COUNT} separate objects." in message.content
    (record,) = read_trajectories(folder / message.artifact["trajectory"])
    assert [step.action.get("positive") for step in record.steps[:2]] == [True, False]
    assert replay(record, "geocut", open_image(folder / "nuclei.png")).differences == ()
    assert told(tool, region=[0.1, 0.1, 0.3, 0.3]).artifact["instances"] is None
    for wrong, line in (
        ([[0.5, 0.5, 2]], "similar[0]: got 2 after x and y, expected 1 for an example, or 0 for what is not meant"),
        ([[0.5, 1.5]], "y=1.5: expected a number in [0, 1]"),
        ([], "similar: got [], expected examples [x, y] from 0 to 1"),
    ):
        refused = told(tool, similar=wrong)
        assert (refused.status, refused.content.count("\n")) == ("error", 0)
        assert line in refused.content
    without = segmentation_tool(script(STOP), "disk", root=folder)
    assert "similar" not in without.tool_call_schema.model_json_schema()["properties"]
    assert "got an unknown name" in told(without, similar=[AT]).content


def server(folder, segmenter):
    service = SessionService(script(STOP, STOP), get_memo(segmenter), LoopConfig(), roots=(folder.resolve(),))
    return make_server(service, out=folder / "exports", stdio=False)._mcp_server


def test_mcp_takes_examples_counts_objects_and_exports_them(folder):
    async def story():
        async with connect(server(folder, "geocut")) as client:
            text, said = await call(
                client, "segment", image="nuclei.png", request="The nuclei.", region=[0, 0, 0.3, 0.3]
            )
            assert said["instances"] is None
            text, said = await call(client, "refine", session=said["session"], similar=AT)
            assert said["instances"] == COUNT
            assert f"{COUNT} separate objects" in text
            _, said = await call(client, "refine", session=said["session"], similar=BESIDE[:2], positive=False)
            text, said = await call(client, "measure", session=said["session"])
            assert f" {COUNT} separate objects." in text
            formats = ["labels", "csv", "instances-coco"]
            _, exported = await call(client, "export", session=said["session"], formats=formats)
            assert sorted(exported["files"]) == OBJECTS
            made = {name: folder / "exports" / path for name, path in exported["files"].items()}
            assert np.asarray(Image.open(made["labels.png"])).max() == COUNT
            table = await read_resource(client, exported["resources"]["instances.csv"])
            assert len((table if isinstance(table, str) else table.decode()).splitlines()) == 1 + COUNT
            _, again = await call(client, "segment", image="nuclei.png", similar=[AT, BESIDE])
            return said["measurements"]["area_px"], again["instances"]

    area, count = run_async(story)
    assert area > 0.8 * blobs().sum()
    assert count == COUNT


def test_mcp_hides_examples_where_its_segmenter_takes_none(folder):
    async def story():
        async with connect(server(folder, "disk")) as client:
            tools = {tool.name: tool.inputSchema["properties"] for tool in (await client.list_tools()).tools}
            refused = await call_refused(client, "segment", image="nuclei.png", similar=[AT])
            return tools, refused

    tools, refused = run_async(story)
    assert "similar" not in {*tools["segment"], *tools["refine"]}
    assert "similar: got an unknown name" in refused


def test_a_hidden_argument_is_only_not_shown():
    def double(value: int, times: int = 2) -> int:
        return value * times

    assert hide_argument(double, "times")(3, times=3) == 9
    assert list(double.__annotations__) == ["value", "return"]
