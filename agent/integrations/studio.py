"""The loop for LangGraph Studio and `langgraph dev`: as a chat, as A2A needs it, and bare, which shows its states.

The chat's message holds text and a picture: a content block with base64, a data URL, or a file's name below the root.
Later messages without a picture continue from the current mask. The bare loop takes `ibisagent.agent.state.Input`; its
image is a data URL or such a name, {"uri", "slice", "window"} for a volume.

Settings come from the environment: ``IBISAGENT_POLICY`` (nano), ``IBISAGENT_SEGMENTER`` (geocut),
``IBISAGENT_PROPOSE`` (the policy's own), ``IBISAGENT_PRESET`` (default), ``IBISAGENT_MAX_STEPS`` (20),
``IBISAGENT_ROOT`` (none: no files are read) and ``IBISAGENT_LOCAL_ONLY`` (1: nothing leaves this machine).
"""

import asyncio
import logging
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.errors import GraphBubbleUp
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from ibisagent.agent.config import preset
from ibisagent.agent.graph import SegmentationGraph, build_graph
from ibisagent.agent.integrations.error_messages import user_message
from ibisagent.agent.integrations.image_blocks import block_source, find_image_block
from ibisagent.agent.integrations.image_catalog import ServerImageCatalog, client_reference
from ibisagent.agent.integrations.nested_run import arun_nested, to_plain_segmentation
from ibisagent.agent.integrations.summary import summarize
from ibisagent.agent.policies import get_policy
from ibisagent.agent.policies.options import read_policy_options
from ibisagent.agent.privacy import disable_tracing, restrict_to_local
from ibisagent.agent.proposers import open_proposer
from ibisagent.tools.errors import InputError
from ibisagent.tools.segmenters.registry import require_local_segmenter

__all__ = ["ChatState", "chat_graph", "graph", "loop", "loop_from_environment"]

_LOG = logging.getLogger(__name__)


class ChatState(TypedDict, total=False):
    """The conversation, and the last run's `ibisagent.agent.integrations.summary.RunSummary` without its text.

    ``segmentation`` also has the ``request``, the ``image``'s name, and ``image_message_id``: of the message with it.
    """

    messages: Annotated[list[AnyMessage], add_messages]
    segmentation: dict[str, Any] | None


def chat_graph(open_loop: Callable[[], SegmentationGraph], *, local_only: bool = False) -> CompiledStateGraph[Any]:
    """Compile the chat over the loop that ``open_loop`` returns; it is called at the first message."""
    chat = StateGraph(ChatState)
    chat.add_node("segment", partial(_segment, open_loop=open_loop, local_only=local_only))
    chat.add_edge(START, "segment")
    chat.add_edge("segment", END)
    return chat.compile(name="ibisagent chat")


async def _segment(
    state: ChatState, runtime: Runtime[Any], *, open_loop: Callable[[], SegmentationGraph], local_only: bool
) -> dict[str, Any]:
    """Run the loop on the last message's request; an error becomes the answer."""
    named = None
    with restrict_to_local(local_only):
        try:
            loop = await asyncio.to_thread(open_loop)
            image_message_id, start = await asyncio.to_thread(_loop_input, state, loop)
            named = start["image"]["uri"]
            ended = await arun_nested(loop, start, runtime.context, runtime.stream_writer)
            summary = await asyncio.to_thread(summarize, loop, ended)
        except GraphBubbleUp:
            raise
        except Exception as error:
            _LOG.debug("a message could not be answered", exc_info=True)
            return {"messages": [AIMessage(user_message(error, named))]}
    return {
        "messages": [AIMessage(summary.text)],
        "segmentation": to_plain_segmentation(summary, ended) | {"image_message_id": image_message_id},
    }


def _loop_input(state: ChatState, loop: SegmentationGraph) -> tuple[str | None, dict[str, Any]]:
    """Return the id of the message with the picture, and the loop's input."""
    said = [message for message in state.get("messages", []) if isinstance(message, HumanMessage)]
    shown = next((message for message in reversed(said) if find_image_block(message) is not None), None)
    block = find_image_block(shown) if shown is not None else None
    if shown is None or block is None:
        raise InputError("image: no message has a picture; send one as an image block, or by its name below the root")
    start: dict[str, Any] = {
        "image": client_reference(loop.components.images, block_source(block)),
        "request": str(said[-1].text),
    }
    before = state.get("segmentation")
    if before and before["image_message_id"] == shown.id and shown is not said[-1] and before["box"]:
        start["initial_mask"] = before["rle"]
    return shown.id, start


async def loop() -> SegmentationGraph:
    """Open the loop that the environment names, off the event loop: the factory that langgraph.json names."""
    return await asyncio.to_thread(loop_from_environment)


@cache
def loop_from_environment() -> SegmentationGraph:
    """Open the loop that the environment names."""
    prompts = Path(os.environ["IBISAGENT_PROMPTS"]) if "IBISAGENT_PROMPTS" in os.environ else None
    options = read_policy_options(prompt_file=prompts, local_only=_LOCAL_ONLY)
    policy = get_policy(os.environ.get("IBISAGENT_POLICY", "nano"), options)
    try:
        steps = int(os.environ.get("IBISAGENT_MAX_STEPS", "20"))
    except ValueError:
        raise InputError("got an IBISAGENT_MAX_STEPS that is no number, expected one from 1 up; correct it") from None
    config = preset(os.environ.get("IBISAGENT_PRESET", "default"), max_steps=steps)
    proposer = open_proposer(os.environ.get("IBISAGENT_PROPOSE"), policy, options)
    images = ServerImageCatalog(os.environ.get("IBISAGENT_ROOT"))
    segmenter = os.environ.get("IBISAGENT_SEGMENTER", "geocut")
    if _LOCAL_ONLY:
        require_local_segmenter(segmenter)
    return build_graph(policy, segmenter, config, proposer=proposer, images=images)


_LOCAL_ONLY = os.environ.get("IBISAGENT_LOCAL_ONLY", "") in ("1", "true")
if _LOCAL_ONLY:
    disable_tracing()  # of the server's own graphs too, which run outside of our context
graph = chat_graph(loop_from_environment, local_only=_LOCAL_ONLY)
