"""Nodes ``load`` and ``overlay``: open the image of a request, and draw the current mask for the policy."""

import numpy as np
from langgraph.runtime import Runtime

from ibisagent.agent.actions import PROMPT_KINDS
from ibisagent.agent.graph_components import Components
from ibisagent.agent.inputs import request_hash, require_request
from ibisagent.agent.limits import reached_limit
from ibisagent.agent.nodes.common import Update, cancel_event
from ibisagent.agent.propose import propose
from ibisagent.agent.state import (
    DEFAULT_TARGET,
    NO_RESULT,
    ProposalRecord,
    RunContext,
    RunInfo,
    State,
    TargetState,
    active_target,
    current_mask,
)
from ibisagent.agent.steps import emit_event, pending_action, steps_of_target
from ibisagent.agent.stores import reference_of
from ibisagent.agent.view import read_view
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import Rle, area, encode, rle_key

__all__ = ["load", "overlay"]


def load(state: State, runtime: Runtime[RunContext], components: Components) -> Update:
    """Open the image and start a request: the current mask becomes the initial mask; a new image starts afresh.

    Without a current mask the proposer is asked for one, unless the caller gave a mask or prompts.
    """
    require_request(state.get("request"))
    if not state.get("image"):
        raise InputError("image: got nothing, expected a path, an array, a picture or a MedicalImage")
    image = components.images.open(
        components.images.to_reference(state["image"])
    )  # an edited state may hold a plain path
    before = state.get("run")
    continues = before is not None and before["image"] == image.sha
    given = _read_initial_mask(state, image, components)
    initial = given or (_last_mask(state) if continues else None)
    proposal: ProposalRecord | None = None
    if given is not None or initial is None:
        has_own = given is not None or bool(state["prompts"])
        proposal, proposed = propose(state, image, has_own, components, cancel_event(runtime))
        initial = initial or proposed
    start = initial or encode(np.zeros(image.pixels.shape[:2], np.bool_))
    target = TargetState(
        name=DEFAULT_TARGET,
        start=components.store.put_mask(rle_key(start), start),
        has_initial_mask=initial is not None,
        mask=start,
        score=None,
        initial_mask=initial,
        prompts=[],
        undone=[],
        proposal=proposal,
    )
    if proposal is not None:
        emit_event(runtime, "proposal", proposal=proposal, mask=target["start"])
    run = RunInfo(
        request_index=before["request_index"] + 1 if continues and before is not None else 1,
        first_step=len(state["steps"]) if continues else 0,
        image=image.sha,
        request_hash=request_hash(state | {"initial_mask": given}, image, components.images),
        seed=state["seed"],
        review=components.config.review,
        seconds=proposal["seconds"] if proposal is not None else 0.0,
        tokens=0,
        last_call_seconds=0.0,
        segmenter=components.memo.fingerprint,
        fork_step=None,
        active=DEFAULT_TARGET,
        view=None,
    )
    return {
        **NO_RESULT,
        **({} if continues else {"steps": None}),
        "image": reference_of(image),
        "target_states": [target],
        "initial_mask": None,  # taken over into the target, as are the prompts
        "prompts": [],
        "queue": [pending_action(prompt, state["prompts_actor"], "request") for prompt in state["prompts"]],
        "feedback": None,
        "failures": 0,
        "reply": None,
        "run": run,
    }


def _last_mask(state: State) -> Rle | None:
    """Return the mask that the thread's last request ended with, or is at; None for an empty one."""
    mask = current_mask(state)
    return mask if area(mask) else None


def _read_initial_mask(state: State, image: MedicalImage, components: Components) -> Rle | None:
    given = state.get("initial_mask")
    return encode(components.images.read_mask(given, image)) if given is not None else None


def overlay(state: State, runtime: Runtime[RunContext], components: Components) -> Update:
    """Draw the current mask over the picture, emit an event for viewers, and check whether a limit is reached."""
    mask = active_target(state)["mask"]
    components.view.picture(components.images.open(state["image"]), mask, read_view(state["run"]["view"]))
    emit_event(runtime, "overlay", mask=rle_key(mask), steps=len(state["steps"]))
    return {
        "stop": state["stop"]
        or ("settled" if _is_settled(state, components) else reached_limit(state, components.config))
    }


def _is_settled(state: State, components: Components) -> bool:
    """Whether `LoopConfig.self_check` passes for the last step, which has to be a prompt of the policy."""
    check = components.config.self_check
    if check is None or not components.memo.segmenter.calibrated or not (steps := steps_of_target(state)):
        return False
    last, action = steps[-1], steps[-1]["action"]
    if last["actor"] != "policy" or last["outcome"] != "applied":
        return False
    if action is None or action["type"] not in PROMPT_KINDS:
        return False
    target = active_target(state)
    before = components.store.get_mask(steps[-2]["mask"] if len(steps) > 1 else target["start"])
    agreement = iou(components.view.mask(target["mask"]), components.view.mask(before))
    return check.passes(agreement, target["score"]) and area(target["mask"]) > 0
