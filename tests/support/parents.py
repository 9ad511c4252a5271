"""Every way into the loop from a parent graph, made alike: what to invoke, with what, and where the mask is then."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

from langchain.agents import create_agent
from langchain_core.messages import AIMessage

sys.path.append(str(Path(__file__).parents[2] / "examples"))

from scripted import Scripted, calls
from subgraph import parent
from supervisor import supervisor

from ibisagent.agent import build_graph
from ibisagent.agent.integrations import ImageCatalog, fan_out, segmentation_node, segmentation_tool, shared_state_graph

REQUEST = "Segment the organ."
DOORS = ("function node", "shared state", "fan-out", "tool", "supervisor")


class Door(NamedTuple):
    """``read`` gives the RLE out of what the graph ends with."""

    graph: Any
    start: Any
    read: Any


def door(kind, policy, segmenter="geocut", config=None, *, root, store=None, **options):
    """``root``: a mapping with an image "scan", or a folder with one; ``options`` go to the parent's `compile`."""
    pictures = ImageCatalog(root)
    loop = build_graph(policy, segmenter, config, images=pictures, store=store)
    asked = {"image": "scan", "request": REQUEST}
    if kind == "function node":
        return Door(parent(segmentation_node(loop), **options), asked, lambda ended: ended["segmentation"]["rle"])
    if kind == "shared state":
        return Door(parent(shared_state_graph(loop), **options), asked, lambda ended: ended["mask"])
    if kind == "fan-out":
        start = {"image": "scan", "targets": {"organ": REQUEST}}
        return Door(parent(fan_out(loop), **options), start, lambda ended: ended["segmentations"]["organ"]["rle"])
    tool = segmentation_tool(policy, segmenter, config, images=pictures, store=store)
    model = Scripted(replies=[calls(("segment_image", asked)), AIMessage("Done.")])
    start = {"messages": [("user", REQUEST)]}
    if kind == "tool":
        return Door(create_agent(model, [tool], **options), start, lambda ended: ended["messages"][2].artifact["rle"])
    head = Scripted(replies=[calls(("ask_radiology", {"task": REQUEST})), AIMessage("Done.")])
    desk = supervisor(head, model, tool, **options)
    return Door(desk, start, lambda ended: ended["messages"][2].artifact[0]["rle"])
