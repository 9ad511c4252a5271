"""Asking the policy, and reading its reply."""

import asyncio
import time
from dataclasses import asdict

from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from ibisagent.agent.actions import Stop, to_plain
from ibisagent.agent.limits import LAST_SUPER_STEPS, place, repeats
from ibisagent.agent.nodes.common import Update, event_of, failed, writable
from ibisagent.agent.parsing import parse_completion
from ibisagent.agent.parts import Parts
from ibisagent.agent.person import contradicted, end_of, not_yours, pointless
from ibisagent.agent.policies.base import Completion, usage_total
from ibisagent.agent.state import Queued, RunContext, State
from ibisagent.agent.steps import appended, queued, step_of
from ibisagent.agent.waiting import Cancelled, await_call, call
from ibisagent.tools.errors import InputError, StoreError
from ibisagent.tools.plain import plain

__all__ = ["areason", "parse", "reason"]

_LONGEST_ANSWER = 4000  # characters


def reason(state: State, runtime: Runtime[RunContext], parts: Parts) -> Update:
    """Show the policy what there is to see and keep its reply; its failure is typed data, and so is its silence."""
    begun = time.perf_counter()
    try:
        patience = _patience(state, parts)
        completion = call(parts.policy.act, parts.observation(state), patience, event_of(runtime))
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
        completion = await await_call(parts.policy.aact, observation, patience, event_of(runtime))
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
        return failed(state, "cancelled", None, begun)
    end = failed(state, "policy_error", error, begun)
    budget = parts.config.max_seconds
    out_of_budget = isinstance(error, TimeoutError) and budget is not None and end["run"]["seconds"] >= budget
    return end | {"stop": "budget"} if out_of_budget else end


def _replied(state: State, parts: Parts, completion: Completion, begun: float) -> Update:
    if not isinstance(completion, Completion) or not isinstance(completion.text, str):
        raise TypeError(f"the policy returned {type(completion).__name__}, expected a Completion with text")
    seconds = float(completion.seconds) if completion.seconds is not None else time.perf_counter() - begun
    record = plain(asdict(completion)) | {"text": writable(completion.text)}
    del record["seconds"]  # it lies on the step: equal replies have equal keys
    run = state["run"]
    tokens = run["tokens"] + usage_total(completion.usage)
    spent: Update = {"call": seconds, "seconds": run["seconds"] + seconds, "tokens": tokens}
    return {"reply": parts.store.put(record), "run": run | spent}


def parse(state: State, runtime: Runtime[RunContext], parts: Parts) -> Update:
    """Read the reply: an action goes into the queue, an unparseable reply becomes the next message to the policy."""
    try:
        completion = parts.store.get(state["reply"] or "")
    except StoreError as error:
        return failed(state, "store_error", error, time.perf_counter())
    reply = parse_completion(completion, frame=parts.frame(state), allow=parts.allowed)
    seconds = state["run"]["call"]
    trouble = reply.error or pointless(state, reply.action) or contradicted(state, reply.action, reply.answer)
    if trouble is None and parts.config.protect and parts.author == "policy":
        trouble = not_yours(state, reply.action)
    if trouble is not None or reply.action is None:
        item = queued(None, parts.author, state["reply"], seconds=seconds)
        return _unparseable(state, runtime, item, trouble or "no action", parts.config.max_parse_failures)
    action = to_plain(reply.action)
    item = queued(action, parts.author, state["reply"], place(state, action), seconds)
    fine: Update = {"feedback": None, "failures": 0}
    if isinstance(reply.action, Stop):
        step = step_of(state, item, state["mask"], state["score"])
        stop = end_of(state, reply.action, reply.answer)
        return fine | appended(runtime, step) | {"stop": stop, "answer": _clip(reply.answer)}
    loop = repeats(state, item["at"])
    if loop is None:
        return fine | {"queue": [item]}
    step = step_of(state, item, state["mask"], state["score"], error=loop)
    return fine | appended(runtime, step) | {"stop": "loop"}


def _unparseable(state: State, runtime: Runtime[RunContext], item: Queued, error: str, most: int) -> Update:
    step = step_of(state, item, state["mask"], state["score"], error=error)
    failures = state["failures"] + 1
    stop = "parse_failures" if failures >= most else "budget" if state["remaining_steps"] < LAST_SUPER_STEPS else None
    ended = {"error": writable(error)} if stop == "parse_failures" else {}
    return appended(runtime, step) | {"feedback": error, "failures": failures, "stop": stop} | ended


def _clip(answer: str | None) -> str | None:
    return answer[:_LONGEST_ANSWER] if answer is not None else None
