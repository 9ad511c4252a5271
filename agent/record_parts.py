"""Parts of a record: its steps up to one of them, and those from there on, each as a record of its own."""

from dataclasses import replace

from ibisagent.agent.steps import INITIAL_MASK, active_prompt_indices
from ibisagent.agent.trajectory import Step, Target, Trajectory
from ibisagent.tools.masks.rle import Rle

__all__ = ["first_steps", "later_steps"]


def first_steps(record: Trajectory, count: int) -> Trajectory:
    """Return the record of a run that waits after its first ``count`` steps, of one target; the truth is kept.

    Steps that failed, which changed nothing, are left out, and the others are counted from 1: so replaying the part on
    a new thread gives the same steps.
    """
    kept = [step for step in record.steps[:count] if step.outcome != "failed"]
    numbers = {step.index: number for number, step in enumerate(kept, 1)} | {INITIAL_MASK: INITIAL_MASK}
    steps = tuple(_renumber(step, numbers) for step in kept)
    actions = {step.index: step.action or {} for step in steps}
    plain = [{"index": step.index, "action": step.action, "outcome": step.outcome} for step in steps]
    active = tuple(actions[index] for index in active_prompt_indices(plain))  # type: ignore[arg-type]
    target = replace(
        record.target,
        mask=_mask_before(record, count),
        score=_score_after(steps),
        prompts=active,
        measurements={},
        instances=None,
    )
    end = {"stop": None, "error": None, "answer": None, "fork_step": None, "request_index": 1}
    return replace(record, targets=(target,), steps=steps, **end)  # type: ignore[arg-type]


def later_steps(record: Trajectory, count: int) -> Trajectory:
    """Return the record of a run without its first ``count`` steps: it begins with the mask that they led to."""
    if not count:
        return record
    begun: Target = replace(record.target, start=_mask_before(record, count), has_initial_mask=True)
    targets = tuple(begun if target.name == begun.name else target for target in record.targets)
    return replace(record, targets=targets, steps=record.steps[count:])


def _mask_before(record: Trajectory, count: int) -> Rle:
    return record.steps[count - 1].mask if count else record.start


def _score_after(steps: tuple[Step, ...]) -> float | None:
    return steps[-1].score if steps else None


def _renumber(step: Step, numbers: dict[int, int]) -> Step:
    marks = {name: getattr(step, name) for name in ("reverts", "restores")}
    new = {name: numbers[index] if index is not None else None for name, index in marks.items()}
    return replace(step, index=numbers[step.index], **new)  # type: ignore[arg-type]
