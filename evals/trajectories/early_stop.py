"""A recorded run as if its policy had stopped earlier."""

from dataclasses import asdict, replace
from typing import Any

from ibisagent.agent.steps import active_prompt_indices
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.trajectories.step_kinds import indexed_prompts, is_policy_step
from ibisagent.tools.masks.rle import area

__all__ = ["stop_after"]

_ANSWER = "The target is segmented."
_NO_ANSWER = "The target is not visible."


def stop_after(record: Trajectory, prompts: int) -> Trajectory:
    """Return the run as if its policy had stopped after some of its prompts; the run itself if it made no more.

    Without a prompt in force and a mask that is a refusal.
    """
    own = [index for index, _ in indexed_prompts(record) if is_policy_step(record.steps[index])]
    if prompts >= len(own):
        return record
    kept = record.steps[: own[prompts]]
    mask = kept[-1].mask if kept else record.start
    made: Any = {step.index: step.action for step in kept}
    steps: Any = [asdict(step) for step in kept]
    active = tuple(made[index] for index in active_prompt_indices(steps))
    refused = not active and not area(mask)
    first = record.steps[own[prompts]]
    stop = replace(first, action={"type": "terminate"}, outcome="applied", error=None, repairs=(), mask=mask)
    targets = tuple(
        replace(each, mask=mask, prompts=active) if each.name == record.active else each for each in record.targets
    )
    return replace(
        record,
        steps=(*kept, stop),
        targets=targets,
        stop="target_absent" if refused else "terminated",
        answer=_NO_ANSWER if refused else _ANSWER,
    )
