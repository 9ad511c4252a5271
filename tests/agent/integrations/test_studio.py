"""The chat over the loop: what it takes for a picture, what it answers, and how it goes on."""

import asyncio
import base64
import io
import json

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from PIL import Image
from support.fakes import STOP, RecordingPolicy, positive, script

from ibisagent.agent import ImageStore, build_graph
from ibisagent.agent.integrations import ImageCatalog
from ibisagent.agent.integrations.studio import chat_graph

REQUEST = "Segment the bright object."
THREAD = {"configurable": {"thread_id": "1"}}


@pytest.fixture
def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture
def loop(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    return build_graph("centre", "geocut", images=ImageCatalog(tmp_path))


def forms(png):
    """A picture in the shapes that OpenAI, Anthropic, LangChain and A2A give it, and by its name."""
    url = f"data:image/png;base64,{png}"
    return [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png}},
        {"type": "image", "source_type": "base64", "mime_type": "image/png", "data": png},
        {"type": "image", "base64": png, "mime_type": "image/png"},
        {"type": "file", "base64": png, "mime_type": "image/png"},
        {"type": "image", "url": url},
        {"type": "image", "url": "scan.png"},
        {"type": "file", "url": "scan.png"},
    ]


def asked(block, words=REQUEST):
    return {"messages": [HumanMessage([{"type": "text", "text": words}, block])]}


async def said(chat, *given, config=None):
    for each in given:
        state = await chat.ainvoke(each, config)
    return state


def test_every_form_of_a_picture_gives_the_mask_of_a_direct_call(loop, png, pixels):
    expected = build_graph("centre", "geocut").invoke({"image": pixels, "request": REQUEST})["mask"]
    for block in forms(png):
        state = asyncio.run(said(chat_graph(lambda: loop), asked(block)))
        assert state["segmentation"]["rle"] == expected
        assert state["messages"][-1].text.startswith("Found")
        assert state["segmentation"]["mask_key"] in state["messages"][-1].text


def test_the_state_gains_no_picture(loop):
    state = asyncio.run(said(chat_graph(lambda: loop), asked({"type": "image", "url": "scan.png"})))
    assert len(json.dumps(state["segmentation"])) < 3000
    assert state["segmentation"]["image"] == {"uri": "scan.png", "slice": None, "window": None}


def test_a_later_message_goes_on_from_the_mask_in_force(png, pixels):
    policy = RecordingPolicy(script(positive(0.5, 0.4), STOP))
    loop = build_graph(policy, "disk")
    chat = chat_graph(lambda: loop)
    chat.checkpointer = InMemorySaver()
    more = {"messages": [HumanMessage("Now the rest.")]}
    state = asyncio.run(said(chat, asked(forms(png)[0]), more, config=THREAD))
    assert [(seen.request, seen.has_initial_mask) for seen in policy.seen] == [
        (REQUEST, False),
        (REQUEST, False),
        ("Now the rest.", True),
        ("Now the rest.", True),
    ]
    assert state["segmentation"]["request"] == "Now the rest."
    anew = asyncio.run(said(chat, asked(forms(png)[3], "Another."), config=THREAD))
    assert not policy.seen[-1].has_initial_mask
    assert anew["segmentation"]["image_message_id"] != state["segmentation"]["image_message_id"]


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"type": "text", "text": "more"}, "no message has a picture"),
        ({"type": "image", "url": "../scan.png"}, "outside the folder"),
        ({"type": "image", "url": "none.png"}, "no file"),
        ({"type": "image", "url": "https://host/scan.png"}, "nothing is fetched"),
        ({"type": "image", "base64": "AAAA", "mime_type": "image/png"}, "no base64 picture"),
        ({"type": "image", "file_id": "7"}, "neither base64 nor a url"),
    ],
)
def test_what_goes_wrong_is_said_in_the_answer(loop, block, words):
    state = asyncio.run(said(chat_graph(lambda: loop), asked(block)))
    assert words in state["messages"][-1].text
    assert state["messages"][-1].text.count("\n") == 0
    assert "segmentation" not in state


def test_without_a_root_no_file_is_read(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    loop = build_graph("centre", "geocut", images=ImageStore())
    state = asyncio.run(said(chat_graph(lambda: loop), asked({"type": "image", "url": str(tmp_path / "scan.png")})))
    assert "no files are read here" in state["messages"][-1].text


def test_steps_reach_the_stream_of_the_chat(loop, png):
    async def events():
        return [
            event["event"]
            async for event in chat_graph(lambda: loop).astream(asked(forms(png)[0]), stream_mode="custom")
        ]

    assert asyncio.run(events()).count("step") == 2


def test_a_person_in_the_studio_clicks_through_interrupts(png, pixels):
    chat = chat_graph(lambda: build_graph("person", "disk"))
    chat.checkpointer = InMemorySaver()
    words = [Command(resume="Positive Point (0.5, 0.4)"), Command(resume="Terminate")]
    state = asyncio.run(said(chat, asked(forms(png)[0]), config=THREAD))
    assert state["__interrupt__"][0].value["ask"]
    state = asyncio.run(said(chat, *words, config=THREAD))
    once = build_graph(script(positive(0.5, 0.4), STOP), "disk").invoke({"image": pixels, "request": REQUEST})
    assert state["segmentation"]["rle"] == once["mask"]


def test_a_failing_policy_is_told_in_words(png):
    loop = build_graph(script(), "disk")
    state = asyncio.run(said(chat_graph(lambda: loop), asked(forms(png)[0])))
    assert state["segmentation"]["stop"] == "policy_error"
    assert "failed" in state["messages"][-1].text
