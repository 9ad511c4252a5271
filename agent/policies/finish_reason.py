"""How a provider's message ended: whole, cut, refused or empty."""

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage

from ibisagent.tools.errors import NoReply

__all__ = ["EmptyReply", "raise_for_refusal", "read_finish_reason"]

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
    """A message without text; a valid one may follow, so `Retries` treat it as transient."""


def read_finish_reason(metadata: Mapping[str, Any]) -> str:
    """Return a reply's finish reason from a message's metadata: "length" if it was cut, for every provider.

    >>> names = {"stop_reason": "max_tokens"}, {"finish_reason": "STOP"}, {}
    >>> [read_finish_reason(metadata) for metadata in names]
    ['length', 'stop', 'stop']
    """
    details = metadata.get("incomplete_details")  # OpenAI's responses
    incomplete = details.get("reason") if isinstance(details, Mapping) else None
    reason = incomplete or next((metadata[key] for key in _KEYS if metadata.get(key)), "stop")
    finish = str(getattr(reason, "name", reason)).lower().rpartition(".")[2]
    return "length" if finish in _CUT else finish


def raise_for_refusal(message: AIMessage, text: str, finish: str) -> None:
    """Raise `NoReply` for a message that a provider refused or filtered, `EmptyReply` if its ``text`` is empty."""
    words = " ".join(" ".join(_refusals(message)).split())[:300]
    if words or finish in _FILTERED:
        raise NoReply(f"the provider refused: {words or finish}; word the request otherwise, or name another policy")
    if not text.strip() and finish == "length":
        raise NoReply(
            "the provider sent no text, all tokens went into hidden reasoning: expected a reply; allow more tokens"
        )
    if not text.strip():
        raise EmptyReply(f"the provider sent an empty reply (it ended with {finish!r}): expected a text")


def _refusals(message: AIMessage) -> Iterator[str]:
    yield str(message.additional_kwargs.get("refusal") or "")
    for block in message.content if isinstance(message.content, list) else ():
        if isinstance(block, Mapping) and block.get("type") == "refusal":
            yield str(block.get("refusal") or "")
