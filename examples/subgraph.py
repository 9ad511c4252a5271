"""The loop as a node: a state of its own, a shared one, and several targets at once: `python examples/subgraph.py`."""
# ruff: noqa: T201

from typing import Any

from langgraph.graph import START, StateGraph
from scripted import run_example, scan
from typing_extensions import TypedDict

from ibisagent.agent import build_graph
from ibisagent.agent.integrations import ImageCatalog, fan_out, render_label_map, segmentation_node, shared_state_graph


class ParentState(TypedDict, total=False):
    """A parent's state; it gets no other keys of the loop."""

    image: Any
    request: str
    targets: list[str]
    segmentation: dict[str, Any]  # what the function node keeps
    mask: dict[str, Any]  # what a graph with the same keys writes
    stop: str
    segmentations: dict[str, Any]
    labels: dict[str, Any]


def build_parent(node: Any, **options: Any) -> Any:
    """Compile the smallest parent graph of a node."""
    graph = StateGraph(ParentState)
    graph.add_node("segment", node)
    graph.add_edge(START, "segment")
    return graph.compile(**options)


def main() -> None:
    """Segment the same picture three ways."""
    # No checkpointer here: the parent's keeps the run, step by step, and resumes it after its process was killed.
    loop = build_graph("centre", "geocut", images=ImageCatalog({"scan 1": scan()}))
    asked = {"image": "scan 1", "request": "Segment the liver."}
    own = build_parent(segmentation_node(loop)).invoke(asked)
    shared = build_parent(shared_state_graph(loop)).invoke(asked)
    many = build_parent(fan_out(loop)).invoke({"image": "scan 1", "targets": ["liver", "spleen"]})
    print(own["segmentation"]["stop"], own["segmentation"]["rle"] == shared["mask"])
    print(many["labels"]["values"], render_label_map(many["labels"]).shape)


if __name__ == "__main__":
    run_example(main)
