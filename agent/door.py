"""The door: whatever a caller passes as an image, a mask or prompts becomes plain state before LangGraph sees it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, get_args

from langgraph.types import Command

from ibisagent.agent.actions import to_plain
from ibisagent.agent.parts import Parts, as_prompt
from ibisagent.agent.state import Input
from ibisagent.agent.stores import ImageStore
from ibisagent.tools.errors import InputError
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.masks import as_mask, encode, is_file, rle_key
from ibisagent.tools.names import unknown
from ibisagent.tools.plain import plain

__all__ = ["admit", "admit_mask", "asked", "asked_of", "require_inputs", "require_request"]

_KEYS = tuple(Input.__annotations__)
_OWNERS = get_args(Input.__annotations__["prompts_by"])
_KINDS = get_args(Input.__annotations__["kind"])
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
    _require_one_of("kind", asked, _KINDS)
    _require_one_of("prompts_by", asked, _OWNERS)
    admitted: dict[str, Any] = {
        "kind": asked.get("kind") or "segment",
        "initial_mask": admit_mask(asked.get("initial_mask")),
        "prompts": [to_plain(as_prompt(prompt)) for prompt in asked.get("prompts") or []],
        "prompts_by": asked.get("prompts_by") or "person",
    }
    if "request" in asked:
        admitted["request"] = asked["request"]
    if "image" in asked:
        admitted["image"] = parts.images.admit(asked["image"])
    return plain(admitted)


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


def _require_one_of(key: str, given: Mapping[str, Any], words: tuple[str, ...]) -> None:
    if (got := given.get(key) or words[0]) not in words:
        raise InputError(f"{key}: got {got!r}, expected {' or '.join(words)}; correct it")


def require_request(request: object) -> None:
    """Raise `InputError` for a request without words."""
    if not str(request or "").strip():
        raise InputError("request: got nothing, expected words such as 'segment the liver'; give some")


def admit_mask(given: Any) -> Any:
    """Make run lengths of whatever is a mask by itself; a file, as text, waits for the image that it belongs to."""
    return plain(given) if given is None or is_file(given) else encode(as_mask(given))


def asked(admitted: Mapping[str, Any], image: MedicalImage, images: ImageStore) -> str:
    """Hash what an admitted input asks of an image, by content: the same question is the same run."""
    given = admitted.get("initial_mask")
    mask = rle_key(encode(images.read_mask(given, image))) if given is not None else None
    told = [admitted.get(name) for name in ("prompts", "prompts_by")]
    question = [image.sha, admitted.get("request"), admitted.get("kind"), mask, *told]
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]
