"""The mask over MCP, by a real client over either transport, is the mask of a direct call, bit for bit."""

import base64
import io
import json

import nibabel
import numpy as np
import pytest
from PIL import Image
from support.mcp_servers import call, call_refused, http_server, over_http, over_stdio, read_resource, run

from ibisagent.agent import Box, build_graph
from ibisagent.agent.overlay import overlay
from ibisagent.agent.replay import replay
from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.reading import read_mask
from ibisagent.tools.masks.rle import area, decode
from ibisagent.ui.example_image import draw_example_image

REQUEST = "Segment the bright object."


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    y, x = np.mgrid[:96, :128]
    inside = ((y - 40) / 20) ** 2 + ((x - 70) / 30) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 6, inside.shape)
    Image.fromarray(np.clip(70 + 90 * inside + noise, 0, 255).astype(np.uint8)).save(folder / "scan.png")
    Image.fromarray(np.roll(inside, 5, axis=1)).save(folder / "rough.png")
    return folder


@pytest.fixture(scope="module")
def url(root):
    with http_server("--policy", "centre", "--root", root) as address:
        yield address


def direct(root, **given):
    return build_graph("centre", "geocut").invoke({"image": root / "scan.png", "request": REQUEST, **given})


async def mask_of(client, session):
    """The mask by both of its resources, which agree."""
    png = np.asarray(Image.open(io.BytesIO(await read_resource(client, f"ibisagent://session/{session}/mask.png"))))
    rle = json.loads(await read_resource(client, f"ibisagent://session/{session}/mask.json"))
    assert np.array_equal(png, decode(rle) * np.uint8(255))
    return rle


async def every_start(client, root):
    """Segment by path, by data URL, with a region, with a mask of three kinds; give the masks."""
    url = "data:image/png;base64," + base64.b64encode((root / "scan.png").read_bytes()).decode()
    plain = await call(client, "segment", image="scan.png", request=REQUEST)
    asked = [
        plain,
        await call(client, "segment", image=str(root / "scan.png"), request=REQUEST),
        await call(client, "segment", image=url, request=REQUEST),
        await call(client, "segment", image="scan.png", request=REQUEST, region=[0.3, 0.2, 0.8, 0.65]),
        await call(client, "segment", image="scan.png", request=REQUEST, mask="rough.png"),
        await call(client, "segment", image="scan.png", request=REQUEST, mask=plain[1]["session"]),
    ]
    asked.append(
        await call(
            client, "segment", image="scan.png", request=REQUEST, mask=await mask_of(client, asked[4][1]["session"])
        )
    )
    return [await mask_of(client, told["session"]) for _, told in asked]


def expected_of_every_start(root):
    plain = direct(root)["mask"]
    rough = direct(root, initial_mask=root / "rough.png")["mask"]
    return [
        plain,
        plain,
        plain,
        direct(root, prompts=[Box(0.3, 0.2, 0.8, 0.65)])["mask"],
        rough,
        direct(root, initial_mask=plain)["mask"],
        direct(root, initial_mask=rough)["mask"],
    ]


def test_stdio_gives_the_mask_of_a_direct_call(root):
    async def ask():
        async with over_stdio("--policy", "centre", "--root", root) as client:
            return await every_start(client, root)

    assert run(ask) == expected_of_every_start(root)


def test_http_gives_the_mask_of_a_direct_call(root, url):
    async def ask():
        async with over_http(url) as client:
            return await every_start(client, root)

    assert run(ask) == expected_of_every_start(root)


def test_the_langchain_adapters_give_the_mask_of_a_direct_call(root, url):
    """They open a connection for every call; the handle is enough."""
    from langchain_mcp_adapters.client import MultiServerMCPClient

    async def ask():
        client = MultiServerMCPClient({"ibisagent": {"transport": "streamable_http", "url": url}})
        tools = {tool.name: tool for tool in await client.get_tools()}
        said = await tools["segment"].ainvoke(
            {"type": "tool_call", "id": "1", "name": "segment", "args": {"image": "scan.png", "request": REQUEST}}
        )
        session = said.artifact["structured_content"]["session"]
        corrected = await tools["refine"].ainvoke({"session": session, "click": [0.1, 0.1]})
        await tools["refine"].ainvoke({"session": session, "undo": True})
        uri = f"ibisagent://session/{session}/mask.png"
        [blob] = await client.get_resources("ibisagent", uris=[uri])
        return said, corrected, np.asarray(Image.open(io.BytesIO(blob.as_bytes()))) > 0

    said, corrected, mask = run(ask)
    assert "Found" in json.dumps(said.content)
    assert "Found" in json.dumps(corrected)
    assert np.array_equal(mask, decode(direct(root)["mask"]))


@pytest.mark.slow
def test_the_policy_that_ships_gives_the_mask_of_a_direct_call(root):
    async def ask():
        async with over_stdio("--root", root, "--local-only") as client:
            _, told = await call(client, "segment", image="slice.png", request="Segment the liver.")
            return await mask_of(client, told["session"])

    Image.fromarray(draw_example_image()[0]).save(root / "slice.png")
    expected = build_graph("nano", "geocut").invoke({"image": root / "slice.png", "request": "Segment the liver."})
    assert area(expected["mask"]) > 0
    assert run(ask) == expected["mask"]


def test_a_session_is_corrected_measured_and_undone(root, url):
    async def ask():
        async with over_http(url) as client:
            steps = []

            async def progress(number, total, words):
                steps.append((number, words.split(":")[0]))

            said, begun = await call(client, "segment", progress, image="scan.png", request=REQUEST)
            session = begun["session"]
            before = await mask_of(client, session)
            click = [0.05, 0.9]
            corrected = await call(client, "refine", progress, session=session, click=click)
            after = await mask_of(client, session)
            undone = await call(client, "refine", progress, session=session, undo=True)
            again = await mask_of(client, session)
            accepted = await call(
                client, "refine", progress, session=session, box=[0.3, 0.2, 0.8, 0.65], continue_policy=True
            )
            measured = await call(client, "measure", session=session)
            record = json.loads(await read_resource(client, f"ibisagent://session/{session}/trajectory.json"))
            shown = await read_resource(client, f"ibisagent://session/{session}/overlay.png")
            return said, steps, before, after, again, corrected, undone, accepted, measured, record, shown

    said, steps, before, after, again, corrected, undone, accepted, measured, record, shown = run(ask)
    assert "terminated" not in said
    assert "Session: " in said
    assert steps == [(number, f"step {number}") for number in (1, 2, 3, 4, 5, 6)]
    assert before == again != after
    assert corrected[1]["stop"] == undone[1]["stop"] == ""
    assert accepted[1]["stop"] == "terminated"
    assert measured[1]["measurements"] == accepted[1]["measurements"]
    assert [step["actor"] for step in record["steps"]] == ["policy", "policy", "person", "person", "person", "policy"]
    image = open_image(root / "scan.png")
    assert replay(Trajectory.from_json(record), "geocut", image).differences == ()
    mask = decode(record["targets"][0]["mask"])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(shown))), overlay(image.pixels, mask))


def test_no_path_and_no_base64_is_told_unless_asked_for(root, url):
    async def ask():
        async with over_http(url) as client:
            said, told = await call(client, "segment", image=str(root / "scan.png"), request=REQUEST)
            record = await read_resource(client, f"ibisagent://session/{told['session']}/trajectory.json")
            return said + json.dumps(told), record

    told, record = run(ask)
    assert "scan" not in told
    assert len(told) < 3000
    assert json.loads(record)["image"]["uri"] == "scan.png"
    assert str(root) not in record


def test_files_are_exported_under_the_output_folder_alone(root, tmp_path):
    async def ask():
        async with over_stdio("--policy", "centre", "--root", root, "--out", tmp_path / "out") as client:
            _, told = await call(client, "segment", image="scan.png", request=REQUEST)
            session = told["session"]
            written = await call(client, "export", session=session, formats=["png", "json", "overlay", "trajectory"])
            words = await call_refused(client, "export", session=session, formats=["png", "dicom-seg"])
            return session, written[1]["files"], words

    session, files, words = run(ask)
    image = open_image(root / "scan.png")
    there = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert sorted(files.values()) == there
    assert session not in " ".join(there)
    for name in ("mask.png", "mask.json"):
        assert np.array_equal(read_mask(tmp_path / "out" / files[name], image), decode(direct(root)["mask"]))
    assert "DICOM" in words


def test_a_slice_s_mask_comes_back_on_the_grid_of_its_volume(root, url, tmp_path):
    voxels = np.stack([np.asarray(Image.open(root / "scan.png")).T] * 3, axis=2)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.5, 0.75, 3.0, 1.0])), root / "volume.nii.gz")

    async def ask():
        async with over_http(url) as client:
            _, told = await call(client, "segment", image="volume.nii.gz", request=REQUEST, slice="axial:1")
            _, exported = await call(client, "export", session=told["session"], formats=["nifti"])
            return told, await read_resource(client, exported["resources"]["mask.nii.gz"])

    told, made = run(ask)
    image = open_image(root / "volume.nii.gz", slice="axial:1")
    expected = build_graph("centre", "geocut").invoke({"image": image, "request": REQUEST})
    assert told["measurements"] == expected["measurements"]
    assert told["measurements"]["area_mm2"] > 0
    (tmp_path / "mask.nii.gz").write_bytes(made)
    assert np.array_equal(read_mask(tmp_path / "mask.nii.gz", image), decode(expected["mask"]))


def test_without_an_output_folder_an_export_is_resources(root, url):
    async def ask():
        async with over_http(url) as client:
            _, told = await call(client, "segment", image="scan.png", request=REQUEST)
            _, exported = await call(client, "export", session=told["session"], formats=["png"])
            return exported, await read_resource(client, exported["resources"]["mask.png"])

    exported, png = run(ask)
    assert exported["files"] == {}
    assert png.startswith(b"\x89PNG")
