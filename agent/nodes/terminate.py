"""The end of a turn: a person's look at it, and the result."""

from typing import Any

import numpy as np
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from ibisagent.agent.components import Parts
from ibisagent.agent.human_action import said
from ibisagent.agent.nodes.common import Update, cancelled
from ibisagent.agent.state import RunContext, State
from ibisagent.agent.steps import steps_in_force, tell
from ibisagent.tools.errors import InputError, StoreError
from ibisagent.tools.masks.measure import measure_on
from ibisagent.tools.masks.rle import Rle, encode, rle_key

__all__ = ["review", "terminate"]


def review(state: State, runtime: Runtime[RunContext]) -> Update:
    """Ask a person: accept, or a click, a box, an undo or a redo, which lead back into the loop."""
    error: str | None = None
    while True:
        words = interrupt(_question(state, error))
        try:
            update = said(state, words)
        except InputError as fault:
            error = str(fault)
            continue
        for step in update.get("steps", []):
            tell(runtime, "step", **step)
        return update


def _question(state: State, error: str | None) -> dict[str, Any]:
    return {
        "ask": "review",
        "request": state["request"],
        "answer": state["answer"],
        "stop": state["stop"],
        "image": state["image"],
        "mask": state["mask"],
        "score": state["score"],
        "prompts": state["prompts"],
        "expected": "'accept', an action such as 'Negative Point (0.41, 0.52)', 'Backtrack', 'Redo', or its plain form",
        "error": error,
    }


def terminate(state: State, runtime: Runtime[RunContext], parts: Parts) -> Update:
    """End with a typed reason, the mask in force (or the best-scored one, where that may be asked) and its measures."""
    stop = state["stop"] or ("cancelled" if cancelled(runtime) else "terminated")
    mask, score = _result(state, parts) if stop != "declined" else _left(state)
    measurements = measure_on(parts.mask(mask), parts.image(state))
    tell(runtime, "end", stop=stop, mask=rle_key(mask), answer=state["answer"])
    return {"stop": stop, "mask": mask, "score": score, "measurements": measurements, "queue": []}


def _left(state: State) -> tuple[Rle, float | None]:
    """Give what a declined run ends with: the mask in force where a person had a part in it, else an empty one."""
    persons = any(step["by"] == "person" for step in steps_in_force(state))
    if persons or state["initial_mask"] is not None:
        return state["mask"], state["score"]
    return encode(np.zeros(state["mask"]["size"], np.bool_)), None


def _result(state: State, parts: Parts) -> tuple[Rle, float | None]:
    if not (parts.config.pick_best and parts.memo.segmenter.calibrated and state["prompts"]):
        return state["mask"], state["score"]
    scored = [step for step in steps_in_force(state) if step["score"] is not None]
    best = max(scored, key=lambda step: step["score"] or 0.0, default=None)
    if best is None:
        return state["mask"], state["score"]
    try:
        return parts.store.get_mask(best["mask"]), best["score"]
    except StoreError:
        return state["mask"], state["score"]
