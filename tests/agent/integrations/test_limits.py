"""What a parent pays: the size of its state, and runs side by side that never see each other."""

import asyncio
import json

import numpy as np
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from scripted import ScriptedChatModel, tool_calls
from support.fakes import STOP, FunctionPolicy, positive
from support.parents import REQUEST

from ibisagent.agent import LoopConfig, build_graph
from ibisagent.agent.checkpoints import open_checkpointer
from ibisagent.agent.integrations import ImageCatalog, fan_out, segmentation_tool
from ibisagent.training.phantoms import MODALITIES, draw

THREAD = {"configurable": {"thread_id": "1"}}


def size(values):
    """Bytes of a state as a checkpointer writes it."""
    return len(JsonPlusSerializer().dumps_typed(values)[1])


@pytest.mark.slow
@pytest.mark.parametrize("picture", [False, True])
def test_ten_large_scans_leave_a_parent_s_state_small(picture, tmp_path):
    scans = {f"scan {number}": draw(MODALITIES[number % 9], number, 1024).image for number in range(10)}
    told = [
        part
        for name in scans
        for part in (tool_calls(("segment_image", {"image": name, "request": REQUEST})), AIMessage("."))
    ]
    config = LoopConfig(max_steps=5)
    tool = segmentation_tool(
        "random", "geocut", config, root=scans, trajectory_folder=tmp_path, include_overlay=picture
    )
    sizes = [0]
    with open_checkpointer(tmp_path / "parent.db") as saver:
        agent = create_agent(ScriptedChatModel(replies=told), [tool], checkpointer=saver)
        for name in scans:
            agent.invoke({"messages": [("user", f"Look at {name}.")]}, THREAD)
            sizes.append(size(agent.get_state(THREAD).values))
        values = agent.get_state(THREAD).values
    grown = np.diff(sizes)
    print("bytes of state a scan:", grown.tolist(), "database:", (tmp_path / "parent.db").stat().st_size)  # noqa: T201
    assert max(grown) < 30_000
    said = values["messages"].__repr__()
    assert ("base64" in said) == picture
    assert str(tmp_path) not in said


def own(request):
    """Two clicks that only this request makes."""
    number = int(request.split()[-1].rstrip("."))
    return [(0.05 + 0.05 * number, 0.3), (0.05 + 0.05 * number, 0.7)]


OWN = FunctionPolicy(lambda look: positive(*own(look.request)[look.step]) if look.step < 2 else STOP)


@pytest.mark.parametrize("segmenter", ["disk", "geocut"])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "tasks"])
def test_sixteen_calls_at_once_do_not_mix(segmenter, asynchronous, pixels):
    scans = {f"scan {number}": np.roll(pixels, 3 * number, axis=1) for number in range(16)}
    asked = [{"image": name, "request": f"Segment organ {number}."} for number, name in enumerate(scans)]
    model = ScriptedChatModel(replies=[tool_calls(*(("segment_image", ask) for ask in asked)), AIMessage("Done.")])
    tool = segmentation_tool(OWN, segmenter, root=scans)
    agent = create_agent(model, [tool], checkpointer=InMemorySaver())
    start = {"messages": [("user", "all of them")]}
    ended = asyncio.run(agent.ainvoke(start, THREAD)) if asynchronous else agent.invoke(start, THREAD)
    loop = build_graph(OWN, segmenter)
    for ask, message in zip(asked, ended["messages"][2:18], strict=True):
        direct = loop.invoke(ask | {"image": scans[ask["image"]]})
        assert message.artifact["rle"] == direct["mask"]
        assert (message.artifact["image"]["uri"], message.artifact["request"]) == (ask["image"], ask["request"])
        assert len(direct["steps"]) == 3


def test_sixteen_targets_at_once_do_not_mix(pixels):
    loop = build_graph(OWN, "geodesic", images=ImageCatalog({"scan": pixels}))
    ended = fan_out(loop).invoke({"image": "scan", "targets": [f"organ {number}" for number in range(16)]})
    assert len(ended["segmentations"]) == 16
    for one in ended["segmentations"].values():
        assert one["rle"] == loop.invoke({"image": "scan", "request": one["request"]})["mask"]
    assert json.loads(json.dumps(ended)) == ended
