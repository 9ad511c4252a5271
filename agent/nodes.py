"""The nodes of the loop: plain functions from the state to an update. The wiring stands in `ibisagent.agent.graph`."""

import asyncio
import time
from dataclasses import asdict
from typing import Any

from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from ibisagent.agent.actions import Action, Backtrack, Terminate, from_plain, to_plain
from ibisagent.agent.limits import limit, place, repeats
from ibisagent.agent.parsing import Reply, parse_reply
from ibisagent.agent.parts import Parts, as_prompt, prompts_of
from ibisagent.agent.policies.base import Completion, usage_total
from ibisagent.agent.state import Queued, RunContext, RunInfo, State, StopReason, Undone
from ibisagent.agent.steps import INITIAL_MASK, appended, in_force, queued, step_of, steps_of_turn, tell
from ibisagent.agent.stores import reference_of
from ibisagent.tools.errors import InputError
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.masks import Rle, area, encode, read_mask, rle_key
from ibisagent.tools.measure import measure

__all__ = ["areason", "backtrack", "cancelled", "load", "overlay", "parse", "reason", "review", "segment", "terminate"]

Update = dict[str, Any]
_LONGEST_ANSWER = 4000


def load(state: State, parts: Parts) -> Update:
    """Open the image and begin a turn: the mask in force becomes the initial mask; a new image begins anew."""
    if not str(state.get("request") or "").strip():
        raise InputError("request: got nothing, expected words such as 'segment the liver'")
    if not state.get("image"):
        raise InputError("image: got nothing, expected a path, an array, a picture or a MedicalImage")
    image = parts.images.open(state["image"])
    before = state.get("run")
    goes_on = before is not None and before["image"] == image.sha
    initial = _initial_mask(state, image, goes_on)
    start = parts.memo.predict(image, initial, ())
    steps = state["steps"] if goes_on else []
    run = RunInfo(
        turn=before["turn"] + 1 if goes_on and before is not None else 1,
        first=len(steps),
        image=image.sha,
        start=parts.store.put_mask(start.key, start.rle),
        refined=initial is not None,
        review=parts.config.review,
        seconds=0.0,
        tokens=0,
        segmenter=parts.memo.fingerprint,
    )
    given = [queued(prompt, "person") for prompt in state["prompts"]]
    fresh: Update = dict.fromkeys(("score", "answer", "stop", "error", "feedback", "reply"))
    return fresh | {
        "image": reference_of(image),
        "initial_mask": initial,
        "mask": start.rle,
        "prompts": [],
        "queue": given,
        "undone": [],
        "failures": 0,
        "steps": steps,
        "measurements": {},
        "run": run,
    }


def _initial_mask(state: State, image: MedicalImage, goes_on: bool) -> Rle | None:
    given = state.get("initial_mask")
    if given is not None:
        return encode(read_mask(given, image))
    return state["mask"] if goes_on and area(state["mask"]) else None


def overlay(state: State, runtime: Runtime[RunContext], parts: Parts) -> Update:
    """Draw the mask in force over the picture for whoever looks next, and see whether a limit is reached."""
    parts.picture(parts.image(state), state["mask"])
    tell(runtime, "overlay", mask=rle_key(state["mask"]), steps=len(state["steps"]))
    return {"stop": state["stop"] or limit(state, parts.config)}


def reason(state: State, parts: Parts) -> Update:
    """Show the policy what there is to see and keep its reply; its failure is typed data."""
    begun = time.perf_counter()
    try:
        completion = parts.policy.act(parts.observation(state))
        return _replied(state, parts, completion, begun)
    except (GraphBubbleUp, InputError):
        raise
    except Exception as error:
        return _failed(state, "policy_error", error, begun)


async def areason(state: State, parts: Parts) -> Update:
    """Do what `reason` does without blocking the event loop."""
    begun = time.perf_counter()
    try:
        observation = await asyncio.to_thread(parts.observation, state)
        completion = await parts.policy.aact(observation)
        return _replied(state, parts, completion, begun)
    except (GraphBubbleUp, InputError):
        raise
    except Exception as error:
        return _failed(state, "policy_error", error, begun)


def _replied(state: State, parts: Parts, completion: Completion, begun: float) -> Update:
    if not isinstance(completion, Completion) or not isinstance(completion.text, str):
        raise TypeError(f"the policy returned {type(completion).__name__}, expected a Completion with text")
    seconds = completion.seconds if completion.seconds is not None else time.perf_counter() - begun
    record = asdict(completion) | {"text": _writable(completion.text), "seconds": seconds}
    tokens = state["run"]["tokens"] + usage_total(completion.usage)
    return {
        "reply": parts.store.put(record),
        "run": state["run"] | {"seconds": state["run"]["seconds"] + seconds, "tokens": tokens},
    }


def _writable(text: str) -> str:
    """Replace lone surrogates, which cannot be written to a checkpoint."""
    return text.encode("utf-8", "replace").decode()


def _failed(state: State, stop: StopReason, error: Exception, begun: float) -> Update:
    spent = state["run"]["seconds"] + time.perf_counter() - begun
    said = _writable(f"{type(error).__name__}: {error}".splitlines()[0][:500])
    return {"stop": stop, "error": said, "reply": None, "queue": [], "run": state["run"] | {"seconds": spent}}


def parse(state: State, runtime: Runtime[RunContext], parts: Parts) -> Update:
    """Read the reply: an action goes into the queue, an unparseable reply becomes the next message to the policy."""
    record = parts.store.get(state["reply"] or "")
    reply = parse_reply(record["text"], frame=parts.frame(state), allow=parts.config.actions)
    trouble = reply.error or _pointless(state, reply.action)
    if trouble is not None or reply.action is None:
        item = queued(None, parts.author, state["reply"], seconds=record["seconds"])
        return _unparseable(state, runtime, item, trouble or "no action", parts.config.max_parse_failures)
    action = to_plain(reply.action)
    item = queued(action, parts.author, state["reply"], place(state, action), record["seconds"])
    fine: Update = {"feedback": None, "failures": 0}
    if isinstance(reply.action, Terminate):
        step = step_of(state, item, state["mask"], state["score"])
        return fine | appended(state, runtime, step) | {"stop": _own_stop(state), "answer": _clip(reply.answer)}
    earlier = repeats(state, item["at"])
    if earlier is None:
        return fine | {"queue": [item]}
    step = step_of(state, item, state["mask"], state["score"], error=f"repeats step {earlier} on the same mask")
    return fine | appended(state, runtime, step) | {"stop": "loop"}


def _pointless(state: State, action: Action | None) -> str | None:
    nothing = not state["prompts"] and state["initial_mask"] is None
    return "Backtrack: there is nothing to undo" if isinstance(action, Backtrack) and nothing else None


def _unparseable(state: State, runtime: Runtime[RunContext], item: Queued, error: str, most: int) -> Update:
    step = step_of(state, item, state["mask"], state["score"], error=error)
    failures = state["failures"] + 1
    stop = "parse_failures" if failures >= most else None
    return appended(state, runtime, step) | {"feedback": error, "failures": failures, "stop": stop}


def _own_stop(state: State) -> StopReason:
    if state["prompts"] or area(state["mask"]):
        return "terminated"
    return "answered" if state["kind"] == "question" else "target_absent"


def _clip(answer: str | None) -> str | None:
    return answer[:_LONGEST_ANSWER] if answer is not None else None


def segment(state: State, runtime: Runtime[RunContext], parts: Parts) -> Update:
    """Add the queued prompts, one step each, and predict; a guard may queue the undoing of the last one."""
    now = state
    update: Update = {}
    for item in state["queue"]:
        update |= _segment_one(now, item, runtime, parts)
        now = now | update  # type: ignore[assignment]
        if now["stop"] is not None:
            break
    return {"queue": []} | update


def _segment_one(state: State, item: Queued, runtime: Runtime[RunContext], parts: Parts) -> Update:
    begun = time.perf_counter()
    prompts = [*state["prompts"], item["action"]]
    try:
        found = parts.predict(state, tuple(as_prompt(prompt) for prompt in prompts))
    except InputError:
        raise
    except Exception as error:
        failed = _failed(state, "segmenter_error", error, begun)
        step = step_of(state, item, state["mask"], state["score"], error=failed["error"])
        return failed | appended(state, runtime, step)
    seconds = time.perf_counter() - begun
    parts.store.put_mask(found.key, found.rle)
    score = found.prediction.score
    step = step_of(state, item, found.rle, score, seconds=seconds)
    return appended(state, runtime, step) | {
        "prompts": prompts,
        "mask": found.rle,
        "score": score,
        "queue": _guarded(state, item, found.rle, parts),
        "run": state["run"] | {"seconds": state["run"]["seconds"] + seconds},
    }


def _guarded(state: State, item: Queued, mask: Rle, parts: Parts) -> list[Queued]:
    guard = parts.config.guard
    if guard is None or item["by"] != "policy":
        return []
    height, width = mask["size"]
    verdict = guard.verdict(area(state["mask"]), area(mask), height * width)
    return [queued(to_plain(Backtrack()), "guard")] if verdict else []


def backtrack(state: State, runtime: Runtime[RunContext], parts: Parts) -> Update:
    """Drop the last prompt, or without prompts the initial mask; mask and logits come from the memo, not the model."""
    item = state["queue"][0]
    before = in_force(steps_of_turn(state))
    dropped = state["prompts"][-1] if state["prompts"] else None
    rest: Update = {"prompts": state["prompts"][:-1]} if dropped else {"initial_mask": None}
    without: State = state | rest  # type: ignore[assignment]
    found = parts.predict(without, prompts_of(without))
    parts.store.put_mask(found.key, found.rle)
    score = found.prediction.score
    step = step_of(state, item, found.rle, score, reverts=before[-1] if dropped else INITIAL_MASK)
    undone = [*state["undone"], Undone(action=dropped, at=found.key)] if dropped else state["undone"]
    return rest | appended(state, runtime, step) | {"mask": found.rle, "score": score, "undone": undone, "queue": []}


def review(state: State) -> Update:
    """Ask a person: accept, or a click, a box or an undo, which lead back into the loop."""
    error = None
    while True:
        said = interrupt(_question(state, error))
        if said in (True, "accept"):
            return {}
        reply = parse_reply(said) if isinstance(said, str) else _reply_of(said)
        error = reply.error or _pointless(state, reply.action)
        if isinstance(reply.action, Terminate):
            return {}
        if error is None and reply.action is not None:
            return {"queue": [queued(to_plain(reply.action), "person")], "stop": None, "answer": None, "error": None}


def _reply_of(said: Any) -> Reply:
    try:
        return Reply("", from_plain(said), None, (), None)
    except InputError as error:
        return Reply("", None, None, (), str(error))


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
        "expected": "'accept', an action such as 'Negative Point (0.41, 0.52)' or 'Backtrack', or its plain form",
        "error": error,
    }


def cancelled(runtime: Runtime[RunContext]) -> bool:
    """Tell whether the caller has set the event that ends the run."""
    event = (runtime.context or {}).get("cancel")
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
    return parts.store.get_mask(best["mask"]), best["score"]
