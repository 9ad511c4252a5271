"""The rows of an evaluation: one flat row of plain JSON for each case, policy and segmenter; None where unknown.

In `COLUMNS` order: the case, what was run and how it ended, the fields of `CaseMetrics`, some of
`InstanceMetrics`, the initial condition, the trajectory metrics, and last, in `VOLATILE`, what differs between two
equal runs. ``status`` is "done" or "broken", with ``reason`` in one line; any typed stop is "done", since its mask
counts. ``image`` is the picture's file in the data set: targets and slices of one file are one unit of the bootstrap.

``start`` is the kind of the initial condition (`ibisagent.evals.initial_conditions.STARTS`), None in a run that
begins without one: ``start_iou`` is the IoU of the first mask that the policy saw, ``start_undone`` is whether the
initial mask or distractor click was undone. ``proposal`` is the outcome of a proposer
(`ibisagent.agent.state.ProposalRecord`), None without one: ``proposal_iou`` is the IoU of what it proposed, and
``proposal_gain`` is what the loop then added to that. ``first_click_hit``: whether the policy's first click or box hit
(`ibisagent.tools.click_correctness`), None when it made none. ``reward_default`` and ``reward_paper``: by
`ibisagent.evals.rewards.REWARD_PRESETS`, None for a run that a failure ended. With evaluators a row has two further
columns for each (`evaluator_columns`): its score, None where it does not apply, and its reason.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ibisagent.agent.stop_reasons import FAILURES
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.evaluators.judged_run import EvaluatorResult
from ibisagent.evals.metrics import CaseMetrics, InstanceMetrics
from ibisagent.evals.rewards import REWARD_PRESETS, score_trajectory
from ibisagent.evals.trajectories import RANKS, TrajectoryMetrics
from ibisagent.tools.datasets import Case
from ibisagent.tools.jobs.job_runner import Row

__all__ = [
    "COLUMNS",
    "INSTANCE_COLUMNS",
    "VOLATILE",
    "EvalRun",
    "Key",
    "Pair",
    "Row",
    "broken_row",
    "done_row",
    "evaluator_columns",
    "evaluator_values",
    "is_failed",
    "parse_case_metrics",
    "row_key",
]

Key = tuple[str, str, str]
"""Case id, policy and segmenter, which identify a row."""
Pair = tuple[str, str]
"""A policy and a segmenter, by name."""

_CASE = ("id", "image", "target", "modality", "source", "split", "request")
_RUN = ("policy", "segmenter", "status", "reason", "stop")
INSTANCE_COLUMNS = ("f1_50", "count_error", "panoptic_quality")
_START = ("start", "start_iou", "start_undone")
_PROPOSAL = ("proposal", "proposal_by", "proposal_score", "proposal_iou", "proposal_gain")
_TRAJECTORY = (
    *("turns", "length", *(f"iou_at_{k}" for k in RANKS), "best_iou", "regret"),
    *("first_click_hit", "hits", "misses", "click_hit_rate", "wasted_clicks"),
    *("valid_actions", "valid_action_rate", "repaired_replies", "repair_rate"),
    *("improving_clicks", "progress_rate", "undos", "helpful_undos", "mean_undo_gain"),
)
_REWARDS = tuple(f"reward_{name}" for name in sorted(REWARD_PRESETS))
VOLATILE = ("seconds", "policy_seconds", "segmenter_seconds", "first_mask_seconds", "tokens")
"""Sums over a run in wall-clock time, while other processes compute; image encoding counts for the segmenter.

``first_mask_seconds``: to the first mask that is not empty, a proposed one included; None for a run without one.
"""
_LAST = ("score", "trajectory")
COLUMNS = (
    *_CASE,
    *_RUN,
    *CaseMetrics._fields,
    *INSTANCE_COLUMNS,
    *_START,
    *_PROPOSAL,
    *_TRAJECTORY,
    *_REWARDS,
    *_LAST,
    *VOLATILE,
)


class EvalRun(NamedTuple):
    """One run to make; ``image``: the key of the case's picture, ``policy``, ``segmenter``: by name.

    ``others``: further cases of the picture, where their masks are needed.
    """

    case: Case
    image: str
    policy: str
    segmenter: str
    others: tuple[Case, ...] = ()


def row_key(row: Row) -> Key:
    """Return the case id, policy and segmenter of a row."""
    return row["id"], row["policy"], row["segmenter"]


def evaluator_columns(names: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that follow `COLUMNS` in an evaluation with these evaluators."""
    return tuple(column for name in names for column in (f"evaluator:{name}", f"reason:{name}"))


def evaluator_values(results: Mapping[str, EvaluatorResult]) -> Row:
    """Return the values of `evaluator_columns`."""
    values = (value for each in results.values() for value in (each.score, each.reason))
    return dict(zip(evaluator_columns(results), values, strict=True))


def is_failed(row: Row) -> bool:
    """Whether a row is broken, or of a run that ended by a failure of its policy, segmenter or store: it is retried."""
    return row["status"] == "broken" or row["stop"] in FAILURES


def parse_case_metrics(row: Row) -> CaseMetrics | None:
    """Return the case metrics in a row, None for a broken one."""
    return CaseMetrics(*(row[name] for name in CaseMetrics._fields)) if row["status"] == "done" else None


def broken_row(run: EvalRun, reason: str, evaluators: Iterable[str] = ()) -> Row:
    """Return the row of a case that could not be run."""
    empty = dict.fromkeys(evaluator_columns(evaluators))
    return _row(run, status="broken", reason=" ".join(reason.split())[:300]) | empty


def done_row(
    run: EvalRun,
    record: Trajectory,
    path: str,
    metrics: CaseMetrics,
    found: InstanceMetrics,
    trajectory: TrajectoryMetrics,
    encoding: float,
    start: str | None = None,
) -> Row:
    """Return the row of a case that was run; ``path``: the record's in the output folder, ``encoding``: in seconds.

    ``start``: the kind of the initial condition. ``reason`` is the error of a failed policy, segmenter or store.
    ``helpful_undos`` raised the IoU, ``mean_undo_gain`` is the mean IoU that an undo gained.
    """
    first = trajectory.first_mask_seconds
    return _row(
        run,
        status="done",
        reason=record.error,
        stop=record.stop,
        score=record.score,
        trajectory=path,
        seconds=encoding + trajectory.seconds,
        policy_seconds=sum(trajectory.policy_seconds),
        segmenter_seconds=encoding + sum(trajectory.segmenter_seconds),
        first_mask_seconds=None if first is None else encoding + first,
        tokens=sum(trajectory.tokens) if trajectory.tokens else None,
        **metrics._asdict(),
        f1_50=found.f1,
        count_error=found.count_error,
        panoptic_quality=found.panoptic_quality,
        **_trajectory_columns(trajectory),
        **(_start_columns(start, trajectory) if start is not None else {}),
        **_proposal_columns(record, metrics, trajectory),
        **_reward_columns(record, run.case.target),
    )


def _start_columns(kind: str, measured: TrajectoryMetrics) -> Row:
    initial = 1 if kind == "distractor_click" else 0  # the step of the click; 0 is the initial mask
    met = measured.fit.policy_start_iou if measured.fit is not None else None
    return {
        "start": kind,
        "start_iou": met,
        "start_undone": any(undo.reversed_step == initial for undo in measured.undos),
    }


def _proposal_columns(record: Trajectory, metrics: CaseMetrics, measured: TrajectoryMetrics) -> Row:
    proposal = record.target.proposal
    if proposal is None:
        return {}
    found = measured.fit.start_iou if measured.fit is not None and proposal["outcome"] == "proposed" else None
    return {
        "proposal": proposal["outcome"],
        "proposal_by": proposal["by"],
        "proposal_score": proposal["score"],
        "proposal_iou": found,
        "proposal_gain": metrics.iou - found if found is not None else None,
    }


def _reward_columns(record: Trajectory, target: str) -> Row:
    scored = {name: score_trajectory(record, config, target=target) for name, config in REWARD_PRESETS.items()}
    return {f"reward_{name}": reward.total if reward is not None else None for name, reward in scored.items()}


def _trajectory_columns(measured: TrajectoryMetrics) -> Row:
    names = ("turns", "length", "valid_actions", "valid_action_rate", "repaired_replies", "repair_rate")
    figures: Row = {name: getattr(measured, name) for name in names}
    gains = [undo.iou_gain for undo in measured.undos if undo.iou_gain is not None]
    figures |= {"undos": len(measured.undos), "helpful_undos": sum(gain > 0 for gain in gains)}
    figures["mean_undo_gain"] = sum(gains) / len(gains) if gains else None
    fit = measured.fit
    if fit is not None:
        same = ("regret", "hits", "misses", "click_hit_rate", "improving_clicks", "progress_rate")
        figures |= {name: getattr(fit, name) for name in same}
        figures |= {
            "best_iou": fit.best_iou,
            "wasted_clicks": fit.wasted_clicks,
            "first_click_hit": fit.first_click_hit,
        }
        figures |= {f"iou_at_{k}": fit.iou_at_step[str(k)] for k in RANKS}
    return figures


def _row(run: EvalRun, **values: Any) -> Row:
    case = {name: getattr(run.case, name) for name in _CASE if name != "image"}
    known = {"image": run.image, "policy": run.policy, "segmenter": run.segmenter, **case, **values}
    return {name: known.get(name) for name in COLUMNS}
