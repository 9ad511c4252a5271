"""The same mask through every entry point, and a parent's limits, context and threads do not change it."""

import asyncio
from dataclasses import dataclass

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from subgraph import ParentState
from support.fakes import STOP, FunctionPolicy, positive, script
from support.parents import ENTRY_POINTS, REQUEST, open_entry_point

from ibisagent.agent import LoopConfig, build_graph
from ibisagent.agent.integrations import ImageCatalog, segmentation_node, shared_state_graph
from ibisagent.tools.masks.rle import area

THREAD = {"configurable": {"thread_id": "1"}}
CLICKS = [positive(0.06 + 0.08 * number, 0.4) for number in range(12)]
LONG = script(*CLICKS, STOP)


@pytest.fixture
def direct(pixels):
    def run(policy, segmenter="geocut", config=None):
        return build_graph(policy, segmenter, config).invoke({"image": pixels, "request": REQUEST})

    return run


@pytest.mark.parametrize("kind", ENTRY_POINTS)
@pytest.mark.parametrize("policy", ["centre", "random", LONG], ids=["centre", "random", "script"])
def test_every_entry_point_gives_the_mask_of_direct_invoke(kind, policy, pixels, direct):
    graph, start, read = open_entry_point(kind, policy, root={"scan": pixels})
    expected = direct(policy)["mask"]
    assert read(graph.invoke(start)) == expected
    assert expected["counts"] != "PP<"


@pytest.mark.parametrize("kind", ENTRY_POINTS)
def test_the_async_entry_points_do_the_same(kind, pixels, direct):
    graph, start, read = open_entry_point(kind, LONG, root={"scan": pixels})
    assert read(asyncio.run(graph.ainvoke(start))) == direct(LONG)["mask"]


@pytest.mark.parametrize("kind", ENTRY_POINTS)
@pytest.mark.parametrize("limit", [25, 8])
def test_a_parent_s_recursion_limit_does_not_cut_a_run_short(kind, limit, pixels, direct):
    """13 steps are 40 super-steps, and unreadable replies in between are more."""
    policy = script(*CLICKS[:4], "what?", "what?", *CLICKS[4:], STOP)
    graph, start, read = open_entry_point(kind, policy, "disk", root={"scan": pixels})
    whole = direct(policy, "disk")
    assert read(graph.invoke(start, {"recursion_limit": limit})) == whole["mask"]
    assert (whole["stop"], len(whole["steps"])) == ("terminated", 15)


def test_the_bare_graph_as_a_node_ends_typed_under_a_limit_of_25(pixels):
    """It counts in the parent's limit; `shared_state_graph` does not."""
    parent = StateGraph(ParentState)
    parent.add_node("segment", build_graph(LONG, "disk", images=ImageCatalog({"scan": pixels})))
    parent.add_edge(START, "segment")
    ended = parent.compile().invoke({"image": "scan", "request": REQUEST}, {"recursion_limit": 25})
    assert ended["stop"] == "budget"
    assert ended["mask"]["counts"] != "PP<"


@dataclass
class ParentFields:
    """A parent's state as an object."""

    image: str
    request: str
    segmentation: dict | None = None


def test_a_parent_s_state_may_be_an_object(pixels, direct):
    parent = StateGraph(ParentFields)
    parent.add_node(
        "segment", segmentation_node(build_graph("centre", images=ImageCatalog({"scan": pixels}), segmenter="geocut"))
    )
    parent.add_edge(START, "segment")
    ended = parent.compile().invoke({"image": "scan", "request": REQUEST})
    assert ended["segmentation"]["rle"] == direct("centre")["mask"]


@dataclass
class Clinic:
    """A parent's context that knows nothing of ours."""

    user: str


@pytest.mark.parametrize("make", [segmentation_node, shared_state_graph])
@pytest.mark.parametrize("context", [Clinic("a"), {"user": "a"}, None])
def test_a_parent_may_have_any_context(make, context, pixels):
    parent = StateGraph(ParentState, context_schema=type(context) if context is not None else None)
    parent.add_node("segment", make(build_graph("centre", "disk", images=ImageCatalog({"scan": pixels}))))
    parent.add_edge(START, "segment")
    ended = parent.compile().invoke({"image": "scan", "request": REQUEST}, context=context)
    assert (ended.get("stop") or ended["segmentation"]["stop"]) == "terminated"


class Flag:
    """Set after so many looks at it."""

    def __init__(self, looks):
        self.looks = looks

    def is_set(self):
        self.looks -= 1
        return self.looks < 0


@pytest.mark.parametrize("kind", ["function node", "shared state", "tool", "fan-out"])
def test_the_event_in_a_parent_s_context_cancels(kind, pixels, direct):
    graph, start, read = open_entry_point(kind, LONG, "disk", root={"scan": pixels})
    mask = read(graph.invoke(start, context={"cancel": Flag(30)}))
    assert 0 < area(mask) < area(direct(LONG, "disk")["mask"])


@pytest.mark.parametrize("kind", ["function node", "tool"])
def test_the_loop_s_events_reach_the_parent_s_stream(kind, pixels):
    graph, start, _ = open_entry_point(kind, LONG, "disk", root={"scan": pixels})
    told = [event["event"] for event in graph.stream(start, stream_mode="custom")]
    assert (told.count("step"), told[-1]) == (13, "end")


@pytest.mark.parametrize("kind", ["shared state", "fan-out", "supervisor"])
def test_events_of_what_is_a_graph_itself_come_with_the_subgraphs(kind, pixels):
    graph, start, _ = open_entry_point(kind, LONG, "disk", root={"scan": pixels})
    streamed = graph.stream(start, stream_mode="custom", subgraphs=True)
    told = [(len(place), event["event"]) for place, event in streamed]
    assert (told.count((1, "step")), told[-1]) == (13, (1, "end"))


@pytest.mark.parametrize("kind", ENTRY_POINTS)
def test_a_second_request_on_a_parent_s_thread_is_a_run_of_its_own(kind, pixels):
    seen = []
    policy = FunctionPolicy(lambda look: seen.append(look.step) or (STOP if look.step else positive(0.5, 0.5)))
    graph, start, read = open_entry_point(kind, policy, "disk", root={"scan": pixels}, checkpointer=InMemorySaver())
    first = read(graph.invoke(start, THREAD))
    if "image" in start:
        assert read(graph.invoke(start, THREAD)) == first
        assert seen == [0, 1, 0, 1]
    else:
        assert seen == [0, 1]


def test_a_node_maps_any_parent_s_state_to_ours_and_back(pixels):
    node = segmentation_node(
        build_graph("centre", "disk", LoopConfig(max_steps=1)),
        make_input=lambda state: {"image": pixels, "request": f"Segment the {state['request']}."},
        make_update=lambda ended: {"stop": f"{ended['stop']}: {ended['request']}"},
    )
    parent = StateGraph(ParentState)
    parent.add_node("segment", node)
    parent.add_edge(START, "segment")
    assert parent.compile().invoke({"request": "liver"})["stop"] == "max_steps: Segment the liver."
