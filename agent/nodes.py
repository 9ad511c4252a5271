"""The nodes of the loop: plain functions from the state to an update. The wiring stands in `ibisagent.agent.graph`."""

import asyncio
import time
from dataclasses import asdict
from typing import Any

import numpy as np
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from ibisagent.agent.actions import Backtrack, Terminate, to_plain
from ibisagent.agent.door import asked
from ibisagent.agent.limits import limit, place, repeats
from ibisagent.agent.parsing import parse_reply
from ibisagent.agent.parts import Parts, prompts_of
from ibisagent.agent.person import end_of, pointless, said
from ibisagent.agent.policies.base import Completion, usage_total
from ibisagent.agent.state import Queued, RunContext, RunInfo, State, StopReason, Undone
from ibisagent.agent.steps import INITIAL_MASK, appended, history, in_force, queued, step_of, steps_of_turn, tell
from ibisagent.agent.stores import reference_of
from ibisagent.agent.waiting import Cancelled, await_call, call
from ibisagent.tools.errors import InputError, StoreError
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.masks import Rle, area, encode, read_mask, rle_key
from ibisagent.tools.measure import measure
from ibisagent.tools.segmenters.memo import Memoised

__all__ = ["areason", "backtrack", "cancelled", "load", "overlay", "parse", "reason", "review", "segment", "terminate"]

Update = dict[str, Any]
_LONGEST_ANSWER = 4000  # characters


def load(state: State, parts: Parts) -> Update:
    """Open the image and begin a turn: the mask in force becomes the initial mask; a new image begins anew."""
    if not str(state.get("request") or "").strip():
        raise InputError("request: got nothing, expected words such as 'segment the liver'")
    if not state.get("image"):
        raise InputError("image: got nothing, expected a path, an array, a picture or a MedicalImage")
    image = parts.images.open(state["image"])
    before = state.get("run")
    goes_on = before is not None and before["image"] == image.sha
    given = _given_mask(state, image)
    initial = given or (state["mask"] if goes_on and area(state["mask"]) else None)
    start = initial or encode(np.zeros(image.pixels.shape[:2], np.bool_))
    run = RunInfo(
        turn=before["turn"] + 1 if goes_on and before is not None else 1,
        first=len(state["steps"]) if goes_on else 0,
        image=image.sha,
        start=parts.store.put_mask(rle_key(start), start),
        refined=initial is not None,
        asked=asked(state | {"initial_mask": given}, image),
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
        "queue": [queued(prompt, "person") for prompt in state["prompts"]],
        "undone": [],
        "failures": 0,
        "measurements": {},
        "run": run,
    }


def _given_mask(state: State, image: MedicalImage) -> Rle | None:
    given = state.get("initial_mask")
    return encode(read_mask(given, image)) if given is not None else None


def overlay(state: State, runtime: Runtime[RunContext], parts: Parts) -> Update:
    """Draw the mask in force over the picture for whoever looks next, and see whether a limit is reached."""
    parts.picture(parts.image(state), state["mask"])
    tell(runtime, "overlay", mask=rle_key(state["mask"]), steps=len(state["steps"]))
    return {"stop": state["stop"] or limit(state, parts.config)}


def reason(state: State, runtime: Runtime[RunContext], parts: Parts) -> Update:
    """Show the policy what there is to see and keep its reply; its failure is typed data, and so is its silence."""
    begun = time.perf_counter()
    try:
        patience = _patience(state, parts)
        completion = call(parts.policy.act, parts.observation(state), patience, _event(runtime))
        return _replied(state, parts, completion, begun)
    except (GraphBubbleUp, InputError):
        raise
    except Exception as error:
        return _unanswered(state, parts, error, begun)


async def areason(state: State, runtime: Runtime[RunContext], parts: Parts) -> Update:
    """Do what `reason` does without blocking the event loop."""
    begun = time.perf_counter()
    try:
        patience = _patience(state, parts)
        observation = await asyncio.to_thread(parts.observation, state)
        completion = await await_call(parts.policy.aact, observation, patience, _event(runtime))
        return await asyncio.to_thread(_replied, state, parts, completion, begun)
    except (GraphBubbleUp, InputError):
        raise
    except Exception as error:
        return _unanswered(state, parts, error, begun)


def _patience(state: State, parts: Parts) -> float | None:
    """Give the seconds that the policy has: its own limit, and no more than the budget leaves."""
    most, budget = parts.patience, parts.config.max_seconds
    left = budget - state["run"]["seconds"] if budget is not None else None
    return min((limit for limit in (most, left) if limit is not None), default=None)


def _unanswered(state: State, parts: Parts, error: Exception, begun: float) -> Update:
    if isinstance(error, Cancelled):
        return _failed(state, "cancelled", None, begun)
    failed = _failed(state, "policy_error", error, begun)
    budget = parts.config.max_seconds
    out_of_budget = isinstance(error, TimeoutError) and budget is not None and failed["run"]["seconds"] >= budget
    return failed | {"stop": "budget"} if out_of_budget else failed


def _replied(state: State, parts: Parts, completion: Completion, begun: float) -> Update:
    if not isinstance(completion, Completion) or not isinstance(completion.text, str):
        raise TypeError(f"the policy returned {type(completion).__name__}, expected a Completion with text")
    seconds = completion.seconds if completion.seconds is not None else time.perf_counter() - begun
    record = asdict(completion) | {"text": _writable(completion.text)}
    del record["seconds"]  # it lies on the step: equal replies have equal keys
    run = state["run"]
    tokens = run["tokens"] + usage_total(completion.usage)
    spent: Update = {"call": seconds, "seconds": run["seconds"] + seconds, "tokens": tokens}
    return {"reply": parts.store.put(record), "run": run | spent}


def _writable(text: str) -> str:
    """Replace what a checkpointer cannot write: lone surrogates, and for Postgres null characters."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _failed(state: State, stop: StopReason, error: Exception | None, begun: float) -> Update:
    spent = state["run"]["seconds"] + time.perf_counter() - begun
    said = _writable(f"{type(error).__name__}: {error}".splitlines()[0][:500]) if error is not None else None
    stop = "store_error" if isinstance(error, StoreError) else stop
    return {"stop": stop, "error": said, "reply": None, "queue": [], "run": state["run"] | {"seconds": spent}}


def parse(state: State, runtime: Runtime[RunContext], parts: Parts) -> Update:
    """Read the reply: an action goes into the queue, an unparseable reply becomes the next message to the policy."""
    try:
        text = parts.store.get(state["reply"] or "")["text"]
    except StoreError as error:
        return _failed(state, "store_error", error, time.perf_counter())
    reply = parse_reply(text, frame=parts.frame(state), allow=parts.allowed)
    seconds = state["run"]["call"]
    trouble = reply.error or pointless(state, reply.action)
    if trouble is not None or reply.action is None:
        item = queued(None, parts.author, state["reply"], seconds=seconds)
        return _unparseable(state, runtime, item, trouble or "no action", parts.config.max_parse_failures)
    action = to_plain(reply.action)
    item = queued(action, parts.author, state["reply"], place(state, action), seconds)
    fine: Update = {"feedback": None, "failures": 0}
    if isinstance(reply.action, Terminate):
        step = step_of(state, item, state["mask"], state["score"])
        return fine | appended(runtime, step) | {"stop": end_of(state), "answer": _clip(reply.answer)}
    loop = repeats(state, item["at"])
    if loop is None:
        return fine | {"queue": [item]}
    step = step_of(state, item, state["mask"], state["score"], error=loop)
    return fine | appended(runtime, step) | {"stop": "loop"}


def _unparseable(state: State, runtime: Runtime[RunContext], item: Queued, error: str, most: int) -> Update:
    step = step_of(state, item, state["mask"], state["score"], error=error)
    failures = state["failures"] + 1
    stop = "parse_failures" if failures >= most else None
    return appended(runtime, step) | {"feedback": error, "failures": failures, "stop": stop}


def _clip(answer: str | None) -> str | None:
    return answer[:_LONGEST_ANSWER] if answer is not None else None


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
    except InputError:
        raise
    except Exception as error:
        return _unsegmented(state, item, runtime, error, begun)
    step = step_of(state, item, found.rle, found.prediction.score, seconds=time.perf_counter() - begun)
    return (
        appended(runtime, step)
        | rest
        | _now_in_force(state, found, begun)
        | {
            "queue": _guarded(state, item, found.rle, parts),
        }
    )


def _found(state: State, parts: Parts) -> Memoised:
    """Predict from the prompts in force and keep the mask."""
    found = parts.predict(state, prompts_of(state))
    parts.store.put_mask(found.key, found.rle)
    return found


def _now_in_force(state: State, found: Memoised, begun: float) -> Update:
    spent = state["run"]["seconds"] + time.perf_counter() - begun
    return {"mask": found.rle, "score": found.prediction.score, "run": state["run"] | {"seconds": spent}}


def _unsegmented(state: State, item: Queued, runtime: Runtime[RunContext], error: Exception, begun: float) -> Update:
    failed = _failed(state, "segmenter_error", error, begun)
    step = step_of(state, item, state["mask"], state["score"], error=failed["error"])
    return failed | appended(runtime, step)


def _guarded(state: State, item: Queued, mask: Rle, parts: Parts) -> list[Queued]:
    guard = parts.config.guard
    if guard is None or item["by"] != "policy":
        return []
    height, width = mask["size"]
    verdict = guard.verdict(area(state["mask"]), area(mask), height * width)
    return [queued(to_plain(Backtrack()), "guard")] if verdict else []


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


def _event(runtime: Runtime[RunContext]) -> Any:
    return (runtime.context or {}).get("cancel")


def cancelled(runtime: Runtime[RunContext]) -> bool:
    """Tell whether the caller has set the event that ends the run."""
    event = _event(runtime)
    return event is not None and bool(event.is_set())


def terminate(state: State, runtime: Runtime[RunContext], parts: Parts) -> Update:
    """End with a typed reason, the mask in force (or the best-scored one, where that may be asked) and its measures."""
    stop = state["stop"] or ("cancelled" if cancelled(runtime) else "terminated")
    mask, score = _result(state, parts)
    measurements = measure(parts.mask(mask), parts.image(state).spacing)
    tell(runtime, "end", stop=stop, mask=rle_key(mask), answer=state["answer"])
    return {"stop": stop, "mask": mask, "score": score, "measurements": measurements, "queue": []}


def _result(state: State, parts: Parts) -> tuple[Rle, float | None]:
    if not (parts.config.pick_best and parts.memo.segmenter.calibrated and state["prompts"]):
        return state["mask"], state["score"]
    standing = set(in_force(steps_of_turn(state)))
    scored = [step for step in steps_of_turn(state) if step["n"] in standing and step["score"] is not None]
    best = max(scored, key=lambda step: step["score"] or 0.0, default=None)
    if best is None:
        return state["mask"], state["score"]
    try:
        return parts.store.get_mask(best["mask"]), best["score"]
    except StoreError:
        return state["mask"], state["score"]
