"""Input normalization: a caller's image, mask and prompts become plain state before LangGraph sees them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
from langgraph.types import Command

from ibisagent.agent.actions import as_prompt, to_plain
from ibisagent.agent.graph_components import Components
from ibisagent.agent.state import Input
from ibisagent.agent.stores import ImageStore
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.json_values import to_builtin
from ibisagent.tools.masks.conversion import as_mask, is_file_reference
from ibisagent.tools.masks.rle import encode, rle_key
from ibisagent.tools.suggestions import describe_unknown_name

__all__ = [
    "normalize_input",
    "normalize_mask",
    "request_hash",
    "require_known_keys",
    "require_request",
    "select_inputs",
]

_KEYS = tuple(Input.__annotations__)
_ACTORS = get_args(Input.__annotations__["prompts_actor"])
_KINDS = get_args(Input.__annotations__["kind"])
_EXPECTED = 'expected {"image", "request"}; wrap it with segmentation_tool, or with segmentation_node and its given='


def normalize_input(given: Any, components: Components, *, nested: bool = False) -> Any:
    """Make an input JSON-plain; None and commands, which resume a run, are returned as they are.

    Missing keys are cleared, so that a second request on a thread does not inherit the first one's prompts.
    ``nested``: it is a parent's state, of which only the keys of `Input` are taken; else an unknown key is an
    `InputError`, as a misspelt one would change the run unnoticed. `InputError` also for a prompt that the segmenter
    does not take.
    """
    if given is None or isinstance(given, Command):
        return given
    fields = select_inputs(given)
    if isinstance(given, Mapping) and not nested:
        require_known_keys(given)
    prompts = [as_prompt(prompt) for prompt in fields.get("prompts") or []]
    components.memo.require_taken(prompts)
    _require_one_of("kind", fields, _KINDS)
    _require_one_of("prompts_actor", fields, _ACTORS)
    normalized: dict[str, Any] = {
        "kind": fields.get("kind") or "segment",
        "initial_mask": normalize_mask(fields.get("initial_mask")),
        "prompts": [to_plain(prompt) for prompt in prompts],
        "prompts_actor": fields.get("prompts_actor") or "person",
        "seed": _require_seed(fields.get("seed", 0)),
    }
    if "request" in fields:
        normalized["request"] = fields["request"]
    if "image" in fields:
        normalized["image"] = components.images.to_reference(fields["image"])
    return to_builtin(normalized)


def select_inputs(state: Any) -> dict[str, Any]:
    """Select the fields of `Input` from a parent's state, a mapping or an object; `InputError` where it has none."""
    known = state if isinstance(state, Mapping) else {name: getattr(state, name, None) for name in _KEYS}
    fields = {name: known[name] for name in _KEYS if known.get(name) is not None}
    if not fields:
        got = f"keys: {', '.join(map(str, state)) or 'none'}" if isinstance(state, Mapping) else type(state).__name__
        raise InputError(f"got a state without image and request ({got}), {_EXPECTED}")
    return fields


def require_known_keys(given: Mapping[str, Any]) -> None:
    """Raise `InputError` for a key that `Input` does not have, with the key that it may mean."""
    if wrong := [describe_unknown_name(name, _KEYS) for name in given if name not in _KEYS]:
        raise InputError(f"{'; '.join(wrong)}; correct it")


def _require_one_of(key: str, fields: Mapping[str, Any], choices: tuple[str, ...]) -> None:
    if (got := fields.get(key) or choices[0]) not in choices:
        raise InputError(f"{key}: got {got!r}, expected {' or '.join(choices)}; correct it")


def _require_seed(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 0:
        raise InputError(f"seed: got {given!r}, expected a whole number from 0 up; correct it")
    return int(given)


def require_request(request: object) -> None:
    """Raise `InputError` for a request without words."""
    if not str(request or "").strip():
        raise InputError("request: got nothing, expected words such as 'segment the liver'; give some")


def normalize_mask(given: Any) -> Any:
    """Encode a mask as RLE; the path of a file is kept, as it can only be read with the image that it belongs to."""
    return to_builtin(given) if given is None or is_file_reference(given) else encode(as_mask(given))


def request_hash(normalized: Mapping[str, Any], image: MedicalImage, images: ImageStore) -> str:
    """Hash a normalized input by content: the same request on the same image is the same run."""
    given = normalized.get("initial_mask")
    mask = rle_key(encode(images.read_mask(given, image))) if given is not None else None
    prompts = [normalized.get(name) for name in ("prompts", "prompts_actor", "seed")]
    question = [image.sha, normalized.get("request"), normalized.get("kind"), mask, *prompts]
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]
