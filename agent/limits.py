"""The limits that end a run although the policy would continue: pure functions of the state."""

import hashlib
import json
from typing import Any

from ibisagent.agent.config import LoopConfig
from ibisagent.agent.state import State, active_target
from ibisagent.agent.steps import steps_of_request, steps_of_target
from ibisagent.agent.stop_reasons import StopReason
from ibisagent.tools.masks.rle import rle_key

__all__ = ["RESERVED_SUPER_STEPS", "action_fingerprint", "reached_limit", "repeated_step"]

RESERVED_SUPER_STEPS = 6  # reason, parse, segment, a guard's backtrack, overlay, terminate


def reached_limit(state: State, config: LoopConfig) -> StopReason | None:
    """Return the limit that the run has reached, if any."""
    run = state["run"]
    if _is_stalled(state, config.patience):
        return "stalled"
    if _count_policy_actions(state) >= config.max_steps:
        return "max_steps"
    spent = config.max_seconds is not None and run["seconds"] >= config.max_seconds
    spent = spent or (config.max_tokens is not None and run["tokens"] >= config.max_tokens)
    return "budget" if spent or state["remaining_steps"] < RESERVED_SUPER_STEPS else None


def _count_policy_actions(state: State) -> int:
    return sum(step["actor"] == "policy" and step["outcome"] == "applied" for step in steps_of_request(state))


def _is_stalled(state: State, patience: int) -> bool:
    """Whether the last ``patience`` prompts, all the policy's, left the mask unchanged."""
    done = [step for step in steps_of_target(state) if step["outcome"] == "applied"]
    last = done[-patience:]
    before = done[-patience - 1]["mask"] if len(done) > patience else active_target(state)["start"]
    prompts = len(last) == patience and all(step["actor"] == "policy" and step["reverts"] is None for step in last)
    return prompts and {step["mask"] for step in last} == {before}


def action_fingerprint(state: State, action: dict[str, Any]) -> str:
    """Hash an action with its context: the target, its current mask, and the set of actions undone on that mask."""
    target = active_target(state)
    mask = rle_key(target["mask"])
    undone = sorted({json.dumps(item["action"], sort_keys=True) for item in target["undone"] if item["mask"] == mask})
    context = [action, target["name"], mask, undone]
    return hashlib.sha256(json.dumps(context, sort_keys=True).encode()).hexdigest()[:16]


def repeated_step(state: State, context_key: str) -> int | None:
    """Return the index of the step of this request with the same fingerprint, if any; A-B-A-B is found too."""
    return next((step["index"] for step in steps_of_request(state) if step["context_key"] == context_key), None)
