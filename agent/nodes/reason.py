"""Nodes ``reason`` and ``parse``: call the policy, and parse its reply."""

import asyncio
import time
from dataclasses import asdict

from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from ibisagent.agent.actions import Stop, to_plain
from ibisagent.agent.graph_components import Components
from ibisagent.agent.human_action import stop_reason, why_inconsistent, why_not_applicable, why_protected
from ibisagent.agent.limits import RESERVED_SUPER_STEPS, action_fingerprint, repeated_step
from ibisagent.agent.nodes.common import Update, cancel_event, failure_update, replace_unstorable
from ibisagent.agent.observation import build_observation
from ibisagent.agent.policies.base import Completion, total_tokens
from ibisagent.agent.reply_parser import parse_completion
from ibisagent.agent.state import PendingAction, RunContext, State, active_target
from ibisagent.agent.steps import append_step, build_step_record, pending_action
from ibisagent.agent.timeouts import Cancelled, await_with_timeout, call_with_timeout
from ibisagent.agent.view import read_view
from ibisagent.tools.errors import InputError, StoreError
from ibisagent.tools.json_values import to_builtin

__all__ = ["areason", "parse", "reason", "record_reply"]

_LONGEST_ANSWER = 4000  # characters


def reason(state: State, runtime: Runtime[RunContext], components: Components) -> Update:
    """Call the policy on the observation and store its reply; an error or a timeout becomes a stop reason."""
    begun = time.perf_counter()
    try:
        patience = _reply_timeout(state, components)
        completion = call_with_timeout(
            components.policy.act, build_observation(state, components), patience, cancel_event(runtime)
        )
        return record_reply(state, components, completion, begun)
    except (GraphBubbleUp, InputError):
        raise
    except Exception as error:
        return _policy_failure(state, components, error, begun)


async def areason(state: State, runtime: Runtime[RunContext], components: Components) -> Update:
    """Do what `reason` does without blocking the event loop."""
    begun = time.perf_counter()
    try:
        patience = _reply_timeout(state, components)
        observation = await asyncio.to_thread(build_observation, state, components)
        completion = await await_with_timeout(components.policy.aact, observation, patience, cancel_event(runtime))
        return await asyncio.to_thread(record_reply, state, components, completion, begun)
    except (GraphBubbleUp, InputError):
        raise
    except Exception as error:
        return _policy_failure(state, components, error, begun)


def _reply_timeout(state: State, components: Components) -> float | None:
    """Return the seconds that the policy has: its own limit, and no more than the budget leaves."""
    most, budget = components.reply_timeout, components.config.max_seconds
    left = budget - state["run"]["seconds"] if budget is not None else None
    return min((limit for limit in (most, left) if limit is not None), default=None)


def _policy_failure(state: State, components: Components, error: Exception, begun: float) -> Update:
    if isinstance(error, Cancelled):
        return failure_update(state, "cancelled", None, begun)
    end = failure_update(state, "policy_error", error, begun)
    budget = components.config.max_seconds
    out_of_budget = isinstance(error, TimeoutError) and budget is not None and end["run"]["seconds"] >= budget
    return end | {"stop": "budget"} if out_of_budget else end


def record_reply(state: State, components: Components, completion: Completion, begun: float) -> Update:
    """Return the update that stores a reply; ``begun``: by `time.perf_counter`, for one that does not say its time."""
    if not isinstance(completion, Completion) or not isinstance(completion.text, str):
        raise TypeError(f"the policy returned {type(completion).__name__}, expected a Completion with text")
    seconds = float(completion.seconds) if completion.seconds is not None else time.perf_counter() - begun
    record = to_builtin(asdict(completion)) | {"text": replace_unstorable(completion.text)}
    del record["seconds"]  # kept in the step instead, so that equal replies have equal keys
    run = state["run"]
    tokens = run["tokens"] + total_tokens(completion.usage)
    spent: Update = {"last_call_seconds": seconds, "seconds": run["seconds"] + seconds, "tokens": tokens}
    return {"reply": components.store.put(record), "run": run | spent}


def parse(state: State, runtime: Runtime[RunContext], components: Components) -> Update:
    """Parse the reply: an action is queued; the error of an unparseable reply is the policy's next feedback."""
    try:
        completion = components.store.get(state["reply"] or "")
    except StoreError as error:
        return failure_update(state, "store_error", error, time.perf_counter())
    image, view = components.images.open(state["image"]), read_view(state["run"]["view"])
    frame = components.view.frame(image, active_target(state)["mask"], view)
    reply = parse_completion(completion, frame=frame, allow=components.allowed_kinds)
    seconds = state["run"]["last_call_seconds"]
    problem = (
        reply.error
        or components.memo.refusal(reply.action)
        or why_not_applicable(state, reply.action)
        or why_inconsistent(state, reply.action, reply.answer)
    )
    if problem is None and components.config.protect and components.actor == "policy":
        problem = why_protected(state, reply.action)
    if problem is not None or reply.action is None:
        item = pending_action(None, components.actor, "reply", state["reply"], seconds=seconds)
        return _record_parse_failure(state, runtime, item, problem or "no action", components.config.max_parse_failures)
    action = to_plain(reply.action)
    item = pending_action(action, components.actor, "reply", state["reply"], action_fingerprint(state, action), seconds)
    parsed: Update = {"feedback": None, "failures": 0}
    if isinstance(reply.action, Stop):
        step = build_step_record(state, item)
        stop = stop_reason(state, reply.action, reply.answer)
        return parsed | append_step(runtime, step) | {"stop": stop, "answer": _clip_answer(reply.answer)}
    earlier = repeated_step(state, item["context_key"])
    if earlier is None:
        return parsed | {"queue": [item]}
    step = build_step_record(state, item, "repeated", f"repeats step {earlier} on the same mask")
    return parsed | append_step(runtime, step) | {"stop": "loop"}


def _record_parse_failure(
    state: State, runtime: Runtime[RunContext], item: PendingAction, error: str, most: int
) -> Update:
    step = build_step_record(state, item, "unparseable", error)
    failures = state["failures"] + 1
    stop = (
        "parse_failures" if failures >= most else "budget" if state["remaining_steps"] < RESERVED_SUPER_STEPS else None
    )
    ended = {"error": replace_unstorable(error)} if stop == "parse_failures" else {}
    return append_step(runtime, step) | {"feedback": error, "failures": failures, "stop": stop} | ended


def _clip_answer(answer: str | None) -> str | None:
    return answer[:_LONGEST_ANSWER] if answer is not None else None
