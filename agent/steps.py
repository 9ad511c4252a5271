"""Step records: pending actions, the records of applied ones, and which steps are active, that is, not undone."""

from typing import Any

from langgraph.runtime import Runtime

from ibisagent.agent.state import PendingAction, RunContext, State, StepRecord
from ibisagent.tools.masks.rle import Rle, rle_key

__all__ = [
    "INITIAL_MASK",
    "active_prompt_indices",
    "active_prompt_steps",
    "append_step",
    "build_step_record",
    "emit_event",
    "pending_action",
    "steps_of_request",
    "undo_history",
]

INITIAL_MASK = 0  # value of `reverts` and `restores` for the initial mask; steps count from 1


def pending_action(
    action: dict[str, Any] | None, by: str, reply: str | None = None, at: str = "", seconds: float = 0.0
) -> PendingAction:
    """Build a pending action; ``reply``: key of the raw reply, ``seconds``: the policy's time."""
    return PendingAction(action=action, actor=by, reply=reply, context_key=at, seconds=seconds)


def build_step_record(
    state: State,
    item: PendingAction,
    mask: Rle,
    score: float | None,
    *,
    seconds: float = 0.0,
    error: str | None = None,
    reverts: int | None = None,
    restores: int | None = None,
) -> StepRecord:
    """Build the record of a step with the current mask after it; ``seconds`` is the segmenter's time."""
    return StepRecord(
        index=len(state["steps"]) + 1,
        actor=item["actor"],
        action=item["action"],
        error=error,
        mask=rle_key(mask),
        score=score,
        reply=item["reply"],
        context_key=item["context_key"],
        seconds={"policy": item["seconds"], "segmenter": seconds},
        reverts=reverts,
        restores=restores,
    )


def append_step(runtime: Runtime[RunContext], step: StepRecord) -> dict[str, Any]:
    """Return the update that appends a step, and emit it as a stream event."""
    emit_event(runtime, "step", **step)
    return {"steps": [step]}


def emit_event(runtime: Runtime[RunContext], event: str, **facts: Any) -> None:
    """Write a plain event to LangGraph's custom stream."""
    runtime.stream_writer({"event": event, **facts})


def steps_of_request(state: State) -> list[StepRecord]:
    """Return the steps of the current request, oldest first."""
    return state["steps"][state["run"]["first_step"] :]


def active_prompt_steps(state: State) -> list[StepRecord]:
    """Return the steps of the current request whose prompts are active, oldest first."""
    return [state["steps"][number - 1] for number in active_prompt_indices(steps_of_request(state))]


def active_prompt_indices(steps: list[StepRecord]) -> list[int]:
    """Return the indices of the steps whose prompts are active, oldest first.

    >>> click, undo = {"type": "point"}, {"type": "backtrack"}
    >>> steps = [{"index": 1, "action": click, "error": None}, {"index": 2, "action": undo, "error": None}]
    >>> active_prompt_indices(steps)
    []
    """
    return undo_history(steps)[0]


def undo_history(steps: list[StepRecord]) -> tuple[list[int], list[int]]:
    """Return the indices of the active steps, oldest first, and of the undone ones that a redo restores, last first.

    A new prompt after an undo leaves nothing to restore.
    """
    active: list[int] = []
    undone: list[int] = []
    for step in steps:
        kind = step["action"]["type"] if step["action"] and not step["error"] else None
        if kind in ("point", "box"):
            active.append(step["index"])
            undone = []
        elif kind == "backtrack":
            undone.insert(0, active.pop() if active else INITIAL_MASK)
        elif kind == "redo":
            restored = undone.pop(0)
            active += [restored] if restored != INITIAL_MASK else []
    return active, undone
