"""Nodes ``segment`` and ``backtrack``: predict the mask after a prompt, an undo or a redo."""

import time

from langgraph.runtime import Runtime

from ibisagent.agent.actions import Backtrack, to_plain
from ibisagent.agent.graph_components import Components, active_prompts, as_prompt
from ibisagent.agent.nodes.common import Update, failure_update, is_cancelled
from ibisagent.agent.protected_regions import contradicts_clicks, violates_regions
from ibisagent.agent.state import PendingAction, RunContext, State, UndoneAction
from ibisagent.agent.steps import (
    INITIAL_MASK,
    active_prompt_indices,
    active_prompt_steps,
    append_step,
    build_step_record,
    pending_action,
    steps_of_request,
    undo_history,
)
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.rle import Rle, area
from ibisagent.tools.segmenters.memo import MemoEntry

__all__ = ["backtrack", "segment"]


def segment(state: State, runtime: Runtime[RunContext], components: Components) -> Update:
    """Add the queued prompts, one step each, and predict; a guard may queue a backtrack of the last one."""
    now = state
    update: Update = {"queue": []}
    for number, item in enumerate(state["queue"]):
        if is_cancelled(runtime):
            break
        if item["action"] and item["action"]["type"] in ("backtrack", "redo"):  # a person's, on a branch
            update["queue"] = state["queue"][number:]
            break
        done = _segment_one(now, item, runtime, components)
        steps = [*now["steps"], *done["steps"]]
        update |= done
        now = now | done | {"steps": steps}  # type: ignore[assignment]
        if now["stop"] is not None:
            break
    return update | {"steps": now["steps"][len(state["steps"]) :]}


def _segment_one(state: State, item: PendingAction, runtime: Runtime[RunContext], components: Components) -> Update:
    begun = time.perf_counter()
    rest: Update = {"prompts": [*state["prompts"], item["action"]]}
    try:
        found = _predict_and_store(state | rest, components)  # type: ignore[arg-type]
        automatic_undo = _automatic_undo(state, item, found.rle, components)
    except InputError:
        raise
    except Exception as error:
        return _segmenter_failure(state, item, runtime, error, begun)
    step = build_step_record(state, item, found.rle, found.prediction.score, seconds=time.perf_counter() - begun)
    now = rest | _mask_update(state, found, begun)
    return now | append_step(runtime, step) | {"queue": automatic_undo}


def _predict_and_store(state: State, components: Components) -> MemoEntry:
    """Predict from the active prompts and store the mask."""
    found = components.predict(state, active_prompts(state))
    components.store.put_mask(found.key, found.rle)
    return found


def _mask_update(state: State, found: MemoEntry, begun: float) -> Update:
    spent = state["run"]["seconds"] + time.perf_counter() - begun
    return {"mask": found.rle, "score": found.prediction.score, "run": state["run"] | {"seconds": spent}}


def _segmenter_failure(
    state: State, item: PendingAction, runtime: Runtime[RunContext], error: Exception, begun: float
) -> Update:
    end = failure_update(state, "segmenter_error", error, begun)
    step = build_step_record(state, item, state["mask"], state["score"], error=end["error"])
    return end | append_step(runtime, step)


def _automatic_undo(state: State, item: PendingAction, mask: Rle, components: Components) -> list[PendingAction]:
    """Return the backtrack of a policy's prompt that contradicts a person's clicks or that the guard forbids."""
    if item["actor"] != "policy":
        return []
    guard, pixels = components.config.guard, mask["size"][0] * mask["size"][1]
    if components.config.protect and _violates_protection(state, mask, components):
        return [pending_action(to_plain(Backtrack()), "protection")]
    if guard is not None and guard.check(area(state["mask"]), area(mask), pixels):
        return [pending_action(to_plain(Backtrack()), "guard")]
    return []


def _violates_protection(state: State, mask: Rle, components: Components) -> bool:
    persons = {
        index: as_prompt(step["action"])
        for index, step in enumerate(active_prompt_steps(state))
        if step["actor"] == "person"
    }
    if not persons:
        return False
    before, after = components.decode_mask(state["mask"]), components.decode_mask(mask)
    if contradicts_clicks(persons.values(), before, after):
        return True
    prompts = active_prompts(state)
    return components.config.protect == "region" and violates_regions(
        prompts, list(persons), lambda count: components.predict(state, prompts[:count]).prediction.mask, before, after
    )


def backtrack(state: State, runtime: Runtime[RunContext], components: Components) -> Update:
    """Undo or redo: an undo drops the last prompt, or without prompts the initial mask; a redo restores it.

    Mask and logits come from the memo, not from the model.
    """
    begun = time.perf_counter()
    item = state["queue"][0]
    assert item["action"] is not None
    try:
        rest, mark = (_redo if item["action"]["type"] == "redo" else _undo)(state, components)
        found = _predict_and_store(state | rest, components)  # type: ignore[arg-type]
    except InputError:
        raise
    except Exception as error:
        return _segmenter_failure(state, item, runtime, error, begun)
    if dropped := rest.pop("dropped", None):
        rest["undone"] = [*state["undone"], UndoneAction(action=dropped, mask=found.key)]
    seconds = time.perf_counter() - begun
    step = build_step_record(state, item, found.rle, found.prediction.score, seconds=seconds, **mark)
    return rest | append_step(runtime, step) | _mask_update(state, found, begun) | {"queue": []}


def _undo(state: State, _components: Components) -> tuple[Update, Update]:
    if not state["prompts"]:
        return {"initial_mask": None}, {"reverts": INITIAL_MASK}
    last = active_prompt_indices(steps_of_request(state))[-1]
    return {"prompts": state["prompts"][:-1], "dropped": state["prompts"][-1]}, {"reverts": last}


def _redo(state: State, components: Components) -> tuple[Update, Update]:
    back = undo_history(steps_of_request(state))[1][0]
    if back == INITIAL_MASK:
        return {"initial_mask": components.store.get_mask(state["run"]["start"])}, {"restores": back}
    prompt = state["steps"][back - 1]["action"]
    last = max(index for index, item in enumerate(state["undone"]) if item["action"] == prompt)
    undone = [item for index, item in enumerate(state["undone"]) if index != last]
    return {"prompts": [*state["prompts"], prompt], "undone": undone}, {"restores": back}
