"""The loop as a node: a state of its own, a shared one, and several targets at once: `python examples/subgraph.py`."""
# ruff: noqa: T201

from typing import Any

from langgraph.graph import START, StateGraph
from scripted import run, scan
from typing_extensions import TypedDict

from ibisagent.agent import build_graph
from ibisagent.agent.integrations import ImageCatalog, fan_out, render_label_map, segmentation_node, shared_state_graph


class Parent(TypedDict, total=False):
    """A parent's state; what it does not name, it does not see."""

    image: Any
    request: str
    targets: list[str]
    segmentation: dict[str, Any]  # what the function node keeps
    mask: dict[str, Any]  # what a graph with the same keys writes
    stop: str
    segmentations: dict[str, Any]
    labels: dict[str, Any]


def parent(node: Any, **options: Any) -> Any:
    """Compile the smallest parent of a node."""
    graph = StateGraph(Parent)
    graph.add_node("segment", node)
    graph.add_edge(START, "segment")
    return graph.compile(**options)


def main() -> None:
    """Segment the same picture three ways."""
    # No checkpointer here: a parent's keeps the run, step by step, and takes it up after a death.
    loop = build_graph("centre", "geocut", images=ImageCatalog({"scan 1": scan()}))
    asked = {"image": "scan 1", "request": "Segment the liver."}
    own = parent(segmentation_node(loop)).invoke(asked)
    shared = parent(shared_state_graph(loop)).invoke(asked)
    many = parent(fan_out(loop)).invoke({"image": "scan 1", "targets": ["liver", "spleen"]})
    print(own["segmentation"]["stop"], own["segmentation"]["rle"] == shared["mask"])
    print(many["labels"]["values"], render_label_map(many["labels"]).shape)


if __name__ == "__main__":
    run(main)
