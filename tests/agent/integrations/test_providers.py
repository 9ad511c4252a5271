"""Messages in the shapes of the common providers, and their rules about tool results and the pictures in them.

OpenAI's messages are made by langchain-openai itself. Anthropic's rules are those of its Messages API: every tool use
is answered in the next message, results come before all else in it, and may hold text and pictures.
"""

import base64
import io
import json
from itertools import groupby

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_openai import ChatOpenAI
from langchain_openai.chat_models.base import _convert_dict_to_message
from PIL import Image

from ibisagent.agent import build_graph
from ibisagent.agent.integrations import move_images_to_user_message, segmentation_tool, user_message_images_middleware

ASK = {"image": "scan", "request": "Segment the organ."}
WORDS = "Let me look."


class Wrong(Exception):
    """A provider would answer 400."""


def require(truth, said):
    if not truth:
        raise Wrong(said)


def check_chat_completions(messages):
    """Role ``tool`` takes text; every call is answered at once, by its id, before anything else."""
    waiting = []
    for message in ChatOpenAI(model="gpt-4o", api_key="none")._get_request_payload(messages)["messages"]:
        parts = message["content"] if isinstance(message["content"], list) else []
        if message["role"] == "tool":
            require(message["tool_call_id"] in waiting, "a tool message that nobody called")
            require(all(part["type"] == "text" for part in parts), "a picture in a tool message")
            waiting.remove(message["tool_call_id"])
            continue
        require(not waiting, "a call without its tool message")
        if message["role"] == "user":
            require(all(part["type"] in ("text", "image_url") for part in parts), "an unknown part")
        waiting = [call["id"] for call in message.get("tool_calls") or []]
        require(all(json.loads(call["function"]["arguments"]) for call in message.get("tool_calls") or []), "no JSON")
    require(not waiting, "a call without its tool message")


def check_responses(messages):
    """A function call's output takes text and pictures."""
    model = ChatOpenAI(model="gpt-5", api_key="none", use_responses_api=True)
    items = model._get_request_payload(messages)["input"]
    called = {item["call_id"] for item in items if item["type"] == "function_call"}
    for item in items:
        if item["type"] == "function_call_output":
            require(item["call_id"] in called, "an output that nobody called")
            parts = item["output"] if isinstance(item["output"], list) else []
            require(all(part["type"] in ("input_text", "input_image") for part in parts), "an unknown part")


def check_anthropic(messages):
    """Messages of tools and people are one user turn; a picture's bytes are what its media type says."""
    waiting = []
    for role, turn in groupby(messages, lambda message: "assistant" if isinstance(message, AIMessage) else "user"):
        blocks = [block for message in turn for block in anthropic_blocks(message)]
        if role == "assistant":
            waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
            continue
        kinds = [block["type"] for block in blocks]
        results = kinds.count("tool_result")
        require(kinds[:results] == ["tool_result"] * results, "something before a tool result")
        require([block["tool_use_id"] for block in blocks[:results]] == waiting, "a tool use without its result")
        for block in [*blocks[results:], *(inner for result in blocks[:results] for inner in result["content"])]:
            require(block["type"] in ("text", "image"), "an unknown block")
            require(block["type"] != "text" or block["text"].strip(), "an empty text")
            if block["type"] == "image":
                picture = Image.open(io.BytesIO(base64.b64decode(block["base64"], validate=True)))
                require(Image.MIME[picture.format] == block["mime_type"], "another kind of picture than told")
        waiting = []


def anthropic_blocks(message):
    content = message.content if isinstance(message.content, list) else [{"type": "text", "text": message.content}]
    if isinstance(message, ToolMessage):
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": content}]
    if isinstance(message, AIMessage):
        uses = [{"type": "tool_use", "id": call["id"]} for call in message.tool_calls]
        return [*(block for block in content if block["type"] == "text"), *uses]
    return content


def openai_says(*asked):
    """What langchain-openai makes of a reply of chat completions."""
    calls = [
        {"id": f"call_{n}", "type": "function", "function": {"name": "segment_image", "arguments": json.dumps(ask)}}
        for n, ask in enumerate(asked, 1)
    ]
    return _convert_dict_to_message({"role": "assistant", "content": None, "tool_calls": calls})


def anthropic_says(*asked):
    """What a reply of Anthropic's looks like as a message: uses among its content."""
    named = [(f"toolu_{n}", ask) for n, ask in enumerate(asked, 1)]
    uses = [{"type": "tool_use", "id": name, "name": "segment_image", "input": ask} for name, ask in named]
    calls = [{"type": "tool_call", "id": name, "name": "segment_image", "args": ask} for name, ask in named]
    return AIMessage([{"type": "text", "text": WORDS}, *uses], tool_calls=calls)


class Provider(BaseChatModel):
    """Holds what it is sent against the provider's rules before it replies."""

    check: object
    replies: list

    def bind_tools(self, tools, **options):
        return self

    def _generate(self, messages, *rest, **options):
        self.check(messages)
        turn = sum(isinstance(message, AIMessage) for message in messages)
        return ChatResult(generations=[ChatGeneration(message=self.replies[turn])])

    @property
    def _llm_type(self):
        return "provider"


STYLES = {
    "OpenAI": (check_chat_completions, openai_says),
    "OpenAI Responses": (check_responses, openai_says),
    "Anthropic": (check_anthropic, anthropic_says),
}


def driven(style, pixels, *, picture, middleware):
    """One call, then two at once of which one fails, then words."""
    check, says = STYLES[style]
    replies = [says(ASK), says(ASK, ASK | {"image": "nope"}), AIMessage("Done.")]
    tool = segmentation_tool("centre", "geocut", root={"scan": pixels}, include_overlay=picture)
    beside = [user_message_images_middleware()] if middleware else []
    agent = create_agent(Provider(check=check, replies=replies), [tool], middleware=beside)
    return agent.invoke({"messages": [("user", "How large is it?")]})["messages"]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("picture", "middleware"), [(False, False), (True, True), (False, True)])
def test_a_model_of_any_provider_drives_the_tool(style, picture, middleware, pixels):
    messages = driven(style, pixels, picture=picture, middleware=middleware)
    tools = [message for message in messages if isinstance(message, ToolMessage)]
    assert [message.status for message in tools] == ["success", "success", "error"]
    expected = build_graph("centre", "geocut").invoke(ASK | {"image": pixels})["mask"]
    assert [message.artifact["rle"] for message in tools[:2]] == [expected, expected]
    assert isinstance(tools[0].content, list) == picture


@pytest.mark.parametrize("style", ["Anthropic", "OpenAI Responses"])
def test_where_tool_results_take_pictures_no_middleware_is_needed(style, pixels):
    assert driven(style, pixels, picture=True, middleware=False)[-1].content == "Done."


def test_chat_completions_take_no_picture_in_a_tool_message(pixels):
    with pytest.raises(Wrong, match="a picture in a tool message"):
        driven("OpenAI", pixels, picture=True, middleware=False)


def test_pictures_beside_moves_pictures_and_nothing_else(pixels):
    before = driven("Anthropic", pixels, picture=True, middleware=False)
    kept = [message.model_copy(deep=True) for message in before]
    after = move_images_to_user_message(before)
    assert before == kept  # the state's own messages stay
    added = [message for message in after if isinstance(message, HumanMessage)][1:]
    assert [[block["type"] for block in message.content] for message in added] == [["text", "image"]] * 2
    assert [message.type for message in after] == ["human", "ai", "tool", "human", "ai", "tool", "tool", "human", "ai"]
    rest = [message for number, message in enumerate(after) if number not in (3, 7)]
    assert [message.text for message in rest] == [message.text for message in before]
    assert [message.id for message in rest] == [message.id for message in before]
    assert move_images_to_user_message(after) == after


def test_the_overlay_is_small_and_shows_the_mask(pixels):
    _, block = driven("Anthropic", pixels, picture=True, middleware=False)[2].content
    picture = Image.open(io.BytesIO(base64.b64decode(block["base64"]))).convert("RGB")
    assert picture.size == (128, 96)
    red, green, _ = picture.getpixel((70, 40))  # inside
    assert green > red + 20
