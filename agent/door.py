"""The door: whatever a caller passes as an image, a mask or prompts becomes plain state before LangGraph sees it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ibisagent.agent.actions import to_plain
from ibisagent.agent.parts import Parts, as_prompt
from ibisagent.tools.errors import InputError
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.masks import as_mask, encode, is_file, read_mask, rle_key
from ibisagent.tools.plain import plain

__all__ = ["admit", "admit_mask", "asked", "require_request"]


def admit(given: Any, parts: Parts) -> Any:
    """Make an input plain; None and commands, which resume a run, pass as they are.

    What an input leaves out is cleared, so that a second request on a thread does not inherit the first one's prompts.
    """
    if not isinstance(given, dict):
        return given
    prompts = given.get("prompts") or []
    admitted: dict[str, Any] = {
        "kind": given.get("kind") or "segment",
        "initial_mask": admit_mask(given.get("initial_mask")),
        "prompts": [to_plain(as_prompt(prompt)) for prompt in prompts],
        "prompts_by": given.get("prompts_by") or "person",
    }
    if "request" in given:
        admitted["request"] = given["request"]
    if "image" in given:
        admitted["image"] = parts.images.admit(given["image"])
    return plain(admitted)


def require_request(request: object) -> None:
    """Raise `InputError` for a request without words."""
    if not str(request or "").strip():
        raise InputError("request: got nothing, expected words such as 'segment the liver'; give some")


def admit_mask(given: Any) -> Any:
    """Make run lengths of whatever is a mask by itself; a file, as text, waits for the image that it belongs to."""
    return plain(given) if given is None or is_file(given) else encode(as_mask(given))


def asked(admitted: Mapping[str, Any], image: MedicalImage) -> str:
    """Hash what an admitted input asks of an image, by content: the same question is the same run."""
    given = admitted.get("initial_mask")
    mask = rle_key(encode(read_mask(given, image))) if given is not None else None
    asked_for = [admitted.get(name) for name in ("prompts", "prompts_by")]
    question = [image.sha, admitted.get("request"), admitted.get("kind"), mask, *asked_for]
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]
