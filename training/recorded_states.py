"""The states that a recorded run went through, as the loop had them before each reply of the policy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

from ibisagent.agent.components import Parts
from ibisagent.agent.config import LoopConfig
from ibisagent.agent.graph import build_graph
from ibisagent.agent.policies import ScriptedPolicy
from ibisagent.agent.state import RunInfo, State, StepRecord
from ibisagent.agent.steps import in_force
from ibisagent.agent.stores import ImageStore, RunStore
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.tools.masks.rle import Rle, rle_key

__all__ = ["Before", "parts_of", "states_of"]

_PICTURES = 64 * 2**20  # bytes


class Before(NamedTuple):
    """A state, and the step that the policy then made."""

    state: State
    step: Step


def parts_of(config: LoopConfig) -> Parts:
    """Give the parts of a loop that shows states (`Parts.observation`) and never asks a policy or a segmenter."""
    return build_graph(
        ScriptedPolicy([]), "disk", config, images=ImageStore(max_bytes=_PICTURES), store=RunStore()
    ).parts


def states_of(record: Trajectory, folder: Path, store: RunStore) -> Iterator[Before]:
    """Give the state before each reply; ``folder`` holds the record, ``store`` takes what the history context shows."""
    start = store.put_mask(rle_key(record.start), record.start)
    steps: list[StepRecord] = []
    mask, score, feedback, dropped = record.start, None, None, False
    for step in record.steps:
        if step.reply is not None:
            state = _state(record, folder, steps, mask, score, feedback, step)
            state["initial_mask"] = None if dropped or not record.refined else record.start
            state["run"] = cast(RunInfo, {"first": 0, "start": start, "image": record.image["sha"]})
            yield Before(state, step)
        feedback = step.error if step.reply is not None and step.action is None else None
        dropped = (dropped or step.reverts == 0) and step.restores != 0
        mask, score = step.mask, step.score
        steps.append(_kept(step, store))


def _state(
    record: Trajectory,
    folder: Path,
    steps: list[StepRecord],
    mask: Rle,
    score: float | None,
    feedback: str | None,
    step: Step,
) -> State:
    uri = record.image.get("uri")
    made = {each["n"]: each["action"] for each in steps}
    state: dict[str, Any] = {
        "image": record.image | {"uri": str(folder / uri) if uri else None},
        "request": record.request,
        "kind": record.kind,
        "mask": mask,
        "score": score,
        "steps": list(steps),
        "prompts": [made[n] for n in in_force(steps)],
        "undone": [{"action": action, "at": rle_key(mask)} for action in step.undone],
        "feedback": feedback,
    }
    return cast(State, state)


def _kept(step: Step, store: RunStore) -> StepRecord:
    reply = store.put({"text": step.reply}) if step.reply is not None else None
    return StepRecord(
        n=step.n,
        by=step.by,
        action=step.action,
        error=step.error,
        mask=store.put_mask(rle_key(step.mask), step.mask),
        score=step.score,
        reply=reply,
        at="",
        seconds=step.seconds,
        reverts=step.reverts,
        restores=step.restores,
    )
