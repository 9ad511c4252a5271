"""Pictures for the parent's model, in the form that its provider takes.

Anthropic, Gemini and OpenAI's Responses take pictures in a tool's result. OpenAI's chat completions, and the servers
that speak them, take text alone there: `move_images_to_user_message` moves the pictures into a user message.
"""

import base64
import io
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
from PIL import Image

from ibisagent.agent.overlay import fit_to_side, overlay
from ibisagent.tools.errors import MissingExtra
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.rle import Rle, decode

__all__ = ["move_images_to_user_message", "overlay_block", "user_message_images_middleware"]

_SIDE = 256  # pixels
_QUALITY = 75


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
