"""The rows of an evaluation: one flat, JSON-plain row for each case, policy and segmenter; None where unknown.

In `COLUMNS` order: what the case is, what was run and how it ended, the fields of `CaseMetrics`, what the run began
from, the fields of the trajectory metrics, and last, in `VOLATILE`, what differs between two equal runs. ``status`` is "done" or
"broken", with ``reason`` in one line; any typed stop is "done", for its mask counts. ``image`` is the picture's file in
the data set: targets and slices of one file are one unit of the bootstrap.

``start`` is what was planted, None in a run that begins with nothing: ``start_iou`` is that of the mask which the
policy met first, ``start_undone`` says whether the planted mask or click was undone. ``first_hit``: the policy's first
click or box hit (`ibisagent.tools.click_correctness`), None when it made none.
"""

from typing import Any, NamedTuple

from ibisagent.agent.state import FAILURES
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.metrics import CaseMetrics
from ibisagent.evals.trajectories import RANKS, TrajectoryMetrics
from ibisagent.tools.datasets import Case

__all__ = ["COLUMNS", "VOLATILE", "Key", "Pair", "Row", "EvalRun", "broken_row", "done_row", "is_failed", "row_key", "parse_case_metrics"]

Row = dict[str, Any]
Key = tuple[str, str, str]
"""Case id, policy and segmenter, by which rows are told apart."""
Pair = tuple[str, str]
"""A policy and a segmenter, by name."""

_CASE = ("id", "image", "target", "modality", "source", "split", "request")
_RUN = ("policy", "segmenter", "status", "reason", "stop")
_START = ("start", "start_iou", "start_undone")
_JOURNEY = (
    *("turns", "length", *(f"iou_at_{k}" for k in RANKS), "best_iou", "overshoot"),
    *(
        "first_hit",
        "hits",
        "misses",
        "click_hit_rate",
        "wasted_clicks",
        "valid",
        "valid_action_rate",
        "repaired",
        "repair_rate",
    ),
    *("progressed", "progress_rate", "undos", "undos_helped", "undo_gain"),
)
VOLATILE = ("seconds", "policy_seconds", "segmenter_seconds", "tokens")
"""Sums over a run, by the clock, while other processes compute; encoding the picture counts for the segmenter."""
COLUMNS = (*_CASE, *_RUN, *CaseMetrics._fields, *_START, *_JOURNEY, "score", "trajectory", *VOLATILE)


class EvalRun(NamedTuple):
    """What a row is about; ``image``: the key of the case's picture, ``policy``, ``segmenter``: by name.

    ``others``: further cases of the picture, where their masks are asked for.
    """

    case: Case
    image: str
    policy: str
    segmenter: str
    others: tuple[Case, ...] = ()


def row_key(row: Row) -> Key:
    """Tell which case, policy and segmenter a row is of."""
    return row["id"], row["policy"], row["segmenter"]


def is_failed(row: Row) -> bool:
    """Whether a row is broken, or of a run that its policy, segmenter or store ended: it is tried again."""
    return row["status"] == "broken" or row["stop"] in FAILURES


def parse_case_metrics(row: Row) -> CaseMetrics | None:
    """Give the case's figures back, None for a broken one."""
    return CaseMetrics(*(row[name] for name in CaseMetrics._fields)) if row["status"] == "done" else None


def broken_row(run: EvalRun, reason: str) -> Row:
    """Write the row of a case that could not be run."""
    return _row(run, status="broken", reason=" ".join(reason.split())[:300])


def done_row(
    run: EvalRun,
    record: Trajectory,
    path: str,
    metrics: CaseMetrics,
    trajectory: TrajectoryMetrics,
    encoding: float,
    start: str | None = None,
) -> Row:
    """Write the row of a case that was run; ``path``: the record's in the output folder, ``encoding``: in seconds.

    ``start``: what was planted.
    ``reason`` is what a failed policy, segmenter or store said. ``undos_helped`` raised the IoU,
    ``undo_gain`` is the mean IoU that an undo gained.
    """
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
        tokens=sum(trajectory.tokens) if trajectory.tokens else None,
        **metrics._asdict(),
        **_figures(trajectory),
        **(_start(start, trajectory) if start is not None else {}),
    )


def _start(kind: str, measured: TrajectoryMetrics) -> Row:
    planted = 1 if kind == "click" else 0  # the step that planted it; 0 is the initial mask
    met = measured.fit.policy_start_iou if measured.fit is not None else None
    return {"start": kind, "start_iou": met, "start_undone": any(undo.reversed_step == planted for undo in measured.undos)}


def _figures(measured: TrajectoryMetrics) -> Row:
    names = ("turns", "length", "valid", "valid_action_rate", "repaired", "repair_rate")
    figures: Row = {name: getattr(measured, name) for name in names}
    gains = [undo.iou_gain for undo in measured.undos if undo.iou_gain is not None]
    figures |= {"undos": len(measured.undos), "undos_helped": sum(gain > 0 for gain in gains)}
    figures["undo_gain"] = sum(gains) / len(gains) if gains else None
    fit = measured.fit
    if fit is not None:
        same = ("overshoot", "hits", "misses", "click_hit_rate", "progressed", "progress_rate")
        figures |= {name: getattr(fit, name) for name in same}
        figures |= {"best_iou": fit.best_iou, "wasted_clicks": fit.wasted_clicks, "first_hit": fit.first_click_hit}
        figures |= {f"iou_at_{k}": fit.iou_at_step[str(k)] for k in RANKS}
    return figures


def _row(run: EvalRun, **told: Any) -> Row:
    case = {name: getattr(run.case, name) for name in _CASE if name != "image"}
    known = {"image": run.image, "policy": run.policy, "segmenter": run.segmenter, **case, **told}
    return {name: known.get(name) for name in COLUMNS}
