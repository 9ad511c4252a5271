"""How a provider's message ended: whole, cut, refused or empty."""

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage

from ibisagent.tools.errors import NoReply

__all__ = ["EmptyReply", "finish_of", "refuse"]

_KEYS = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_CUT = ("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded", "2")  # Google's
_FILTERED = (
    *(
        "content_filter",
        "content_filtered",
        "refusal",
        "safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
    ),
    *("image_safety", "guardrail_intervened"),
)


class EmptyReply(ValueError):
    """A message without text; a sound one may follow, so that `Retries` ask again."""


def finish_of(told: Mapping[str, Any]) -> str:
    """Give how a reply ended, from a message's metadata: "length" where it was cut, whatever the provider calls it.

    >>> finish_of({"stop_reason": "max_tokens"}), finish_of({"finish_reason": "STOP"}), finish_of({})
    ('length', 'stop', 'stop')
    """
    details = told.get("incomplete_details")  # OpenAI's responses
    incomplete = details.get("reason") if isinstance(details, Mapping) else None
    said = incomplete or next((told[key] for key in _KEYS if told.get(key)), "stop")
    finish = str(getattr(said, "name", said)).lower().rpartition(".")[2]
    return "length" if finish in _CUT else finish


def refuse(message: AIMessage, text: str, finish: str) -> None:
    """Raise `NoReply` for a message that a provider refused or filtered, `EmptyReply` where its ``text`` is empty."""
    words = " ".join(" ".join(_refusals(message)).split())[:300]
    if words or finish in _FILTERED:
        raise NoReply(f"the provider refused: {words or finish}; word the request otherwise, or name another policy")
    if not text.strip() and finish == "length":
        raise NoReply(
            "the provider sent no text, all tokens went into hidden thought: expected a reply; allow more tokens"
        )
    if not text.strip():
        raise EmptyReply(f"the provider sent an empty reply (it ended with {finish!r}): expected a text")


def _refusals(message: AIMessage) -> Iterator[str]:
    yield str(message.additional_kwargs.get("refusal") or "")
    for block in message.content if isinstance(message.content, list) else ():
        if isinstance(block, Mapping) and block.get("type") == "refusal":
            yield str(block.get("refusal") or "")
