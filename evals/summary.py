"""The metrics of an evaluation, all from its rows: of each policy and segmenter, by group, and in paired comparisons.

Groups of the bootstrap are pictures. Everything that differs between two equal runs is under ``timing``.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np

from ibisagent.evals.behavior_metrics import GAIN, behavior_metrics
from ibisagent.evals.metrics import calibration, group_metrics
from ibisagent.evals.rows import INSTANCE_COLUMNS, VOLATILE, Row, is_failed, parse_case_metrics
from ibisagent.evals.stats import Bootstrap, Interval, compare, holm, mean_interval
from ibisagent.evals.trajectories import RANKS

__all__ = ["RULES", "compare_policies", "evaluator_means", "summarize_rows", "timing_metrics"]

Plain = dict[str, Any]
_BOOTSTRAP, _GROUP_BOOTSTRAP, _THRESHOLD = Bootstrap(), Bootstrap(resamples=2000), 0.5
RULES = {
    "level": _BOOTSTRAP.level,
    "resamples": _BOOTSTRAP.resamples,
    "resamples_in_groups": _GROUP_BOOTSTRAP.resamples,
    "threshold": _THRESHOLD,
    "recovery_gain": GAIN,
}
"""Bootstrap settings, the IoU above which a mask is the right entity, the IoU gain that counts as recovery."""
_GROUPINGS = ("modality", "target", "source")


def summarize_rows(rows: Sequence[Row]) -> Plain:
    """Return the metrics of the rows of one policy with one segmenter.

    ``failed``: how many runs are broken or ended by a failure, ``errors``: their reasons with counts, commonest first.
    ``overall`` and, by name, each group of ``modality``, ``target`` and ``source``: `group_metrics`,
    `behavior_metrics` and the means of the instances' metrics of the cases that are not broken. ``gap``: between the
    best and the worst source's mean IoU per case, None with fewer than two.
    """
    done = [row for row in rows if row["status"] == "done"]
    overall = _metrics(done, _BOOTSTRAP)
    grouped = {by: _grouped(done, by, overall) for by in _GROUPINGS}
    scores = calibration([row["score"] for row in done], [row["iou"] for row in done])
    return {
        "done": len(done),
        "broken": len(rows) - len(done),
        "failed": sum(map(is_failed, rows)),
        "errors": dict(Counter(row["reason"] for row in rows if is_failed(row)).most_common()),
        "overall": overall | {f"iou_at_{k}": _mean(done, f"iou_at_{k}") for k in RANKS},
        **grouped,
        "gap": _gap(grouped["source"]),
        "trajectories": _trajectories(done),
        "calibration": scores._asdict() | {"bins": [part._asdict() for part in scores.bins]},
    }


def _metrics(rows: Sequence[Row], bootstrap: Bootstrap) -> Plain:
    measured = [metrics for row in rows if (metrics := parse_case_metrics(row)) is not None]
    found = group_metrics(measured, [row["image"] for row in rows], threshold=_THRESHOLD, bootstrap=bootstrap)
    found |= behavior_metrics(rows, _THRESHOLD, bootstrap) | _instance_means(rows, bootstrap)
    return {name: interval._asdict() for name, interval in found.items()}


def _instance_means(rows: Sequence[Row], bootstrap: Bootstrap) -> dict[str, Interval]:
    """Return means over the cases; of the count error, of its size."""
    values = {name: [row[name] for row in rows] for name in INSTANCE_COLUMNS}
    values["count_error"] = [None if error is None else abs(error) for error in values["count_error"]]
    images = [row["image"] for row in rows]
    return {name: mean_interval(each, images, bootstrap) for name, each in values.items()}


def _mean(rows: Sequence[Row], column: str) -> Plain:
    return mean_interval([row[column] for row in rows], [row["image"] for row in rows], _BOOTSTRAP)._asdict()


def _grouped(rows: Sequence[Row], by: str, overall: Plain) -> Plain:
    """Return each group's metrics by name; the overall ones for a group that contains all rows."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[by], []).append(row)
    return {
        name: _metrics(some, _GROUP_BOOTSTRAP) if len(groups) > 1 else overall for name, some in sorted(groups.items())
    }


def _gap(sources: Plain) -> Plain | None:
    means = {name: found["iou_per_case"]["value"] for name, found in sources.items()}
    if len(means) < 2:
        return None
    worst, best = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    return {"by": "source", "worst": worst, "best": best, "gap": means[best] - means[worst]}


def _trajectories(rows: Sequence[Row]) -> Plain:
    """Return trajectory metrics under the names and in the shapes of `ibisagent.evals.trajectories.summary`."""
    made = [row["hits"] + row["misses"] for row in rows]
    turns = [row["turns"] for row in rows]
    counts = {"click_hit_rate": "hits", "progress_rate": "improving_clicks", "wasted_rate": "wasted_clicks"}
    undos, gained = sum(row["undos"] for row in rows), [row for row in rows if row["mean_undo_gain"] is not None]
    return {
        "runs": len(rows),
        "stops": dict(sorted(Counter(row["stop"] for row in rows).items())),
        "turns": _distribution(turns),
        "length": _distribution(_column(rows, "length")),
        "best_iou": _mean_and_median(_column(rows, "best_iou")),
        "regret": _mean_and_median(_column(rows, "regret")),
        "iou_at": {str(k): fmean(_column(rows, f"iou_at_{k}")) if rows else None for k in RANKS},
        "wasted_clicks": _distribution(_column(rows, "wasted_clicks")),
        **{rate: _rate(_column(rows, count), made) for rate, count in counts.items()},
        "valid_action_rate": _rate(_column(rows, "valid_actions"), turns),
        "repair_rate": _rate(_column(rows, "repaired_replies"), turns),
        "undos": {
            "count": undos,
            "helpful": sum(row["helpful_undos"] for row in rows),
            "mean_gain": sum(row["undos"] * row["mean_undo_gain"] for row in gained) / undos if undos else None,
        },
    }


def _column(rows: Iterable[Row], name: str) -> list[Any]:
    return [row[name] for row in rows if row[name] is not None]


def _distribution(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    half, most = np.percentile(values, (50, 95))
    return {"mean": fmean(values), "p50": float(half), "p95": float(most)}


def _mean_and_median(values: Sequence[float]) -> dict[str, float | None]:
    return {"mean": fmean(values), "median": float(np.median(values))} if values else {"mean": None, "median": None}


def _rate(parts: Sequence[int], wholes: Sequence[int]) -> dict[str, float | None]:
    shares = [part / whole for part, whole in zip(parts, wholes, strict=True) if whole]
    pooled = sum(parts) / sum(wholes) if shares else None
    return {"pooled": pooled, "per_run": fmean(shares) if shares else None}


def evaluator_means(rows: Sequence[Row], evaluators: Sequence[str]) -> Plain:
    """Return the mean score of each evaluator with its interval over pictures, over the runs that it applies to."""
    done = [row for row in rows if row["status"] == "done"]
    return {name: _mean(done, f"evaluator:{name}") for name in evaluators}


def timing_metrics(rows: Sequence[Row]) -> Plain:
    """Return the seconds and tokens per sample, over the cases that are not broken and recorded them."""
    return {name: _distribution(_column(rows, name)) for name in VOLATILE}


def compare_policies(
    ious: Mapping[tuple[str, str], Sequence[float | None]], images: Sequence[str]
) -> list[dict[str, Any]]:
    """Compare the IoU of every two policies with the same segmenter, case by case, first minus second.

    ``ious``: by policy and segmenter, a value a case, None where there is none; ``images``: the cases' pictures.
    ``holm_p``: the permutation test's, adjusted for all the comparisons that are returned.
    """
    pairs = [(one, other) for one, other in combinations(ious, 2) if one[1] == other[1]]
    found = [compare(ious[one], ious[other], images, _BOOTSTRAP) for one, other in pairs]
    adjusted = holm([each.permutation_p for each in found])
    return [
        {"segmenter": one[1], "first": one[0], "second": other[0], "metric": "iou"}
        | each._asdict()
        | {"difference": each.difference._asdict(), "holm_p": p}
        for (one, other), each, p in zip(pairs, found, adjusted, strict=True)
    ]
