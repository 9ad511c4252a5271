"""Metrics of many runs, and the paper's data table."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

import numpy as np

from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.trajectories.trajectory_metrics import Reversal, TrajectoryMetrics, trajectory_metrics
from ibisagent.evals.trajectories.truth_fit import RANKS, ratio

__all__ = ["TrajectoryTableRow", "summarize_metrics", "tabulate_metrics", "tabulate_records"]


@dataclass(frozen=True, slots=True)
class TrajectoryTableRow:
    """A row of the data table; ``states``: single-step samples, one per reply; ``mean_length``: without the stops.

    IoU and Dice are final ones per case, over the samples with a true mask; the click-hit rate is pooled over clicks.
    """

    modality: str
    samples: int
    states: int
    mean_length: float
    mean_iou: float | None
    median_iou: float | None
    mean_dice: float | None
    median_dice: float | None
    click_hit_rate: float | None


def summarize_metrics(metrics: Iterable[TrajectoryMetrics]) -> dict[str, Any]:
    """Return the metrics of many runs; every value is plain JSON, None where undefined.

    A rate has two values, ``pooled`` over all steps and the mean ``per_run`` (runs that have none left out).
    Percentiles are interpolated linearly. IoU and Dice are per case. Seconds and tokens per step are over the steps of
    all runs that recorded them.
    """
    runs = list(metrics)
    fits = [run.fit for run in runs if run.fit is not None]
    clicks = [(fit, fit.hits + fit.misses) for fit in fits]
    return {
        "runs": len(runs),
        "with_truth": len(fits),
        "stops": dict(sorted(Counter(run.stop or "unfinished" for run in runs).items())),
        "turns": _distribution([run.turns for run in runs]),
        "length": _distribution([run.length for run in runs]),
        "start_iou": _mean_and_median([fit.start_iou for fit in fits]),
        "final_iou": _mean_and_median([fit.final_iou for fit in fits]),
        "final_dice": _mean_and_median([fit.final_dice for fit in fits]),
        "best_iou": _mean_and_median([fit.best_iou for fit in fits]),
        "regret": _mean_and_median([fit.regret for fit in fits]),
        "iou_at": {str(k): _mean([fit.iou_at_step[str(k)] for fit in fits]) for k in RANKS},
        "wasted_clicks": _distribution([fit.wasted_clicks for fit in fits]),
        "click_hit_rate": _rate([(fit.hits, made) for fit, made in clicks]),
        "progress_rate": _rate([(fit.improving_clicks, made) for fit, made in clicks]),
        "wasted_rate": _rate([(fit.wasted_clicks, made) for fit, made in clicks]),
        "valid_action_rate": _rate([(run.valid_actions, run.turns) for run in runs]),
        "repair_rate": _rate([(run.repaired_replies, run.turns) for run in runs]),
        "undos": _reversal_counts([undo for run in runs for undo in run.undos]),
        "redos": _reversal_counts([redo for run in runs for redo in run.redos]),
        "person_steps": sum(run.person_steps for run in runs),
        "seconds_per_run": _distribution([run.seconds for run in runs]),
        "policy_seconds_per_step": _distribution([value for run in runs for value in run.policy_seconds]),
        "segmenter_seconds_per_step": _distribution([value for run in runs for value in run.segmenter_seconds]),
        "tokens_per_step": _distribution([value for run in runs for value in run.tokens]),
    }


def _mean(values: list[float]) -> float | None:
    return fmean(values) if values else None


def _median(values: list[float]) -> float | None:
    return float(median(values)) if values else None


def _mean_and_median(values: list[float]) -> dict[str, float | None]:
    return {"mean": _mean(values), "median": _median(values)}


def _distribution(values: list[float] | list[int]) -> dict[str, float] | None:
    if not values:
        return None
    half, most = np.percentile(values, (50, 95))
    return {"mean": fmean(values), "p50": float(half), "p95": float(most)}


def _rate(shares: list[tuple[int, int]]) -> dict[str, float | None]:
    pooled = ratio(sum(part for part, _ in shares), sum(whole for _, whole in shares))
    return {"pooled": pooled, "per_run": _mean([part / whole for part, whole in shares if whole])}


def _reversal_counts(reversals: list[Reversal]) -> dict[str, dict[str, Any]]:
    """Count reversals by actor: how many, how many with a known gain raised the IoU, and the mean gain."""
    counts: dict[str, dict[str, Any]] = {}
    for author in sorted({each.actor for each in reversals}):
        own = [each for each in reversals if each.actor == author]
        gains = [each.iou_gain for each in own if each.iou_gain is not None]
        helped = sum(gain > 0 for gain in gains) if gains else None
        counts[author] = {"count": len(own), "helpful": helped, "mean_gain": _mean(gains)}
    return counts


def tabulate_records(
    records: Iterable[Trajectory], modality: Callable[[Trajectory], str] = lambda _: "all"
) -> list[TrajectoryTableRow]:
    """Tabulate a data set of runs as the paper does, one row for each value of ``modality``, sorted.

    A record does not hold its modality; ``lambda record: known[record.image["sha"]]`` takes it from a mapping.
    """
    return tabulate_metrics((modality(record), trajectory_metrics(record)) for record in records)


def tabulate_metrics(named: Iterable[tuple[str, TrajectoryMetrics]]) -> list[TrajectoryTableRow]:
    """Tabulate metrics of runs, one row for each name, sorted by name."""
    groups: dict[str, list[TrajectoryMetrics]] = {}
    for name, run in named:
        groups.setdefault(name, []).append(run)
    return [_row(name, runs) for name, runs in sorted(groups.items())]


def _row(name: str, runs: list[TrajectoryMetrics]) -> TrajectoryTableRow:
    fits = [run.fit for run in runs if run.fit is not None]
    ious, dices = [fit.final_iou for fit in fits], [fit.final_dice for fit in fits]
    return TrajectoryTableRow(
        modality=name,
        samples=len(runs),
        states=sum(run.turns for run in runs),
        mean_length=fmean(run.length for run in runs),
        mean_iou=_mean(ious),
        median_iou=_median(ious),
        mean_dice=_mean(dices),
        median_dice=_median(dices),
        click_hit_rate=ratio(sum(fit.hits for fit in fits), sum(fit.hits + fit.misses for fit in fits)),
    )
