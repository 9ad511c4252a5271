"""The door: whatever a caller passes as an image, a mask or prompts becomes plain state before LangGraph sees it."""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ibisagent.agent.actions import to_plain
from ibisagent.agent.parts import Parts, as_prompt
from ibisagent.agent.stores import ImageStore
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.masks import encode, rle_key

__all__ = ["admit", "asked"]


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


def asked(plain: Mapping[str, Any], image: MedicalImage, images: ImageStore) -> str:
    """Hash what an admitted input asks of an image, by content: the same question is the same run."""
    given = plain.get("initial_mask")
    mask = rle_key(encode(images.read_mask(given, image))) if given is not None else None
    question = [image.sha, plain.get("request"), plain.get("kind"), mask, plain.get("prompts")]
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]
