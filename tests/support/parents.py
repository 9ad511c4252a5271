"""Every entry point into the loop from a parent graph: the graph to invoke, its input, and where the mask is then."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from langchain.agents import create_agent
from langchain_core.messages import AIMessage

sys.path.append(str(Path(__file__).parents[2] / "examples"))

from scripted import ScriptedChatModel, tool_calls
from subgraph import build_parent
from supervisor import build_supervisor

from ibisagent.agent import LoopConfig, Policy, RunStore, build_graph
from ibisagent.agent.integrations import ImageCatalog, fan_out, segmentation_node, segmentation_tool, shared_state_graph
from ibisagent.tools.segmenters import Segmenter

__all__ = [
    "ENTRY_POINTS",
    "REQUEST",
    "EntryPoint",
    "ScriptedChatModel",
    "build_parent",
    "open_entry_point",
    "tool_calls",
]

REQUEST = "Segment the organ."
ENTRY_POINTS = ("function node", "shared state", "fan-out", "tool", "supervisor")


class EntryPoint(NamedTuple):
    """A parent graph and its input; ``read`` returns the RLE from its output."""

    graph: Any
    start: Any
    read: Callable[[Any], Any]


def open_entry_point(
    kind: str,
    policy: Policy | str,
    segmenter: Segmenter | str = "geocut",
    config: LoopConfig | None = None,
    *,
    root: Path | Mapping[str, Any],
    store: RunStore | None = None,
    **options: Any,
) -> EntryPoint:
    """Build a parent of a kind; ``root``: a mapping or a folder with an image "scan"; ``options``: of `compile`."""
    images = ImageCatalog(root)
    loop = build_graph(policy, segmenter, config, images=images, store=store)
    asked = {"image": "scan", "request": REQUEST}
    if kind == "function node":
        return EntryPoint(
            build_parent(segmentation_node(loop), **options), asked, lambda ended: ended["segmentation"]["rle"]
        )
    if kind == "shared state":
        return EntryPoint(build_parent(shared_state_graph(loop), **options), asked, lambda ended: ended["mask"])
    if kind == "fan-out":
        return EntryPoint(
            build_parent(fan_out(loop), **options),
            {"image": "scan", "targets": {"organ": REQUEST}},
            lambda ended: ended["segmentations"]["organ"]["rle"],
        )
    tool = segmentation_tool(policy, segmenter, config, images=images, store=store)
    model = ScriptedChatModel(replies=[tool_calls(("segment_image", asked)), AIMessage("Done.")])
    start = {"messages": [("user", REQUEST)]}
    if kind == "tool":
        return EntryPoint(
            create_agent(model, [tool], **options), start, lambda ended: ended["messages"][2].artifact["rle"]
        )
    head = ScriptedChatModel(replies=[tool_calls(("ask_radiology", {"task": REQUEST})), AIMessage("Done.")])
    agent = build_supervisor(head, model, tool, **options)
    return EntryPoint(agent, start, lambda ended: ended["messages"][2].artifact[0]["rle"])
