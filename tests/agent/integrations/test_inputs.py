"""What the loop says of an input that is none: one line with the keys that came and those that were expected."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from support.fakes import STOP, positive, script
from support.parents import REQUEST, ScriptedChatModel, tool_calls
from typing_extensions import TypedDict

from ibisagent.agent import build_graph
from ibisagent.agent.integrations import ImageCatalog, segmentation_node, shared_state_graph
from ibisagent.agent.state import Input
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.rle import encode

MESSAGES = {"messages": [("user", REQUEST)]}
LINE = (
    'got a state without image and request (keys: messages), expected {"image", "request"}; '
    "wrap it with segmentation_tool, or with segmentation_node and its given="
)
ASKED = {"image": "scan", "request": REQUEST}


@pytest.fixture
def loop(pixels):
    return build_graph(script(positive(0.5, 0.4), STOP), "disk", images=ImageCatalog({"scan": pixels}))


def parent(node, schema=MessagesState):
    graph = StateGraph(schema)
    graph.add_node("segment", node)
    graph.add_edge(START, "segment")
    return graph.compile()


def deep_agent(loop, asynchronous):
    """A parent that hands tasks to runnables as `deepagents` does: a state of messages, from inside a tool."""

    @tool
    async def atask(description: str) -> str:
        """Hand a task over."""
        return (await loop.ainvoke({"messages": [("user", description)]}))["messages"][-1].text

    @tool
    def task(description: str) -> str:
        """Hand a task over."""
        return loop.invoke({"messages": [("user", description)]})["messages"][-1].text

    given = atask if asynchronous else task
    model = ScriptedChatModel(replies=[tool_calls((given.name, {"description": "Segment."})), AIMessage("Done.")])
    return create_agent(model, [given])


@pytest.mark.parametrize(
    "make", [lambda loop: loop, shared_state_graph, segmentation_node], ids=["bare", "shared", "function"]
)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_parent_with_messages_alone_is_told_what_the_loop_needs(make, asynchronous, loop):
    graph = parent(make(loop))
    with pytest.raises(InputError) as fault:
        asyncio.run(graph.ainvoke(MESSAGES)) if asynchronous else graph.invoke(MESSAGES)
    assert str(fault.value) == LINE


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_agent_that_hands_over_messages_is_told_what_the_loop_needs(asynchronous, loop):
    agent = deep_agent(loop, asynchronous)
    with pytest.raises(InputError) as fault:
        asyncio.run(agent.ainvoke(MESSAGES)) if asynchronous else agent.invoke(MESSAGES)
    assert str(fault.value) == LINE


def test_a_supervisor_s_node_is_told_what_the_loop_needs(loop):
    """It invokes an agent with its own state, and with the configuration of its node."""
    with pytest.raises(InputError) as fault:
        parent(lambda state, config: loop.invoke(state, config)).invoke(MESSAGES)
    assert str(fault.value) == LINE


@pytest.mark.parametrize(("given", "got"), [({}, "keys: none"), ("scan.png", "str"), ([("user", "x")], "list")])
def test_what_is_no_input_at_all_is_refused(given, got, loop):
    with pytest.raises(InputError) as fault:
        loop.invoke(given)
    assert str(fault.value).startswith(f"got a state without image and request ({got}), expected")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("prompt", "prompts"),
        ("mask", "initial_mask"),
        ("requst", "request"),
        ("clicks", f"one of {', '.join(Input.__annotations__)}"),
        ("messages", f"one of {', '.join(Input.__annotations__)}"),
    ],
)
def test_a_misspelt_key_is_refused_and_the_right_one_named(name, expected, loop, pixels):
    line = f"{name}: got an unknown name, expected {expected}; correct it"
    mapped = segmentation_node(loop, make_input=lambda _: ASKED | {name: None})
    inside = parent(lambda _: loop.invoke(ASKED | {name: None}))
    for run in (
        lambda: loop.invoke(ASKED | {name: None}),
        lambda: asyncio.run(loop.ainvoke(ASKED | {name: None})),
        lambda: list(loop.stream(ASKED | {name: None})),
        lambda: loop.batch([ASKED | {name: None}]),
        lambda: parent(mapped).invoke(MESSAGES),
        lambda: inside.invoke(MESSAGES),
    ):
        with pytest.raises(InputError) as fault:
            run()
        assert str(fault.value) == line


@pytest.mark.parametrize(
    ("name", "got", "expected"),
    [("prompts_actor", "Person", "person or experiment"), ("kind", "ask", "segment or question")],
)
def test_a_word_that_an_input_does_not_have_is_refused(name, got, expected, loop):
    with pytest.raises(InputError) as fault:
        loop.invoke(ASKED | {name: got})
    assert str(fault.value) == f"{name}: got {got!r}, expected {expected}; correct it"


class Fuller(TypedDict, total=False):
    """A parent with keys of its own, some of them nearly the loop's."""

    image: str
    request: str
    prompt: str
    mask: Any
    messages: list
    segmentation: dict


@dataclass
class InputFields:
    """The same as an object."""

    image: str
    request: str
    prompt: str = ""
    mask: Any = None
    segmentation: Any = None


@pytest.mark.parametrize(
    "make", [lambda loop: loop, shared_state_graph, segmentation_node], ids=["bare", "shared", "function"]
)
@pytest.mark.parametrize("schema", [Fuller, InputFields])
def test_a_parent_s_own_keys_pass(make, schema, loop, pixels):
    expected = loop.invoke(ASKED)["mask"]
    ended = parent(make(loop), schema).invoke(ASKED | {"prompt": "You segment."})
    assert ended["prompt"] == "You segment."
    assert (ended.get("segmentation") or {"rle": ended["mask"]})["rle"] == expected


def test_langchain_s_own_tool_of_the_graph_runs(loop):
    """It is in beta; the arguments have to be named, for it knows of none that may be left out."""
    with pytest.warns(match="beta"):
        made = loop.as_tool(arg_types={"image": str, "request": str}, name="segment", description="Segments.")
    assert made.invoke(ASKED)["mask"] == loop.invoke(ASKED)["mask"]


def test_a_mask_by_its_name_lies_below_the_root(tmp_path, pixels, truth):
    from PIL import Image

    (tmp_path / "root").mkdir()
    for place in (tmp_path / "secret.png", tmp_path / "root" / "rough.png"):
        Image.fromarray(truth).save(place)
    Image.fromarray(pixels).save(tmp_path / "root" / "scan.png")
    loop = build_graph(script(STOP), "disk", images=ImageCatalog(tmp_path / "root"))
    asked = {"image": "scan.png", "request": REQUEST}
    assert loop.invoke(asked | {"initial_mask": "rough.png"})["mask"] == encode(truth)
    for mask in ("../secret.png", str(tmp_path / "secret.png"), tmp_path / "secret.png"):
        with pytest.raises(InputError, match="outside the folders that may be read"):
            loop.invoke(asked | {"initial_mask": mask})
