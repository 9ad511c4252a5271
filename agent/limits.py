"""When a run has to end although the policy would go on: pure functions of the state."""

import hashlib
import json
from typing import Any

from ibisagent.agent.config import LoopConfig
from ibisagent.agent.state import State, StopReason
from ibisagent.agent.steps import steps_of_turn
from ibisagent.tools.masks.rle import rle_key

__all__ = ["LAST_SUPER_STEPS", "REPEATS", "limit", "place", "repeats"]

REPEATS = "repeats step"
LAST_SUPER_STEPS = 6  # reason, parse, segment, a guard's backtrack, overlay, terminate


def limit(state: State, config: LoopConfig) -> StopReason | None:
    """Name the limit that the run has reached, if any."""
    run = state["run"]
    if _stalled(state, config.patience):
        return "stalled"
    if _actions(state) >= config.max_steps:
        return "max_steps"
    spent = config.max_seconds is not None and run["seconds"] >= config.max_seconds
    spent = spent or (config.max_tokens is not None and run["tokens"] >= config.max_tokens)
    return "budget" if spent or state["remaining_steps"] < LAST_SUPER_STEPS else None


def _actions(state: State) -> int:
    return sum(step["by"] == "policy" and step["error"] is None for step in steps_of_turn(state))


def _stalled(state: State, patience: int) -> bool:
    """Tell whether the last ``patience`` prompts, all the policy's, left the mask as it was."""
    done = [step for step in steps_of_turn(state) if step["error"] is None]
    last = done[-patience:]
    before = done[-patience - 1]["mask"] if len(done) > patience else state["run"]["start"]
    prompts = len(last) == patience and all(step["by"] == "policy" and step["reverts"] is None for step in last)
    return prompts and {step["mask"] for step in last} == {before}


def place(state: State, action: dict[str, Any]) -> str:
    """Hash an action with what it met: the mask, and the set of actions undone at that mask."""
    mask = rle_key(state["mask"])
    undone = sorted({json.dumps(item["action"], sort_keys=True) for item in state["undone"] if item["at"] == mask})
    return hashlib.sha256(json.dumps([action, mask, undone], sort_keys=True).encode()).hexdigest()[:16]


def repeats(state: State, at: str) -> str | None:
    """Name the step of this turn that did the same at the same place, if one did; it catches A-B-A-B as well."""
    earlier = next((step["n"] for step in steps_of_turn(state) if step["at"] == at), None)
    return f"{REPEATS} {earlier} on the same mask" if earlier is not None else None
