"""The states of a recorded run, as the loop had them before each reply of the policy."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from ibisagent.agent.config import LoopConfig
from ibisagent.agent.graph import build_graph
from ibisagent.agent.graph_components import Components
from ibisagent.agent.policies import ScriptedPolicy
from ibisagent.agent.state import RunInfo, State, StepRecord, TargetState
from ibisagent.agent.steps import INITIAL_MASK, active_prompt_indices
from ibisagent.agent.stores import ImageStore, RunStore
from ibisagent.agent.trajectory import Step, Target, Trajectory
from ibisagent.tools.masks.rle import rle_key

__all__ = ["RecordedState", "build_components", "is_rendered", "iter_states"]


class RecordedState(NamedTuple):
    """A state, and the step that the policy then made."""

    state: State
    step: Step


def build_components(config: LoopConfig, images: ImageStore) -> Components:
    """Build the components of a loop that shows states and never calls a policy or a segmenter."""
    # geocut takes every kind of prompt, so that none is left out of what a record's policy was offered
    return build_graph(ScriptedPolicy([]), "geocut", config, images=images, store=RunStore()).components


def is_rendered(step: Step) -> bool:
    """Whether a policy was, or by a label should have been, shown the state before a step."""
    return step.origin == "reply" or bool(step.completion.get("label"))


def iter_states(
    record: Trajectory, image: Mapping[str, Any], store: RunStore, wanted: Callable[[Step], bool] = is_rendered
) -> Iterator[RecordedState]:
    """Yield the state before each ``wanted`` step.

    ``image``: reference of its picture; ``store`` takes the replies and masks.
    """
    targets = {target.name: _first_state(target, store) for target in record.targets}
    starts = {target.name: target.start for target in record.targets}
    steps: list[StepRecord] = []
    feedback: str | None = None
    for step in record.steps:
        if wanted(step):
            active = targets[step.target]
            active["undone"] = [{"action": action, "mask": rle_key(active["mask"])} for action in step.undone]
            state = _build_state(record, image, copy.deepcopy(list(targets.values())), list(steps), feedback, step)
            yield RecordedState(state, step)
        feedback = step.error if step.outcome == "unparseable" else None
        steps.append(_to_step_record(step, store))
        target, made = targets[step.target], {each["index"]: each["action"] for each in steps}
        own = [each for each in steps if each["target"] == step.target]
        target["prompts"] = [made[number] or {} for number in active_prompt_indices(own)]
        target["mask"], target["score"] = step.mask, step.score
        if step.reverts == INITIAL_MASK:
            target["initial_mask"] = None
        if step.restores == INITIAL_MASK:
            target["initial_mask"] = starts[step.target]


def _first_state(target: Target, store: RunStore) -> TargetState:
    return TargetState(
        name=target.name,
        start=store.put_mask(rle_key(target.start), target.start),
        has_initial_mask=target.has_initial_mask,
        mask=target.start,
        score=None,
        initial_mask=target.start if target.has_initial_mask else None,
        prompts=[],
        undone=[],
        proposal=target.proposal,
    )


def _build_state(
    record: Trajectory,
    image: Mapping[str, Any],
    targets: list[TargetState],
    steps: list[StepRecord],
    feedback: str | None,
    step: Step,
) -> State:
    run = {"first_step": 0, "image": record.image["sha"], "active": step.target, "view": step.view, "seed": record.seed}
    state: dict[str, Any] = {
        "image": dict(image),
        "request": record.request,
        "kind": record.kind,
        "target_states": targets,
        "steps": steps,
        "feedback": feedback,
        "run": cast(RunInfo, run),
    }
    return cast(State, state)


def _to_step_record(step: Step, store: RunStore) -> StepRecord:
    reply = store.put({"text": step.reply}) if step.reply is not None else None
    return StepRecord(
        index=step.index,
        target=step.target,
        view=step.view,
        actor=step.actor,
        origin=step.origin,
        action=step.action,
        outcome=step.outcome,
        error=step.error,
        mask=store.put_mask(rle_key(step.mask), step.mask),
        score=step.score,
        reply=reply,
        context_key="",
        seconds=step.seconds,
        reverts=step.reverts,
        restores=step.restores,
    )
