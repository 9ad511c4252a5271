"""The door: whatever a caller passes as an image, a mask or prompts becomes plain state before LangGraph sees it."""

import os
from typing import Any

import numpy as np

from ibisagent.agent.actions import to_plain
from ibisagent.agent.parts import Parts, as_prompt
from ibisagent.tools.masks import encode

__all__ = ["admit"]


def admit(given: Any, parts: Parts) -> Any:
    """Make an input plain; None and commands, which resume a run, pass as they are.

    What an input leaves out is cleared, so that a second request on a thread does not inherit the first one's prompts.
    """
    if not isinstance(given, dict):
        return given
    prompts = given.get("prompts") or []
    plain: dict[str, Any] = {
        "kind": given.get("kind") or "segment",
        "initial_mask": _mask(given.get("initial_mask")),
        "prompts": [to_plain(as_prompt(prompt)) for prompt in prompts],
    }
    if "request" in given:
        plain["request"] = given["request"]
    if "image" in given:
        plain["image"] = parts.images.admit(given["image"])
    return plain


def _mask(given: Any) -> Any:
    if isinstance(given, np.ndarray):
        return encode(given.astype(np.bool_))
    return os.fspath(given) if isinstance(given, os.PathLike) else given
