"""Pictures in messages: those of a person, in any provider's form, and those for the parent's model, in its own.

Anthropic, Gemini and OpenAI's Responses take pictures in a tool's result. OpenAI's chat completions, and the servers
that speak them, take text alone there: `move_images_to_user_message` moves the pictures into a user message.
"""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
from PIL import Image

from ibisagent.agent.overlay import fit_to_side, overlay
from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.rle import Rle, decode

__all__ = [
    "block_source",
    "find_image_block",
    "move_images_to_user_message",
    "overlay_block",
    "user_message_images_middleware",
]

_SIDE = 256  # pixels
_QUALITY = 75


def find_image_block(message: BaseMessage) -> Mapping[str, Any] | None:
    """Return the last image block of a message, None without one; LangChain unifies the providers' forms."""
    blocks: list[Mapping[str, Any]] = [
        block
        for block in message.content_blocks
        if block["type"] == "image" or (block["type"] == "file" and "text" not in str(block.get("mime_type")))
    ]
    return blocks[-1] if blocks else None


def block_source(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"uri", "slice", "window"} of a block's picture, the content as a data URL; `InputError` without any."""
    extras = {**block.get("extras", {}), **block}
    source = block.get("url")
    if source is None and block.get("base64"):
        source = f"data:{block.get('mime_type') or 'image/png'};base64,{block['base64']}"
    if not isinstance(source, str):
        raise InputError("image: this block holds neither base64 nor a url; send one of them")
    return {"uri": source, "slice": extras.get("slice"), "window": extras.get("window")}


def overlay_block(image: MedicalImage, rle: Rle) -> dict[str, Any]:
    """Draw a mask over its image, at most 256 pixels a side, as LangChain's standard content block with a JPEG."""
    drawn = fit_to_side(overlay(image.pixels, decode(rle)), _SIDE)
    kept = io.BytesIO()
    Image.fromarray(drawn).save(kept, format="JPEG", quality=_QUALITY)
    return {"type": "image", "base64": base64.b64encode(kept.getvalue()).decode("ascii"), "mime_type": "image/jpeg"}


def move_images_to_user_message(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Move the pictures of tool results into one user message after them; all else, and the state, stays as it is.

    The results of parallel calls stay together, as OpenAI and Anthropic both demand.
    """
    return list(_moved_images(messages))


def _moved_images(messages: Sequence[BaseMessage]) -> Iterator[BaseMessage]:
    for from_tools, run in groupby(messages, lambda message: isinstance(message, ToolMessage)):
        if not from_tools:
            yield from run
            continue
        shown: list[str | dict[str, Any]] = []
        for message in run:
            blocks = message.content if isinstance(message.content, list) else []
            pictures = [block for block in blocks if _is_image(block)]
            if not pictures:
                yield message
                continue
            words = [block for block in blocks if not _is_image(block)]
            yield message.model_copy(update={"content": words or "The picture follows."})
            call = message.tool_call_id if isinstance(message, ToolMessage) else ""
            shown += [{"type": "text", "text": f"The picture of the result of call {call}:"}, *pictures]
        if shown:
            yield HumanMessage(shown)


def _is_image(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in ("image", "image_url")


def user_message_images_middleware() -> Any:
    """Return a middleware for `create_agent` that applies `move_images_to_user_message` to the model's messages."""
    try:
        from langchain.agents.middleware import AgentMiddleware
    except ModuleNotFoundError as error:
        if error.name != "langchain":
            raise
        raise MissingExtra.of("langchain", "chat") from error

    class UserMessageImages(AgentMiddleware):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            return handler(request.override(messages=move_images_to_user_message(request.messages)))

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            return await handler(request.override(messages=move_images_to_user_message(request.messages)))

    return UserMessageImages()
