"""Step records: how an action waits in the queue, how it is written down, and which steps are in force."""

from typing import Any

from langgraph.runtime import Runtime

from ibisagent.agent.state import Queued, RunContext, State, StepRecord
from ibisagent.tools.masks.rle import Rle, rle_key

__all__ = [
    "INITIAL_MASK",
    "appended",
    "history",
    "in_force",
    "queued",
    "step_of",
    "steps_in_force",
    "steps_of_turn",
    "tell",
]

INITIAL_MASK = 0  # what `reverts` and `restores` say of the initial mask; steps count from 1


def queued(
    action: dict[str, Any] | None, by: str, reply: str | None = None, at: str = "", seconds: float = 0.0
) -> Queued:
    """Queue a plain action: who asked for it, its raw reply's key, its place (`limits.place`), the policy's seconds."""
    return Queued(action=action, by=by, reply=reply, at=at, seconds=seconds)


def step_of(
    state: State,
    item: Queued,
    mask: Rle,
    score: float | None,
    *,
    seconds: float = 0.0,
    error: str | None = None,
    reverts: int | None = None,
    restores: int | None = None,
) -> StepRecord:
    """Write a step down with the mask in force after it; ``seconds`` is the segmenter's time."""
    return StepRecord(
        n=len(state["steps"]) + 1,
        by=item["by"],
        action=item["action"],
        error=error,
        mask=rle_key(mask),
        score=score,
        reply=item["reply"],
        at=item["at"],
        seconds={"policy": item["seconds"], "segmenter": seconds},
        reverts=reverts,
        restores=restores,
    )


def appended(runtime: Runtime[RunContext], step: StepRecord) -> dict[str, Any]:
    """Append a step and tell whoever listens to the stream."""
    tell(runtime, "step", **step)
    return {"steps": [step]}


def tell(runtime: Runtime[RunContext], event: str, **facts: Any) -> None:
    """Send a plain custom stream event."""
    runtime.stream_writer({"event": event, **facts})


def steps_of_turn(state: State) -> list[StepRecord]:
    """Give the steps of the current request, oldest first."""
    return state["steps"][state["run"]["first"] :]


def steps_in_force(state: State) -> list[StepRecord]:
    """Return the steps of the current request whose prompts are in force, oldest first."""
    return [state["steps"][number - 1] for number in in_force(steps_of_turn(state))]


def in_force(steps: list[StepRecord]) -> list[int]:
    """Give the numbers of the steps whose prompts are in force, oldest first.

    >>> click, undo = {"type": "point"}, {"type": "backtrack"}
    >>> in_force([{"n": 1, "action": click, "error": None}, {"n": 2, "action": undo, "error": None}])
    []
    """
    return history(steps)[0]


def history(steps: list[StepRecord]) -> tuple[list[int], list[int]]:
    """Give the numbers of the steps in force, oldest first, and of the undone ones that a redo brings back, last first.

    Whatever is done after an undo, but for further undoing, leaves nothing to bring back.
    """
    standing: list[int] = []
    undone: list[int] = []
    for step in steps:
        kind = step["action"]["type"] if step["action"] and not step["error"] else None
        if kind in ("point", "box"):
            standing.append(step["n"])
            undone = []
        elif kind == "backtrack":
            undone.insert(0, standing.pop() if standing else INITIAL_MASK)
        elif kind == "redo":
            back = undone.pop(0)
            standing += [back] if back != INITIAL_MASK else []
    return standing, undone
