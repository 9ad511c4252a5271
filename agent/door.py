"""The door: whatever a caller passes as an image, a mask or prompts becomes plain state before LangGraph sees it."""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from langgraph.types import Command

from ibisagent.agent.actions import to_plain
from ibisagent.agent.parts import Parts, as_prompt
from ibisagent.agent.state import Input
from ibisagent.agent.stores import ImageStore
from ibisagent.tools.errors import InputError
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.masks import encode, rle_key
from ibisagent.tools.names import unknown

__all__ = ["admit", "asked", "asked_of", "require_inputs"]

_KEYS = tuple(Input.__annotations__)
_EXPECTED = 'expected {"image", "request"}; wrap it with segmentation_tool, or with segmentation_node and its given='


def admit(given: Any, parts: Parts, *, nested: bool = False) -> Any:
    """Make an input plain; None and commands, which resume a run, pass as they are.

    What an input leaves out is cleared, so that a second request on a thread does not inherit the first one's prompts.
    ``nested``: it is a parent's state, of which only an input's own keys are taken; else another key is an
    `InputError`, for a misspelt one would change the run unseen.
    """
    if given is None or isinstance(given, Command):
        return given
    asked = asked_of(given)
    if isinstance(given, Mapping) and not nested:
        require_inputs(given)
    plain: dict[str, Any] = {
        "kind": asked.get("kind") or "segment",
        "initial_mask": _mask(asked.get("initial_mask")),
        "prompts": [to_plain(as_prompt(prompt)) for prompt in asked.get("prompts") or []],
    }
    if "request" in asked:
        plain["request"] = asked["request"]
    if "image" in asked:
        plain["image"] = parts.images.admit(asked["image"])
    return plain


def asked_of(state: Any) -> dict[str, Any]:
    """Take from a parent's state, a mapping or an object with fields, what an `Input` has; `InputError`: nothing."""
    known = state if isinstance(state, Mapping) else {name: getattr(state, name, None) for name in _KEYS}
    asked = {name: known[name] for name in _KEYS if known.get(name) is not None}
    if not asked:
        got = f"keys: {', '.join(map(str, state)) or 'none'}" if isinstance(state, Mapping) else type(state).__name__
        raise InputError(f"got a state without image and request ({got}), {_EXPECTED}")
    return asked


def require_inputs(given: Mapping[str, Any]) -> None:
    """Refuse with `InputError` a key that an `Input` does not have, naming the one it may mean."""
    if wrong := [unknown(name, _KEYS) for name in given if name not in _KEYS]:
        raise InputError(f"{'; '.join(wrong)}; correct it")


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
