"""What the server says of a wrong call: one line that names what the caller named, and what to do."""

import base64
import json
import typing
from functools import partial

import numpy as np
import pytest
from mcp.shared.exceptions import McpError
from mcp.shared.memory import create_connected_server_and_client_session as connect
from PIL import Image
from pydantic import TypeAdapter
from support.fakes import STOP, script
from support.mcp_servers import call, call_refused, read_resource, run

from ibisagent.agent import Box, Click, build_graph
from ibisagent.agent.config import preset
from ibisagent.tools.export import EXTENSIONS
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.reading import read_mask
from ibisagent.tools.masks.rle import area
from ibisagent.tools.segmenters.memo import get_memo
from ibisagent.ui.mcp.server import make_server
from ibisagent.ui.mcp.tool_arguments import Format, Formats
from ibisagent.ui.sessions.export import FORMATS, MEDIA_TYPES
from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.service import SessionService

NAMED = "DOE JANE/my scan, 2: (left).png"
NOTHING_MARKED = "clicks: got none, and no region or mask, but this server has no clicking model; add one of them."
IMAGE = "a file under the server's roots, or a base64 data: URL"
REMEDY = "correct it and call again."


DEFAULT = Limits()


@pytest.fixture
def root(tmp_path, pixels):
    folder = tmp_path / "root"
    (folder / "DOE JANE").mkdir(parents=True)
    for name in ("scan.png", NAMED):
        Image.fromarray(pixels).save(folder / name)
    (folder / "empty.png").touch()
    return folder.resolve()


def server(root, *, acts=False, out=None, limits=DEFAULT):
    """The server of ``--policy none``, without a process of its own."""
    service = SessionService(
        policy=script(STOP, STOP, STOP),
        memo=get_memo("disk"),
        config=preset("default"),
        limits=limits,
        roots=(root,),
        prompts_required=not acts,
    )
    return make_server(service, out=out, stdio=False)._mcp_server


async def said(root, *calls, **options):
    """Make calls that have to be refused, after one that begins a session; give the lines."""
    async with connect(server(root, **options)) as client:
        _, told = await call(client, "segment", image="scan.png", region=[0.1, 0.1, 0.5, 0.5])
        lines = []
        for tool, arguments in calls:
            known = {"session": told["session"]} if arguments.get("session", "") is None else {}
            lines.append(await call_refused(client, tool, **arguments | known))
        return lines


@pytest.mark.parametrize("absolute", [False, True])
def test_a_first_call_with_nothing_marked_says_so_and_not_that_the_file_is_at_fault(absolute, root):
    image = str(root / NAMED) if absolute else NAMED
    assert run(said, root, ("segment", {"image": image, "request": "Segment the liver."})) == [NOTHING_MARKED]


@pytest.mark.parametrize("name", ["none here: 1, (2).png", "DOE JANE/none.png", "none.png"])
def test_a_file_is_named_as_the_caller_named_it(name, root):
    given = [name, str(root / name), f"file://{root}/none.png", "../out of it.png", "data:image/png;base64,AAAA"]
    lines = run(said, root, *[("segment", {"image": each, "region": [0, 0, 1, 1]}) for each in given])
    heads = [*given[:-1], "the data URL"]
    assert [line[: len(head) + 6] for line, head in zip(lines, heads, strict=True)] == [
        f"{head}: got " for head in heads
    ]


def test_a_mask_s_fault_is_not_told_of_the_image(root):
    marked = {"image": "scan.png", "request": "x"}
    masks = ["empty.png", "none: 1.png", "../x.png", "A" * 32, {"size": [1, 1], "counts": "0"}]
    lines = run(said, root, *[("segment", marked | {"mask": mask}) for mask in masks])
    assert [line.split(", expected")[0] for line in lines] == [
        "mask: got an empty file",
        "mask: got a path with no file",
        "mask: got one outside the folders that may be read",
        "mask: got an unknown handle, or one whose session has ended; begin one with segment.",
        "mask: got run lengths of the size [1, 1]",
    ]


WRONG = [
    ("segment", {}, f"image: got nothing, expected {IMAGE}; {REMEDY}"),
    ("segment", {"image": 3}, f"image: got 3, expected {IMAGE}; {REMEDY}"),
    ("segment", {"image": "scan.png", "images": "x"}, f"images: got an unknown name, expected image; {REMEDY}"),
    (
        "segment",
        {"image": "scan.png", "region": [0, 0, 2, 1]},
        f"region[2]: got 2, expected [x0, y0, x1, y1] in [0, 1] of the displayed picture; {REMEDY}",
    ),
    (
        "segment",
        {"image": "scan.png", "region": [0, 1]},
        f"region: got [0, 1], expected [x0, y0, x1, y1] in [0, 1] of the displayed picture; {REMEDY}",
    ),
    (
        "segment",
        {"image": "scan.png", "clicks": [[0.5, 0.5, 0.5]]},
        "clicks[0]: got 0.5 after x and y, expected 1 on the target or 0 beside it; choose.",
    ),
    (
        "segment",
        {"image": "scan.png", "slice": 3},
        f"slice: got 3, expected a slice, such as 12, axial:12 or coronal:middle; {REMEDY}",
    ),
    ("refine", {"session": None}, "refine: got 0 of click, similar, box and undo, expected one; call once for each."),
    (
        "refine",
        {"session": None, "click": [5, 5], "undo": "maybe"},
        "click[0]: got 5, expected [x, y] in [0, 1] of the displayed picture; "
        f'undo: got "maybe", expected true or false: undo what was done last; {REMEDY}',
    ),
    ("refine", {"session": None, "clicks": []}, f"clicks: got an unknown name, expected click; {REMEDY}"),
    ("measure", {}, f"session: got nothing, expected the session's handle, as returned by segment; {REMEDY}"),
    (
        "measure",
        {"session": "x" * 101},
        f'session: got "{"x" * 59}... (103 characters), expected '
        f"the session's handle, as returned by segment; {REMEDY}",
    ),
    (
        "export",
        {"session": None, "formats": ["tiff"]},
        f'formats[0]: got "tiff", expected a list of one or more of {", ".join(FORMATS)}; {REMEDY}',
    ),
    (
        "export",
        {"session": None, "formats": [".dcm"]},
        "mask.dcm: got an image that is no DICOM, expected one for .dcm; save .png, .json, or of a volume .nii.gz.",
    ),
    ("repair", {}, "tool: got 'repair', expected one of segment, refine, measure, export; call one of them"),
]


def test_wrong_arguments_are_a_line_for_every_tool(root):
    lines = run(said, root, *[(tool, arguments) for tool, arguments, _ in WRONG])
    assert lines == [line for _, _, line in WRONG]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        *((word, "mask.png") for word in (".PNG", "PNG", ".png", " png ")),
        *((word, "mask.json") for word in ("JSON", ".Json", "COCO")),
        ("OVERLAY", "overlay.png"),
    ],
)
def test_a_format_is_taken_however_it_is_written(given, name, root):
    async def ask():
        async with connect(server(root)) as client:
            _, told = await call(client, "segment", image="scan.png", region=[0.1, 0.1, 0.5, 0.5])
            _, exported = await call(client, "export", session=told["session"], formats=[given])
            return exported

    assert list(run(ask)["resources"]) == [name]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("NIfTI", "nifti"),
        ("nii", ".nii"),
        ("NII.GZ", ".nii.gz"),
        ("Nrrd", "nrrd"),
        ("dicom", "dicom-seg"),
        ("DCM", ".dcm"),
    ],
)
def test_a_format_of_a_volume_is_taken_however_it_is_written(given, name):
    assert TypeAdapter(Formats).validate_python([given]) == [name]


def test_a_wrong_resource_is_a_line(root):
    async def ask(uri):
        async with connect(server(root)) as client:
            await client.read_resource(uri)

    for uri, line in (
        ("ibisagent://session/x/mask.png", "session: got an unknown handle, or one whose session has ended; begin one"),
        ("ibisagent://session/x/none", "resource: got 'ibisagent://session/x/none', expected one of ibisagent://"),
    ):
        with pytest.raises(BaseExceptionGroup) as caught:
            run(ask, uri)
        fault = caught.value
        while isinstance(fault, BaseExceptionGroup):
            fault = fault.exceptions[0]
        assert isinstance(fault, McpError)
        assert str(fault).startswith(line)
        assert "\n" not in str(fault)


def test_a_file_too_large_is_named(root):
    async def ask():
        async with connect(server(root, limits=Limits(file_bytes=9))) as client:
            data = "data:image/png;base64," + base64.b64encode(bytes(99)).decode()
            return [
                await call_refused(client, "segment", image=each, region=[0, 0, 1, 1]) for each in ("scan.png", data)
            ]

    lines = run(ask)
    assert [line.partition(": ")[0] for line in lines] == ["scan.png", "the data URL"]
    assert all("got 1 MiB, expected at most" in line for line in lines)


def test_every_argument_says_what_it_expects_and_no_other_is_taken(root):
    async def ask():
        async with connect(server(root)) as client:
            return (await client.list_tools()).tools

    for tool in run(ask):
        assert tool.inputSchema["additionalProperties"] is False
        for name, schema in tool.inputSchema["properties"].items():
            described = [each for each in (schema, *schema.get("anyOf", ())) if "description" in each]
            assert described, f"{tool.name}: {name}"


@pytest.mark.parametrize("request_", [None, "Segment the bright object."])
def test_a_session_may_begin_with_clicks_and_a_box_and_no_words(request_, root, pixels):
    words = {} if request_ is None else {"request": request_}

    async def ask():
        async with connect(server(root)) as client:
            _, told = await call(
                client,
                "segment",
                image="scan.png",
                region=[0.2, 0.2, 0.9, 0.9],
                clicks=[[0.5, 0.4], [0.8, 0.8, 0], [0.05, 0.1, 1]],
                **words,
            )
            place = f"ibisagent://session/{told['session']}"
            record = json.loads(await read_resource(client, f"{place}/trajectory.json"))
            mask = json.loads(await read_resource(client, f"{place}/mask.json"))
            await call(client, "refine", session=told["session"], undo=True)
            return mask, record, json.loads(await read_resource(client, f"{place}/mask.json"))

    mask, record, undone = run(ask)
    prompts = [Box(0.2, 0.2, 0.9, 0.9), Click(0.5, 0.4, True), Click(0.8, 0.8, False), Click(0.05, 0.1, True)]

    def direct(prompts):
        asked = {"image": pixels, "request": "x", "prompts": prompts}
        return build_graph(script(STOP), "disk").invoke(asked)["mask"]

    assert mask == direct(prompts)
    assert undone == direct(prompts[:-1])
    assert area(mask) > area(undone) > 0
    assert record["request"] == (request_ or "Segment what is marked.")


def test_a_clicking_model_needs_words_or_marks(root):
    (line,) = run(partial(said, acts=True), root, ("segment", {"image": "scan.png"}))
    assert line == "request: got nothing, expected a text, clicks, a region or a mask; add one of them."


def test_formats_are_words_or_the_endings_of_the_command_line(root, tmp_path):
    assert set(typing.get_args(Format)) == set(FORMATS) >= set(EXTENSIONS)
    assert set(FORMATS.values()) == set(MEDIA_TYPES)

    async def ask():
        async with connect(server(root, out=tmp_path / "out")) as client:
            _, told = await call(client, "segment", image="scan.png", region=[0.1, 0.1, 0.5, 0.5])
            _, exported = await call(client, "export", session=told["session"], formats=[".png", "json", "png"])
            return exported["files"]

    (tmp_path / "out").mkdir()
    files = run(ask)
    assert sorted(files) == ["mask.json", "mask.png"]
    image = open_image(root / "scan.png")
    masks = [read_mask(tmp_path / "out" / file, image) for file in files.values()]
    assert np.array_equal(*masks)
    assert masks[0].any()
