"""The beginning of a turn, and of every look at it."""

import numpy as np
from langgraph.runtime import Runtime

from ibisagent.agent.components import Parts
from ibisagent.agent.inputs import request_hash, require_request
from ibisagent.agent.limits import limit
from ibisagent.agent.nodes.common import Update
from ibisagent.agent.state import RunContext, RunInfo, State
from ibisagent.agent.steps import queued, steps_of_turn, tell
from ibisagent.agent.stores import reference_of
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import Rle, area, encode, rle_key

__all__ = ["load", "overlay"]


def load(state: State, parts: Parts) -> Update:
    """Open the image and begin a turn: the mask in force becomes the initial mask; a new image begins anew."""
    require_request(state.get("request"))
    if not state.get("image"):
        raise InputError("image: got nothing, expected a path, an array, a picture or a MedicalImage")
    image = parts.images.open(parts.images.admit(state["image"]))  # a state that was edited may hold a bare name
    before = state.get("run")
    goes_on = before is not None and before["image"] == image.sha
    given = _given_mask(state, image, parts)
    initial = given or (state["mask"] if goes_on and area(state["mask"]) else None)
    start = initial or encode(np.zeros(image.pixels.shape[:2], np.bool_))
    run = RunInfo(
        turn=before["turn"] + 1 if goes_on and before is not None else 1,
        first=len(state["steps"]) if goes_on else 0,
        image=image.sha,
        start=parts.store.put_mask(rle_key(start), start),
        refined=initial is not None,
        asked=request_hash(state | {"initial_mask": given}, image, parts.images),
        review=parts.config.review,
        seconds=0.0,
        tokens=0,
        call=0.0,
        segmenter=parts.memo.fingerprint,
        forked=None,
    )
    fresh: Update = dict.fromkeys(("score", "answer", "stop", "error", "feedback", "reply"))
    if not goes_on:
        fresh["steps"] = None
    return fresh | {
        "image": reference_of(image),
        "initial_mask": initial,
        "mask": start,
        "prompts": [],
        "queue": [queued(prompt, state["prompts_by"]) for prompt in state["prompts"]],
        "undone": [],
        "failures": 0,
        "measurements": {},
        "run": run,
    }


def _given_mask(state: State, image: MedicalImage, parts: Parts) -> Rle | None:
    given = state.get("initial_mask")
    return encode(parts.images.read_mask(given, image)) if given is not None else None


def overlay(state: State, runtime: Runtime[RunContext], parts: Parts) -> Update:
    """Draw the mask in force over the picture for whoever looks next, and see whether a limit is reached."""
    parts.picture(parts.image(state), state["mask"])
    tell(runtime, "overlay", mask=rle_key(state["mask"]), steps=len(state["steps"]))
    return {"stop": state["stop"] or ("settled" if _settled(state, parts) else limit(state, parts.config))}


def _settled(state: State, parts: Parts) -> bool:
    """Tell whether the loop's own check finds that the last step, a prompt of the policy's, was the last one needed."""
    check = parts.config.self_check
    if check is None or not parts.memo.segmenter.calibrated or not (steps := steps_of_turn(state)):
        return False
    last, action = steps[-1], steps[-1]["action"]
    if last["by"] != "policy" or last["error"] or action is None or action["type"] not in ("point", "box"):
        return False
    before = steps[-2]["mask"] if len(steps) > 1 else state["run"]["start"]
    agreement = iou(parts.mask(state["mask"]), parts.mask(parts.store.get_mask(before)))
    return check.passes(agreement, state["score"]) and area(state["mask"]) > 0
