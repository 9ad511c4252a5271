"""Nodes ``review`` and ``terminate``: a person's review, and the result."""

from typing import Any

import numpy as np
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from ibisagent.agent.graph_components import Components
from ibisagent.agent.human_action import apply_human_action
from ibisagent.agent.nodes.common import Update, is_cancelled
from ibisagent.agent.state import RunContext, State, active_target, proposed_by
from ibisagent.agent.steps import active_prompt_steps, emit_event
from ibisagent.tools.errors import InputError, StoreError
from ibisagent.tools.masks.measure import measure_on_image
from ibisagent.tools.masks.rle import Rle, encode, rle_key

__all__ = ["review", "terminate"]


def review(state: State, runtime: Runtime[RunContext], components: Components) -> Update:
    """Interrupt for a person: accept, or a click, a box, an example, an undo or a redo, which return to the loop."""
    error: str | None = None
    while True:
        response = interrupt(_review_request(state, error))
        try:
            update = apply_human_action(state, response, components.memo.refusal)
        except InputError as problem:
            error = str(problem)
            continue
        for step in update.get("steps", []):
            emit_event(runtime, "step", **step)
        return update


def _review_request(state: State, error: str | None) -> dict[str, Any]:
    target = active_target(state)
    return {
        "ask": "review",
        "request": state["request"],
        "answer": state["answer"],
        "stop": state["stop"],
        "image": state["image"],
        "mask": target["mask"],
        "score": target["score"],
        "prompts": target["prompts"],
        "expected": "'accept', an action such as 'Negative Point (0.41, 0.52)', 'Backtrack', 'Redo', or its plain form",
        "error": error,
    }


def terminate(state: State, runtime: Runtime[RunContext], components: Components) -> Update:
    """End with a stop reason, the current mask (or the best-scored one, if so configured) and its measurements."""
    stop = state["stop"] or ("cancelled" if is_cancelled(runtime) else "terminated")
    mask, score = _final_result(state, components) if stop != "declined" else _declined_result(state)
    measurements = measure_on_image(components.view.mask(mask), components.images.open(state["image"]))
    emit_event(runtime, "end", stop=stop, mask=rle_key(mask), answer=state["answer"])
    return {"stop": stop, "mask": mask, "score": score, "measurements": measurements, "queue": []}


def _declined_result(state: State) -> tuple[Rle, float | None]:
    """Return the result of a declined run: the current mask where a person contributed to it, else an empty one."""
    target = active_target(state)
    persons = any(step["actor"] == "person" for step in active_prompt_steps(state))
    if persons or (target["initial_mask"] is not None and proposed_by(target) is None):
        return target["mask"], target["score"]
    return encode(np.zeros(target["mask"]["size"], np.bool_)), None


def _final_result(state: State, components: Components) -> tuple[Rle, float | None]:
    target = active_target(state)
    if not (components.config.pick_best and components.memo.segmenter.calibrated and target["prompts"]):
        return target["mask"], target["score"]
    scored = [step for step in active_prompt_steps(state) if step["score"] is not None]
    best = max(scored, key=lambda step: step["score"] or 0.0, default=None)
    if best is None:
        return target["mask"], target["score"]
    try:
        return components.store.get_mask(best["mask"]), best["score"]
    except StoreError:
        return target["mask"], target["score"]
