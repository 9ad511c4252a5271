"""Step records: pending actions, the records of applied ones, and which steps are active, that is, not undone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langgraph.runtime import Runtime

from ibisagent.agent.actions import PROMPT_KINDS, as_prompt
from ibisagent.agent.state import (
    Origin,
    Outcome,
    PendingAction,
    RunContext,
    State,
    StepRecord,
    active_target,
)
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.masks.rle import Rle, rle_key

__all__ = [
    "INITIAL_MASK",
    "active_prompt_indices",
    "active_prompt_steps",
    "active_prompts",
    "append_step",
    "build_step_record",
    "emit_event",
    "has_examples",
    "pending_action",
    "steps_of_request",
    "steps_of_target",
    "undo_history",
    "undone_actions_before",
]

INITIAL_MASK = 0  # value of `reverts` and `restores` for the initial mask; steps count from 1


def pending_action(
    action: dict[str, Any] | None,
    by: str,
    origin: Origin,
    reply: str | None = None,
    at: str = "",
    seconds: float = 0.0,
) -> PendingAction:
    """Build a pending action; ``reply``: key of the raw reply, ``seconds``: the policy's time."""
    return PendingAction(action=action, actor=by, origin=origin, reply=reply, context_key=at, seconds=seconds)


def build_step_record(
    state: State,
    item: PendingAction,
    outcome: Outcome = "applied",
    error: str | None = None,
    *,
    mask: Rle | None = None,
    score: float | None = None,
    seconds: float = 0.0,
    reverts: int | None = None,
    restores: int | None = None,
) -> StepRecord:
    """Build the record of a step on the active target.

    ``mask``, ``score``: after it; without ``mask`` both are unchanged. ``seconds``: the segmenter's time.
    """
    target = active_target(state)
    mask, score = (mask, score) if mask is not None else (target["mask"], target["score"])
    return StepRecord(
        index=len(state["steps"]) + 1,
        target=target["name"],
        view=state["run"]["view"],
        actor=item["actor"],
        origin=item["origin"],
        action=item["action"],
        outcome=outcome,
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


def steps_of_target(state: State) -> list[StepRecord]:
    """Return the steps of the current request on the active target, oldest first."""
    return [step for step in steps_of_request(state) if step["target"] == state["run"]["active"]]


def active_prompts(state: State) -> tuple[Prompt, ...]:
    """Return the active prompts of the active target, oldest first."""
    return tuple(as_prompt(plain) for plain in active_target(state)["prompts"])


def has_examples(prompts: Iterable[Mapping[str, Any]]) -> bool:
    """Whether an example is among prompts in their plain form, so that the mask is of many objects and not of one."""
    return any(prompt["type"] == "similar" for prompt in prompts)


def active_prompt_steps(state: State) -> list[StepRecord]:
    """Return the steps of the current request whose prompts are active on the active target, oldest first."""
    return [state["steps"][number - 1] for number in active_prompt_indices(steps_of_target(state))]


def active_prompt_indices(steps: list[StepRecord]) -> list[int]:
    """Return the indices of the steps whose prompts are active, oldest first.

    >>> click, undo = {"type": "point"}, {"type": "backtrack"}
    >>> steps = [{"index": n, "action": done, "outcome": "applied"} for n, done in ((1, click), (2, undo))]
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
        kind = step["action"]["type"] if step["action"] and step["outcome"] == "applied" else None
        if kind in PROMPT_KINDS:
            active.append(step["index"])
            undone = []
        elif kind == "backtrack":
            undone.insert(0, active.pop() if active else INITIAL_MASK)
        elif kind == "redo":
            restored = undone.pop(0)
            active += [restored] if restored != INITIAL_MASK else []
    return active, undone


def undone_actions_before(steps: Sequence[StepRecord], start: Mapping[str, str]) -> list[list[dict[str, Any]]]:
    """Return for each step the actions that had been undone on its target's mask before it.

    ``start``: keys of the targets' first masks by name.
    """
    undone: list[tuple[dict[str, Any], str, str]] = []  # actions, target, and key of its mask after their undoing
    before: list[list[dict[str, Any]]] = []
    actions = {step["index"]: step["action"] for step in steps}
    masks = dict(start)
    for step in steps:
        target = step["target"]
        before.append([action for action, *place in undone if place == [target, masks[target]]])
        masks[target] = step["mask"]
        reverted = actions.get(step["reverts"] or 0)
        if reverted is not None:
            undone.append((reverted, target, step["mask"]))
        restored = actions.get(step["restores"] or 0)
        if restored is not None:
            of_target = [index for index, each in enumerate(undone) if each[:2] == (restored, target)]
            del undone[max(of_target)]
    return before
