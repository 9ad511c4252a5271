"""Nodes ``segment`` and ``backtrack``: predict the mask after a prompt, an undo or a redo."""

import time
from typing import Any

from langgraph.runtime import Runtime

from ibisagent.agent.actions import Backtrack, as_prompt, to_plain
from ibisagent.agent.graph_components import Components
from ibisagent.agent.nodes.common import Update, failure_update, is_cancelled
from ibisagent.agent.prediction import predict
from ibisagent.agent.protected_regions import contradicts_clicks, violates_regions
from ibisagent.agent.state import PendingAction, RunContext, State, UndoneAction, active_target, update_target
from ibisagent.agent.steps import (
    INITIAL_MASK,
    active_prompt_indices,
    active_prompt_steps,
    active_prompts,
    append_step,
    build_step_record,
    pending_action,
    steps_of_target,
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
    changes: Update = {"prompts": [*active_target(state)["prompts"], item["action"]]}
    try:
        found = _predict_and_store(state, changes, components)
        automatic_undo = _automatic_undo(state, item, found.rle, components)
    except InputError:
        raise
    except Exception as error:
        return _segmenter_failure(state, item, runtime, error, begun)
    return _apply(state, item, runtime, changes, found, begun) | {"queue": automatic_undo}


def _predict_and_store(state: State, changes: Update, components: Components) -> MemoEntry:
    """Predict from the active prompts of the target after ``changes`` of it, and store the mask."""
    changed: State = state | update_target(state, **changes)  # type: ignore[assignment]
    found = predict(changed, components, active_prompts(changed))
    components.store.put_mask(found.key, found.rle)
    return found


def _apply(
    state: State,
    item: PendingAction,
    runtime: Runtime[RunContext],
    changes: Update,
    found: MemoEntry,
    begun: float,
    reverts: int | None = None,
    restores: int | None = None,
) -> Update:
    """Return the update of a step that changed the target and its mask."""
    seconds, score = time.perf_counter() - begun, found.prediction.score
    step = build_step_record(
        state, item, mask=found.rle, score=score, seconds=seconds, reverts=reverts, restores=restores
    )
    run = state["run"] | {"seconds": state["run"]["seconds"] + seconds}
    return append_step(runtime, step) | update_target(state, **changes, mask=found.rle, score=score) | {"run": run}


def _segmenter_failure(
    state: State, item: PendingAction, runtime: Runtime[RunContext], error: Exception, begun: float
) -> Update:
    end = failure_update(state, "segmenter_error", error, begun)
    step = build_step_record(state, item, "failed", end["error"])
    return end | append_step(runtime, step)


def _automatic_undo(state: State, item: PendingAction, mask: Rle, components: Components) -> list[PendingAction]:
    """Return the backtrack of a policy's prompt that contradicts a person's clicks or that the guard forbids."""
    if item["actor"] != "policy":
        return []
    guard, pixels = components.config.guard, mask["size"][0] * mask["size"][1]
    if components.config.protect and _violates_protection(state, mask, components):
        return [pending_action(to_plain(Backtrack()), "protection", "automatic")]
    if guard is not None and guard.check(area(active_target(state)["mask"]), area(mask), pixels):
        return [pending_action(to_plain(Backtrack()), "guard", "automatic")]
    return []


def _violates_protection(state: State, mask: Rle, components: Components) -> bool:
    persons = {
        index: as_prompt(step["action"])
        for index, step in enumerate(active_prompt_steps(state))
        if step["actor"] == "person"
    }
    if not persons:
        return False
    before, after = components.view.mask(active_target(state)["mask"]), components.view.mask(mask)
    if contradicts_clicks(persons.values(), before, after):
        return True
    prompts = active_prompts(state)
    return components.config.protect == "region" and violates_regions(
        prompts, list(persons), lambda n: predict(state, components, prompts[:n]).prediction.mask, before, after
    )


def backtrack(state: State, runtime: Runtime[RunContext], components: Components) -> Update:
    """Undo or redo: an undo drops the last prompt, or without prompts the initial mask; a redo restores it.

    Mask and logits come from the memo, not from the model.
    """
    begun = time.perf_counter()
    item = state["queue"][0]
    assert item["action"] is not None
    try:
        changes, mark = (_redo if item["action"]["type"] == "redo" else _undo)(state, components)
        found = _predict_and_store(state, changes, components)
    except InputError:
        raise
    except Exception as error:
        return _segmenter_failure(state, item, runtime, error, begun)
    undone = [UndoneAction(action=action, mask=found.key) for action in _dropped_prompts(state, changes)]
    if undone:
        changes["undone"] = [*active_target(state)["undone"], *undone]
    return _apply(state, item, runtime, changes, found, begun, **mark) | {"queue": []}


def _undo(state: State, _components: Components) -> tuple[Update, dict[str, int]]:
    target = active_target(state)
    if not target["prompts"]:
        return {"initial_mask": None}, {"reverts": INITIAL_MASK}
    last = active_prompt_indices(steps_of_target(state))[-1]
    return {"prompts": target["prompts"][:-1]}, {"reverts": last}


def _dropped_prompts(state: State, changes: Update) -> list[dict[str, Any]]:
    """Return the prompts that ``changes`` take from the active target."""
    before = active_target(state)["prompts"]
    return before[len(changes.get("prompts", before)) :]


def _redo(state: State, components: Components) -> tuple[Update, dict[str, int]]:
    target, back = active_target(state), undo_history(steps_of_target(state))[1][0]
    if back == INITIAL_MASK:
        return {"initial_mask": components.store.get_mask(target["start"])}, {"restores": back}
    prompt = state["steps"][back - 1]["action"]
    last = max(index for index, item in enumerate(target["undone"]) if item["action"] == prompt)
    undone = [item for index, item in enumerate(target["undone"]) if index != last]
    return {"prompts": [*target["prompts"], prompt], "undone": undone}, {"restores": back}
