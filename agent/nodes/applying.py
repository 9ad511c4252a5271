"""Making a mask of the prompts: a new one, one undone, one brought back."""

import time

from langgraph.runtime import Runtime

from ibisagent.agent.actions import Backtrack, to_plain
from ibisagent.agent.marked import spoils
from ibisagent.agent.nodes.common import Update, cancelled, failed
from ibisagent.agent.parts import Parts, prompts_of
from ibisagent.agent.person import overruled
from ibisagent.agent.state import Queued, RunContext, State, Undone
from ibisagent.agent.steps import (
    INITIAL_MASK,
    appended,
    history,
    in_force,
    queued,
    step_of,
    steps_in_force,
    steps_of_turn,
)
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks import Rle, area
from ibisagent.tools.segmenters.memo import Memoised

__all__ = ["backtrack", "segment"]


def segment(state: State, runtime: Runtime[RunContext], parts: Parts) -> Update:
    """Add the queued prompts, one step each, and predict; a guard may queue the undoing of the last one."""
    now = state
    update: Update = {"queue": []}
    for number, item in enumerate(state["queue"]):
        if cancelled(runtime):
            break
        if item["action"] and item["action"]["type"] in ("backtrack", "redo"):  # a person's, on a branch
            update["queue"] = state["queue"][number:]
            break
        done = _segment_one(now, item, runtime, parts)
        steps = [*now["steps"], *done["steps"]]
        update |= done
        now = now | done | {"steps": steps}  # type: ignore[assignment]
        if now["stop"] is not None:
            break
    return update | {"steps": now["steps"][len(state["steps"]) :]}


def _segment_one(state: State, item: Queued, runtime: Runtime[RunContext], parts: Parts) -> Update:
    begun = time.perf_counter()
    rest: Update = {"prompts": [*state["prompts"], item["action"]]}
    try:
        found = _found(state | rest, parts)  # type: ignore[arg-type]
        undoing = _undoing(state, item, found.rle, parts)
    except InputError:
        raise
    except Exception as error:
        return _unsegmented(state, item, runtime, error, begun)
    step = step_of(state, item, found.rle, found.prediction.score, seconds=time.perf_counter() - begun)
    now = rest | _now_in_force(state, found, begun)
    return now | appended(runtime, step) | {"queue": undoing}


def _found(state: State, parts: Parts) -> Memoised:
    """Predict from the prompts in force and keep the mask."""
    found = parts.predict(state, prompts_of(state))
    parts.store.put_mask(found.key, found.rle)
    return found


def _now_in_force(state: State, found: Memoised, begun: float) -> Update:
    spent = state["run"]["seconds"] + time.perf_counter() - begun
    return {"mask": found.rle, "score": found.prediction.score, "run": state["run"] | {"seconds": spent}}


def _unsegmented(state: State, item: Queued, runtime: Runtime[RunContext], error: Exception, begun: float) -> Update:
    end = failed(state, "segmenter_error", error, begun)
    step = step_of(state, item, state["mask"], state["score"], error=end["error"])
    return end | appended(runtime, step)


def _undoing(state: State, item: Queued, mask: Rle, parts: Parts) -> list[Queued]:
    """Return the undoing of a policy's prompt that went against a person's clicks, or that the guard forbids."""
    if item["by"] != "policy":
        return []
    guard, pixels = parts.config.guard, mask["size"][0] * mask["size"][1]
    if parts.config.protect and _is_against_a_person(state, mask, parts):
        return [queued(to_plain(Backtrack()), "protection")]
    if guard is not None and guard.verdict(area(state["mask"]), area(mask), pixels):
        return [queued(to_plain(Backtrack()), "guard")]
    return []


def _is_against_a_person(state: State, mask: Rle, parts: Parts) -> bool:
    before, after = parts.mask(state["mask"]), parts.mask(mask)
    if overruled(state, before, after):
        return True
    if parts.config.protect != "region":
        return False
    prompts = prompts_of(state)
    persons = [number for number, step in enumerate(steps_in_force(state)) if step["by"] == "person"]
    return spoils(prompts, persons, lambda count: parts.predict(state, prompts[:count]).prediction.mask, before, after)


def backtrack(state: State, runtime: Runtime[RunContext], parts: Parts) -> Update:
    """Walk the history: an undo drops the last prompt, or without prompts the initial mask; a redo brings it back.

    Mask and logits come from the memo, not from the model.
    """
    begun = time.perf_counter()
    item = state["queue"][0]
    assert item["action"] is not None
    try:
        rest, mark = (_redo if item["action"]["type"] == "redo" else _undo)(state, parts)
        found = _found(state | rest, parts)  # type: ignore[arg-type]
    except InputError:
        raise
    except Exception as error:
        return _unsegmented(state, item, runtime, error, begun)
    if dropped := rest.pop("dropped", None):
        rest["undone"] = [*state["undone"], Undone(action=dropped, at=found.key)]
    seconds = time.perf_counter() - begun
    step = step_of(state, item, found.rle, found.prediction.score, seconds=seconds, **mark)
    return rest | appended(runtime, step) | _now_in_force(state, found, begun) | {"queue": []}


def _undo(state: State, _parts: Parts) -> tuple[Update, Update]:
    if not state["prompts"]:
        return {"initial_mask": None}, {"reverts": INITIAL_MASK}
    last = in_force(steps_of_turn(state))[-1]
    return {"prompts": state["prompts"][:-1], "dropped": state["prompts"][-1]}, {"reverts": last}


def _redo(state: State, parts: Parts) -> tuple[Update, Update]:
    back = history(steps_of_turn(state))[1][0]
    if back == INITIAL_MASK:
        return {"initial_mask": parts.store.get_mask(state["run"]["start"])}, {"restores": back}
    prompt = state["steps"][back - 1]["action"]
    last = max(index for index, item in enumerate(state["undone"]) if item["action"] == prompt)
    undone = [item for index, item in enumerate(state["undone"]) if index != last]
    return {"prompts": [*state["prompts"], prompt], "undone": undone}, {"restores": back}
