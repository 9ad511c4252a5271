"""The states of a recorded run, as the loop had them before each reply of the policy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

from ibisagent.agent.config import LoopConfig
from ibisagent.agent.graph import build_graph
from ibisagent.agent.graph_components import Components
from ibisagent.agent.policies import ScriptedPolicy
from ibisagent.agent.state import RunInfo, State, StepRecord
from ibisagent.agent.steps import active_prompt_indices
from ibisagent.agent.stores import ImageStore, RunStore
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.tools.masks.rle import Rle, rle_key

__all__ = ["RecordedState", "build_components", "iter_states"]

_PICTURES = 64 * 2**20  # bytes


class RecordedState(NamedTuple):
    """A state, and the step that the policy then made."""

    state: State
    step: Step


def build_components(config: LoopConfig) -> Components:
    """Build the components of a loop that shows states and never calls a policy or a segmenter."""
    return build_graph(
        ScriptedPolicy([]), "disk", config, images=ImageStore(max_bytes=_PICTURES), store=RunStore()
    ).components


def iter_states(record: Trajectory, folder: Path, store: RunStore) -> Iterator[RecordedState]:
    """Yield the state before each reply; ``folder`` holds the record, ``store`` takes the replies and masks."""
    start = store.put_mask(rle_key(record.start), record.start)
    steps: list[StepRecord] = []
    mask, score, feedback, dropped = record.start, None, None, False
    for step in record.steps:
        if step.reply is not None:
            state = _build_state(record, folder, steps, mask, score, feedback, step)
            state["initial_mask"] = None if dropped or not record.has_initial_mask else record.start
            state["run"] = cast(RunInfo, {"first_step": 0, "start": start, "image": record.image["sha"], "seed": 0})
            yield RecordedState(state, step)
        feedback = step.error if step.reply is not None and step.action is None else None
        dropped = (dropped or step.reverts == 0) and step.restores != 0
        mask, score = step.mask, step.score
        steps.append(_to_step_record(step, store))


def _build_state(
    record: Trajectory,
    folder: Path,
    steps: list[StepRecord],
    mask: Rle,
    score: float | None,
    feedback: str | None,
    step: Step,
) -> State:
    uri = record.image.get("uri")
    made = {each["index"]: each["action"] for each in steps}
    state: dict[str, Any] = {
        "image": record.image | {"uri": str(folder / uri) if uri else None},
        "request": record.request,
        "kind": record.kind,
        "mask": mask,
        "score": score,
        "steps": list(steps),
        "prompts": [made[n] for n in active_prompt_indices(steps)],
        "undone": [{"action": action, "mask": rle_key(mask)} for action in step.undone],
        "feedback": feedback,
    }
    return cast(State, state)


def _to_step_record(step: Step, store: RunStore) -> StepRecord:
    reply = store.put({"text": step.reply}) if step.reply is not None else None
    return StepRecord(
        index=step.index,
        actor=step.actor,
        action=step.action,
        error=step.error,
        mask=store.put_mask(rle_key(step.mask), step.mask),
        score=step.score,
        reply=reply,
        context_key="",
        seconds=step.seconds,
        reverts=step.reverts,
        restores=step.restores,
    )
