"""The tool: what a model is told, what a program gets, and what goes wrong, as a line that a model can act on."""

import json
import os

import numpy as np
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.types import Command
from PIL import Image
from support.fakes import NOT_THERE, STOP, CountingSegmenter, FunctionPolicy, RecordingPolicy, positive, script
from support.parents import ScriptedChatModel, tool_calls

from ibisagent.agent import LoopConfig, RunStore, build_graph
from ibisagent.agent.checkpoints import open_checkpointer
from ibisagent.agent.integrations import ImageCatalog, segmentation_tool
from ibisagent.agent.policies import Completion
from ibisagent.agent.replay import replay
from ibisagent.agent.trajectory_files import read_trajectories
from ibisagent.tools.errors import InputError, MissingExtra, StoreError
from ibisagent.tools.export import save_mask
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import decode, rle_key

ASK = {"image": "scan.png", "request": "Segment the organ."}
ONCE = script(positive(0.5, 0.4), STOP)


@pytest.fixture
def root(tmp_path, pixels):
    folder = tmp_path / "DOE^JANE"
    folder.mkdir()
    Image.fromarray(pixels).save(folder / "scan.png")
    return folder


def told(tool, **asked):
    """The message that a parent gets."""
    return tool.invoke({"name": tool.name, "args": ASK | asked, "id": "call_1", "type": "tool_call"})


def test_text_for_the_model_and_an_artifact_for_the_program(root, pixels):
    message = told(segmentation_tool(ONCE, "disk", root=root))
    direct = build_graph(ONCE, "disk").invoke({"image": pixels, "request": ASK["request"]})
    assert message.status == "success"
    assert message.content.startswith("Found: area 129 px, 14 x 14 px, 1 part; 129 of the picture's 128 x 96 px; box [")
    assert message.content.endswith(f"Mask reference: {rle_key(direct['mask'])}.")
    artifact = message.artifact
    assert artifact["rle"] == direct["mask"]
    assert artifact["measurements"] == direct["measurements"]
    assert artifact["image"] == {"uri": "scan.png", "slice": None, "window": None}
    assert (artifact["found"], artifact["stop"], artifact["trajectory"]) == (True, "terminated", None)
    assert json.loads(json.dumps(artifact)) == artifact


def test_only_what_is_asked_is_in_the_schema():
    schema = segmentation_tool(ONCE, "disk").tool_call_schema.model_json_schema()
    assert schema["required"] == ["image", "request"]
    assert sorted(schema["properties"]) == ["image", "mask", "region", "request", "slice", "window"]


def test_nothing_of_a_place_or_a_name_reaches_the_parent(root):
    message = told(segmentation_tool("centre", "geocut", root=root, trajectory_folder=root.parent))
    said = message.model_dump_json()
    assert "DOE" not in said
    assert str(root.parent) not in said


@pytest.mark.parametrize(
    ("policy", "config", "words"),
    [
        (script(NOT_THERE), None, "Not found. The run ended by itself: there is no such target in this picture."),
        (
            FunctionPolicy(lambda _: 1 / 0),
            None,
            "There is no mask. The clicking model failed (ZeroDivisionError); try again later",
        ),
        (
            FunctionPolicy(lambda _: Completion(positive(0.3, 0.5), seconds=90.0)),
            LoopConfig(max_seconds=60.0),
            "budget of time, tokens or steps is spent; refine the mask, or allow",
        ),
        ("random", LoopConfig(max_steps=1), "used up its steps; refine the mask, or give a region. The mask may be"),
        (script("?", "?", "?"), None, "There is no mask. The run ended because the clicking model's replies could not"),
    ],
    ids=["absent", "policy down", "budget", "steps", "rubbish"],
)
def test_an_end_without_success_is_told_so_that_a_model_can_act(policy, config, words, root):
    message = told(segmentation_tool(policy, "disk", config, root=root))
    assert words in message.content
    assert "Traceback" not in message.content
    assert message.artifact["stop"] in {"target_absent", "policy_error", "budget", "max_steps", "parse_failures"}


def test_a_failing_segmenter_leaves_the_mask_before(root):
    message = told(
        segmentation_tool(script(positive(0.3, 0.5), positive(0.7, 0.5)), CountingSegmenter(fails_at=2), root=root)
    )
    assert "The segmenter failed (RuntimeError)" in message.content
    assert message.artifact["measurements"]["area_px"] == 509


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"image": "nope.png"}, "nope.png: got a path with no file"),
        ({"image": "broken.png"}, "broken.png: got data that cannot be decoded"),
        ({"image": "empty.png"}, "empty.png: got an empty file"),
        ({"image": ""}, "outside the folders"),
        ({"image": "../secret.png"}, "outside the folders"),
        ({"image": "/etc/passwd"}, "outside the folders"),
        ({"image": "file:///etc/passwd"}, "outside the folders"),
        ({"image": "link.png"}, "outside the folders"),
        ({"image": "loop.png"}, "outside the folders"),
        ({"image": "series"}, "outside the folders"),
        ({"image": "header.mhd"}, "outside the folders"),
        ({"image": "a\0b"}, "outside the folders"),
        ({"image": "http://localhost/scan.png"}, "nothing is fetched from the network"),
        ({"request": " "}, "request: got nothing"),
        ({"region": [0.5, 0.5, 0.1, 0.1]}, "empty box"),
        ({"region": [0, 0, 2, 1]}, "expected a number in [0, 1]"),
        ({"region": [0.5]}, "region: got [0.5], expected a box around it: [x0, y0, x1, y1] from 0 to 1"),
        ({"request": 3}, "request: got 3, expected words that say what to segment"),
        ({"mask": "0123456789abcdef"}, "mask: got a mask reference that is not known here"),
        ({"mask": "../../etc/passwd"}, "outside the folders"),
        ({"slice": "axial:3"}, "slice"),
        ({"window": "lungs?"}, "window"),
    ],
)
def test_wrong_calls_come_back_as_a_line(asked, words, root):
    (root / "broken.png").write_bytes((root / "scan.png").read_bytes()[:99])
    (root / "empty.png").touch()
    Image.new("L", (8, 8)).save(root.parent / "secret.png")
    (root / "link.png").symlink_to(root.parent / "secret.png")
    (root / "loop.png").symlink_to("loop.png")
    (root / "series").mkdir()
    (root / "series" / "1.dcm").symlink_to(root.parent / "secret.png")
    (root / "header.mhd").write_text("ElementDataFile = link.png\n")
    message = told(segmentation_tool("centre", "disk", root=root), **asked)
    assert (message.status, message.artifact) == ("error", None)
    assert message.content.startswith("Error: ")
    assert words in message.content
    assert "\n" not in message.content
    assert "DOE" not in message.content
    assert str(root.parent) not in message.content


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MissingExtra.of("torch", "models"), "pip install -e '.[models]'"),
        (StoreError("run store: no space on /data/DOE"), "could not be stored"),
        (OSError(28, "No space left on device", "/data/DOE"), "No space left on device"),
        (KeyError("/data/DOE"), "something inside failed (KeyError)"),
    ],
)
def test_no_exception_gets_out_of_the_tool(error, words, pixels, monkeypatch):
    class Broken(ImageCatalog):
        def open(self, reference):
            raise error

    message = told(segmentation_tool("centre", "disk", images=Broken({"scan.png": pixels})))
    assert message.status == "error"
    assert words in message.content
    assert "DOE" not in message.content


def test_a_region_is_a_person_s_box_before_the_policy(root):
    policy = RecordingPolicy(script(STOP))
    message = told(segmentation_tool(policy, "geocut", root=root), region=[0.3, 0.2, 0.8, 0.65])
    assert [type(prompt).__name__ for prompt in policy.seen[0].prompts] == ["Box"]
    assert message.artifact["measurements"]["area_px"] > 1500


@pytest.mark.parametrize("keep", [True, False], ids=["store on disk", "new process without a store"])
def test_a_mask_is_refined_by_its_reference(keep, root, tmp_path):
    store = RunStore(tmp_path / "store") if keep else None
    first = told(segmentation_tool(ONCE, "disk", root=root, store=store))
    again = segmentation_tool(
        script(positive(0.8, 0.8), STOP), "disk", root=root, store=RunStore(tmp_path / "store") if keep else None
    )
    second = told(again, mask=first.artifact["mask_key"])
    if keep:
        assert decode(second.artifact["rle"])[decode(first.artifact["rle"])].all()
        assert second.artifact["measurements"]["components"] == 2
    else:
        assert "not known here" in second.content


def test_a_mask_file_beside_the_images_is_refined(root, truth):
    save_mask(root / "mine.png", truth, open_image(root / "scan.png"))
    message = told(segmentation_tool(script(positive(0.95, 0.95), STOP), "disk", root=root), mask="mine.png")
    assert decode(message.artifact["rle"])[truth].all()
    assert message.artifact["measurements"]["area_px"] > truth.sum()


def test_the_record_of_a_run_replays(root, tmp_path):
    records = tmp_path / "records"
    records.mkdir()
    message = told(segmentation_tool("centre", "geocut", root=root, trajectory_folder=records))
    (record,) = read_trajectories(records / message.artifact["trajectory"])
    assert record.image["uri"] == os.path.join("..", "DOE^JANE", "scan.png")
    assert replay(record, "geocut", open_image(records / record.image["uri"])).differences == ()
    assert record.mask == message.artifact["rle"]


def test_a_record_that_cannot_be_written_does_not_cost_the_mask(root, tmp_path):
    records = tmp_path / "records"
    with pytest.raises(InputError, match="no such folder"):
        segmentation_tool("centre", "disk", root=root, trajectory_folder=records)
    records.mkdir()
    tool = segmentation_tool("centre", "disk", root=root, trajectory_folder=records)
    records.rmdir()
    message = told(tool)
    assert message.content.endswith("The record of the run could not be written; tell the operator.")
    assert (message.status, message.artifact["found"], message.artifact["trajectory"]) == ("success", True, None)


def test_neither_checkpoints_nor_questions_hold_a_place(root, tmp_path):
    """The parent's database keeps every step of the run inside."""
    with open_checkpointer(tmp_path / "parent.db") as saver:
        tool = segmentation_tool("centre", "disk", LoopConfig(review=True), root=root, trajectory_folder=tmp_path)
        model = ScriptedChatModel(replies=[tool_calls((tool.name, ASK)), AIMessage("Done.")])
        agent = create_agent(model, [tool], checkpointer=saver)
        agent.invoke({"messages": [("user", "x")]}, {"configurable": {"thread_id": "1"}})
        ended = agent.invoke(Command(resume="accept"), {"configurable": {"thread_id": "1"}})
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("parent.db*"))
    assert ended["messages"][2].artifact["rle"]["counts"].encode() in kept
    assert b"scan.png" in kept
    assert b"DOE" not in kept
    assert str(tmp_path).encode() not in kept


def test_a_person_s_confirmation_is_never_skipped(root):
    message = told(segmentation_tool("centre", "disk", LoopConfig(review=True), root=root))
    assert message.status == "error"
    assert "waits for a person, outside of a graph, expected it inside a graph with a checkpointer" in message.content


def test_one_store_of_images_serves_several_tools(root):
    images = ImageCatalog(root)
    tools = [segmentation_tool("centre", name, images=images) for name in ("disk", "geocut")]
    assert all(told(tool).status == "success" for tool in tools)
    with pytest.raises(InputError, match="root and images"):
        segmentation_tool("centre", "disk", images=images, root=root)


def test_the_root_may_move_while_a_reference_stays(root):
    image = ImageCatalog(root).open({"uri": "scan.png"})
    moved = root.rename(root.with_name("elsewhere"))
    again = ImageCatalog(moved).open({"uri": "scan.png", "sha": image.sha})
    assert np.array_equal(again.pixels, image.pixels)
    Image.fromarray(255 - image.pixels).save(moved / "scan.png")
    with pytest.raises(InputError, match="its pixels have changed"):
        ImageCatalog(moved).open({"uri": "scan.png", "sha": image.sha})


def test_a_name_may_stand_for_an_array(pixels):
    message = told(segmentation_tool(ONCE, "disk", root={"scan.png": pixels, "other": pixels}))
    assert message.artifact["image"]["uri"] == "scan.png"
    unknown = told(segmentation_tool(ONCE, "disk", root={"scan 1": pixels, "scan 2": pixels}))
    assert unknown.content == "Error: image: got 'scan.png', expected one of scan 1, scan 2; choose one of them."
