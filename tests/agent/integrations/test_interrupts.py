"""A person inside a parent: the question surfaces there, and the answer finds its run."""

import asyncio
import time

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command
from scripted import ScriptedChatModel, tool_calls
from subgraph import build_parent
from support.fakes import STOP, CountingSegmenter, FunctionPolicy, RecordingPolicy, negative, positive, script
from support.parents import ENTRY_POINTS, REQUEST, open_entry_point

from ibisagent.agent import LoopConfig, RunStore, build_graph
from ibisagent.agent.integrations import ImageCatalog, fan_out, segmentation_tool
from ibisagent.tools.masks.rle import decode

THREAD = {"configurable": {"thread_id": "1"}}
REVIEW = LoopConfig(review=True)
REPLIES = (positive(0.5, 0.4), STOP, STOP, STOP)


def waiting(graph):
    return graph.get_state(THREAD).interrupts


@pytest.mark.parametrize("kind", ENTRY_POINTS)
def test_a_review_inside_surfaces_and_goes_on_with_a_person_s_click(kind, pixels):
    policy = RecordingPolicy(script(*REPLIES))
    graph, start, read = open_entry_point(
        kind, policy, "disk", REVIEW, root={"scan": pixels}, checkpointer=InMemorySaver()
    )
    graph.invoke(start, THREAD)
    (question,) = waiting(graph)
    asked = question.value
    assert (asked["ask"], asked["request"], asked["image"]["uri"]) == ("review", REQUEST, "scan")
    first = asked["mask"]

    graph.invoke(Command(resume="Positive Point (0.8, 0.8)"), THREAD)
    (question,) = waiting(graph)
    assert len(question.value["prompts"]) == 2
    mask = read(graph.invoke(Command(resume="accept"), THREAD))
    assert mask == question.value["mask"]
    assert decode(mask)[decode(first)].all()
    assert mask != first
    assert [look.step for look in policy.seen] == [0, 1, 2]  # nothing was asked twice


def test_the_async_twin_waits_as_well(pixels):
    async def story():
        made = open_entry_point(
            "tool", script(*REPLIES), "disk", REVIEW, root={"scan": pixels}, checkpointer=InMemorySaver()
        )
        graph, start, read = made
        await graph.ainvoke(start, THREAD)
        await graph.ainvoke(Command(resume=negative(0.5, 0.4)), THREAD)
        return read(await graph.ainvoke(Command(resume="accept"), THREAD))

    assert not decode(asyncio.run(story())).any()


@pytest.mark.parametrize("kind", ["function node", "tool"])
def test_a_person_as_the_policy_clicks_through_a_parent(kind, pixels):
    graph, start, read = open_entry_point(kind, "person", "disk", root={"scan": pixels}, checkpointer=InMemorySaver())
    graph.invoke(start, THREAD)
    for said in ("Positive Point (0.3, 0.5)", "Backtrack", "Positive Point (0.6, 0.5)"):
        graph.invoke(Command(resume=said), THREAD)
    mask = decode(read(graph.invoke(Command(resume="Terminate"), THREAD)))
    assert mask[48, 76]
    assert not mask[48, 38]


def two_at_once(kind, pixels):
    """A parent in which two runs ask at the same time, what to begin it with, and the masks by request."""
    pictures, replies = ImageCatalog({"scan": pixels}), script(*REPLIES)
    asks = ("Segment the liver.", "Segment the spleen.")
    if kind == "fan-out":
        graph = build_parent(
            fan_out(build_graph(replies, "disk", REVIEW, images=pictures)), checkpointer=InMemorySaver()
        )
        start = {"image": "scan", "targets": ["liver", "spleen"]}
        return graph, start, lambda end: {one["request"]: one["rle"] for one in end["segmentations"].values()}
    model = ScriptedChatModel(
        replies=[
            tool_calls(*(("segment_image", {"image": "scan", "request": ask}) for ask in asks)),
            AIMessage("Done."),
        ]
    )
    tool = segmentation_tool(replies, "disk", REVIEW, images=pictures)
    graph = create_agent(model, [tool], checkpointer=InMemorySaver())
    read = lambda end: {one.artifact["request"]: one.artifact["rle"] for one in end["messages"] if one.type == "tool"}  # noqa: E731
    return graph, {"messages": [("user", "x")]}, read


@pytest.mark.parametrize("kind", ["fan-out", "tool"])
@pytest.mark.parametrize("last", ["Segment the liver.", "Segment the spleen."])
def test_two_interrupts_at_once_are_answered_by_their_ids(kind, last, pixels):
    graph, start, read = two_at_once(kind, pixels)
    graph.invoke(start, THREAD)
    ids = {question.value["request"]: question.id for question in waiting(graph)}
    assert sorted(ids) == ["Segment the liver.", "Segment the spleen."]
    first = next(request for request in ids if request != last)

    graph.invoke(
        Command(resume={ids[first]: "Positive Point (0.2, 0.2)", ids[last]: "Positive Point (0.8, 0.8)"}), THREAD
    )
    ids = {question.value["request"]: question.id for question in waiting(graph)}
    graph.invoke(Command(resume={ids[first]: "accept"}), THREAD)  # one alone
    (question,) = waiting(graph)
    assert (question.value["request"], question.id) == (last, ids[last])
    masks = read(graph.invoke(Command(resume={question.id: "accept"}), THREAD))
    at = {request: (decode(mask)[19, 25], decode(mask)[77, 102]) for request, mask in masks.items()}
    assert at == {first: (True, False), last: (False, True)}


class Uneven(ImageCatalog):
    """Takes its time over one name, another one each time, so that calls begin in another order."""

    late = "a"

    def to_reference(self, source):
        time.sleep(0.2 * (source == self.late))
        return super().to_reference(source)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "tasks"])
def test_calls_that_share_a_node_s_task_find_their_own_runs_again(asynchronous, pixels):
    """A bare `ToolNode` runs all calls of a message in one task, whichever of them begins first."""
    pictures = Uneven(dict.fromkeys("abc", pixels))
    by_name = FunctionPolicy(
        lambda look: STOP if look.step else positive(0.2 + 0.3 * "abc".index(look.request[-1]), 0.5)
    )
    tool = segmentation_tool(by_name, "disk", REVIEW, images=pictures)
    graph = StateGraph(MessagesState).add_node("tools", ToolNode([tool])).add_edge(START, "tools")
    graph = graph.compile(checkpointer=InMemorySaver())

    def invoke(given):
        return asyncio.run(graph.ainvoke(given, THREAD)) if asynchronous else graph.invoke(given, THREAD)

    asked = [("segment_image", {"image": name, "request": f"Segment {name}"}) for name in "abc"]
    ended = invoke({"messages": [tool_calls(*asked)]})
    for late in "cbaab" * 4:  # a call that asks stops those beside it, wherever they are
        if not waiting(graph):
            break
        pictures.late = late
        ended = invoke(Command(resume={question.id: "accept" for question in waiting(graph)}))
    assert all(one.status == "success" for one in ended["messages"][1:]), ended["messages"]
    told = [(one.artifact["image"]["uri"], one.artifact["request"]) for one in ended["messages"][1:]]
    assert told == [(name, f"Segment {name}") for name in "abc"]
    assert [round(one.artifact["measurements"]["centroid"][0], 1) for one in ended["messages"][1:]] == [0.2, 0.5, 0.8]


def test_a_mask_of_an_earlier_turn_is_found_in_the_parent_s_messages(pixels):
    """Another process, whose run store is empty, goes on with the parent's thread."""
    saver, pictures = InMemorySaver(), ImageCatalog({"scan": pixels})

    def turn(*said, policy):
        tool = segmentation_tool(policy, CountingSegmenter(0.1), images=pictures, store=RunStore())
        agent = create_agent(ScriptedChatModel(replies=list(said)), [tool], checkpointer=saver)
        return agent.invoke({"messages": [("user", "go on")]}, THREAD)["messages"][-2].artifact

    ask = {"image": "scan", "request": REQUEST}
    said = [tool_calls(("segment_image", ask)), AIMessage("Done.")]
    first = turn(*said, policy=script(positive(0.3, 0.5), STOP))
    said += [tool_calls(("segment_image", ask | {"mask": first["mask_key"]})), AIMessage("Better.")]
    second = turn(*said, policy=script(positive(0.8, 0.8), STOP))
    assert (first["measurements"]["components"], second["measurements"]["components"]) == (1, 2)
