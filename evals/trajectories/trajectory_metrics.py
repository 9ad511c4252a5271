"""Metrics of one run: its turns, its undos, its seconds and tokens, and its fit to the truth."""

from dataclasses import dataclass

from ibisagent.agent.policies.base import total_tokens
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.evals.trajectories.step_kinds import has_action, indexed_prompts, is_policy_step
from ibisagent.evals.trajectories.truth_fit import TruthFit, compute_truth_fit, ratio
from ibisagent.tools.masks.rle import area

__all__ = ["Reversal", "TrajectoryMetrics", "trajectory_metrics"]


@dataclass(frozen=True, slots=True)
class Reversal:
    """An undo or a redo.

    ``step_index``: its step; ``actor``: policy, guard or person; ``reversed_step``: the step that it undid or redid, 0
    for the initial mask; ``iou_gain``: the IoU after it minus the IoU before it.
    """

    step_index: int
    actor: str
    reversed_step: int
    iou_gain: float | None


@dataclass(frozen=True, slots=True)
class TrajectoryMetrics:
    """Metrics of one run.

    ``turns``: replies of the policy to the end; ``length``: those that are no stop; ``valid_actions``: those that the
    loop could act on (parsed, and no repetition; a tool's failure is not the policy's); ``repaired_replies``: those
    parsed with repairs. ``prompts``: those that the policy made; ``person_steps``: what a person did beside
    the policy, except accepting. ``undos``, ``redos``: of every actor, oldest first. ``seconds``: of the whole run;
    ``policy_seconds`` per turn, ``segmenter_seconds`` per prompt, ``tokens`` per turn: only where recorded.
    ``first_mask_seconds``: of policy, segmenter and proposer to the first mask that is not empty; 0 for a mask that was
    given, None for a run that never had one, or where they are not recorded. ``stop``: None for a run that has not
    ended.
    """

    kind: str
    stop: str | None
    turns: int
    length: int
    valid_actions: int
    repaired_replies: int
    valid_action_rate: float | None
    repair_rate: float | None
    prompts: int
    person_steps: int
    undos: tuple[Reversal, ...]
    redos: tuple[Reversal, ...]
    seconds: float
    policy_seconds: tuple[float, ...]
    segmenter_seconds: tuple[float, ...]
    first_mask_seconds: float | None
    tokens: tuple[int, ...]
    fit: TruthFit | None


def trajectory_metrics(record: Trajectory) -> TrajectoryMetrics:
    """Compute the metrics of a run; `InputError` for masks of another size than the truth's and invalid prompts."""
    turns = [step for step in record.steps if is_policy_step(step)]
    stops = sum(has_action(step, "terminate", "decline") for step in turns)
    valid = sum(step.outcome in ("applied", "failed") for step in turns)  # a tool's failure is not the policy's
    repaired = sum(bool(step.repairs) and step.action is not None for step in turns)
    prompt_steps = [record.steps[index] for index, _ in indexed_prompts(record)]
    fit = compute_truth_fit(record)
    return TrajectoryMetrics(
        kind=record.kind,
        stop=record.stop,
        turns=len(turns),
        length=len(turns) - stops,
        valid_actions=valid,
        repaired_replies=repaired,
        valid_action_rate=ratio(valid, len(turns)),
        repair_rate=ratio(repaired, len(turns)),
        prompts=sum(map(is_policy_step, prompt_steps)),
        person_steps=sum(_is_person_step(step) for step in record.steps),
        undos=_reversals(record, "reverts", fit),
        redos=_reversals(record, "restores", fit),
        seconds=record.seconds,
        policy_seconds=_seconds(turns, "policy"),
        segmenter_seconds=_seconds(prompt_steps, "segmenter"),
        first_mask_seconds=_first_mask_seconds(record),
        tokens=tuple(total_tokens(usage) for step in turns if (usage := step.completion.get("usage"))),
        fit=fit,
    )


def _first_mask_seconds(record: Trajectory) -> float | None:
    proposal = record.target.proposal
    spent = proposal["seconds"] if proposal is not None else 0.0
    if area(record.start):
        return spent
    for step in record.steps:
        spent += sum(step.seconds.values())
        if not step.seconds:
            return None
        if area(step.mask):
            return spent
    return None


def _is_person_step(step: Step) -> bool:
    return step.actor == "person" and not is_policy_step(step) and not has_action(step, "terminate", "decline")


def _seconds(steps: list[Step], part: str) -> tuple[float, ...]:
    return tuple(step.seconds[part] for step in steps if part in step.seconds)


def _reversals(record: Trajectory, name: str, fit: TruthFit | None) -> tuple[Reversal, ...]:
    """Return the reversals whose field ``name`` holds the reversed step."""
    ious = (fit.start_iou, *fit.ious) if fit else None
    return tuple(
        Reversal(step.index, step.actor, of, ious[index + 1] - ious[index] if ious else None)
        for index, step in enumerate(record.steps)
        if (of := getattr(step, name)) is not None
    )
