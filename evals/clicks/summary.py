"""The results of a benchmark: ``clicks.csv``, a line for each row, and ``clicks.json``, the metrics of groups of rows.

* NoC@t: prompts until the IoU is t % or more; all of them, 20 by default, in a run that never reaches it.
* NoF@90 (``nof_90``, >=20@90): runs that never reach 90 %, as a share and a number. (RITM's code also counts those
  that reach it by the very last click.)
* IoU@k: after k prompts; a run that ended early, with no error pixel left, repeats its last. None past the number of
  prompts that was set.
* ``iou_at_end``: after the last prompt; ``hd95``: then, in pixels, of masks that are not empty.
* ``iou_lost``: by prompts that lower the IoU, all of a run together.
* Instances (`ibisagent.evals.metrics.instance_metrics`), of the mask after the last prompt: ``f1_50`` (F1 at IoU 0.5),
  ``count_error`` (the mean of its size, without its sign) and ``panoptic_quality``.
* A bounding box is a prompt, the first.
* Intervals: 95 % bootstrap, drawing pictures with all their targets. ``differences``: of each segmenter to the first,
  target by target.
* ``seconds``: of a prompt, the segmenter's ``predict`` alone; ``encoder_seconds``: of a picture, which counts once for
  each of its targets.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from ibisagent.evals.clicks.protocol import number_of_clicks
from ibisagent.evals.clicks.rows import ClickRow
from ibisagent.evals.stats import Bootstrap, Interval, compare, mean_interval, proportion_interval
from ibisagent.tools.files import atomic_write

__all__ = [
    "INSTANCE_COLUMNS",
    "NOC_TARGETS",
    "RANKS",
    "ClickGroup",
    "click_metrics",
    "compare_segmenters",
    "group_rows",
    "summarize_clicks",
    "write_csv",
    "write_json",
]

NOC_TARGETS = (80, 85, 90)
RANKS = (1, 3, 5, 10, 20)
INSTANCE_COLUMNS = ("f1_50", "count_error", "panoptic_quality")


class ClickGroup(NamedTuple):
    """All rows of a segmenter and a mode, or those of one modality; None is all of them."""

    segmenter: str
    mode: str
    modality: str | None
    rows: tuple[ClickRow, ...]

    @property
    def done(self) -> list[ClickRow]:
        """Return the rows that are not broken."""
        return [row for row in self.rows if row.reason is None]


def group_rows(rows: Sequence[ClickRow]) -> list[ClickGroup]:
    """Return each segmenter and mode, in the order of the rows, first all rows and then by modality if one is named."""
    modalities = sorted({row.modality for row in rows})
    parts = [None, *modalities] if any(modalities) else [None]
    return [
        ClickGroup(*pair, part, tuple(row for row in rows if _belongs(row, *pair, part)))
        for pair in dict.fromkeys((row.segmenter, row.mode) for row in rows)
        for part in parts
    ]


def click_metrics(rows: Sequence[ClickRow], clicks: int) -> dict[str, Interval]:
    """Return NoC, NoF, IoU@k and what else is measured of rows that are not broken, each with its interval."""
    pictures = [row.image for row in rows]
    failed = proportion_interval([not _reaches_90(row.ious) for row in rows], pictures)
    found = {name: mean_interval(values, pictures) for name, values in _measure(rows, clicks).items()}
    return found | {"nof_90": failed}


def compare_segmenters(rows: Sequence[ClickRow], clicks: int) -> list[dict[str, Any]]:
    """Return what each segmenter's metrics are above the first one's, by mode, as plain JSON.

    Target by target, over those that are broken in neither; the intervals are of the mean difference.
    """
    groups = [group for group in group_rows(rows) if group.modality is None]
    firsts: dict[str, ClickGroup] = {}
    compared = []
    for group in groups:
        first = firsts.setdefault(group.mode, group)
        if group is not first:
            compared.append(_group_key(group) | {"against": first.segmenter} | _compare(first, group, clicks))
    return compared


def _compare(first: ClickGroup, other: ClickGroup, clicks: int) -> dict[str, Any]:
    ours, theirs = ({row.id: row for row in group.done} for group in (other, first))
    shared = [id for id in ours if id in theirs]
    if not shared:
        return {"n": 0}
    above, below = (_measure([rows[id] for id in shared], clicks) for rows in (ours, theirs))
    pictures = [ours[id].image for id in shared]
    found = {
        name: compare(values, below[name], pictures, Bootstrap(resamples=2_000)).difference._asdict()
        for name, values in above.items()
    }
    return {"n": len(shared), **found}


def _measure(rows: Sequence[ClickRow], clicks: int) -> dict[str, list[float | None]]:
    """Return each metric's values, one a row."""
    runs = [_padded_ious(row, clicks) for row in rows]
    errors = [None if row.count_error is None else abs(row.count_error) for row in rows]
    return {
        **{f"noc_{target}": [number_of_clicks(run, target / 100) for run in runs] for target in NOC_TARGETS},
        "iou_at_end": [run[-1] for run in runs],
        **{f"iou_at_{rank}": [run[rank - 1] for run in runs] for rank in RANKS if rank <= clicks},
        "hd95": [row.hd95 for row in rows],
        "iou_lost": [row.iou_lost for row in rows],
        "f1_50": [row.f1_50 for row in rows],
        "count_error": errors,
        "panoptic_quality": [row.panoptic_quality for row in rows],
    }


def summarize_clicks(rows: Sequence[ClickRow], settings: dict[str, Any], absent: int) -> dict[str, Any]:
    """Return all metrics as plain JSON; two runs differ in ``timing`` alone, the last key."""
    clicks, groups = int(settings["clicks"]), group_rows(rows)
    return {
        "settings": settings,
        "absent": absent,
        "results": [_result(group, clicks) for group in groups],
        "differences": compare_segmenters(rows, clicks),
        "broken": [
            {"id": row.id, "segmenter": row.segmenter, "mode": row.mode, "reason": row.reason}
            for row in rows
            if row.reason is not None
        ],
        "timing": [_group_key(group) | _timing(group) for group in groups],
    }


def write_csv(path: Path, rows: Sequence[ClickRow], clicks: int) -> None:
    """Write a line for each row, whole or not at all; only the last two columns differ between two runs."""
    lines = [_csv_row(row, clicks) for row in rows]
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


def write_json(path: Path, summary: dict[str, Any]) -> None:
    """Write a summary, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(summary, indent=1) + "\n", "utf-8")


def _belongs(row: ClickRow, segmenter: str, mode: str, modality: str | None) -> bool:
    return (row.segmenter, row.mode) == (segmenter, mode) and modality in (None, row.modality)


def _padded_ious(row: ClickRow, clicks: int) -> list[float]:
    return [*row.ious, *row.ious[-1:] * (clicks - len(row.ious))]


def _reaches_90(run: Sequence[float]) -> bool:
    return max(run) >= 0.9


def _csv_row(row: ClickRow, clicks: int) -> dict[str, Any]:
    done, run = row.reason is None, _padded_ious(row, clicks)
    fields = {name: getattr(row, name) for name in ("id", "image", "target", "modality", "source", "split")}
    return {
        **fields,
        "segmenter": row.segmenter,
        "mode": row.mode,
        "status": "done" if done else "broken",
        "reason": row.reason,
        "height": row.height,
        "width": row.width,
        "area_px": row.area_px,
        "prompts": len(row.pixel_prompts) if done else None,
        **{f"noc_{target}": number_of_clicks(run, target / 100) if done else None for target in NOC_TARGETS},
        "nof_90": int(not _reaches_90(run)) if done else None,
        **{f"iou_at_{rank}": run[rank - 1] if done and rank <= clicks else None for rank in RANKS},
        "hd95": row.hd95,
        "iou_lost": row.iou_lost if done else None,
        **{name: getattr(row, name) for name in INSTANCE_COLUMNS},
        "pixel_prompts": " ".join(row.pixel_prompts),
        "ious": " ".join(map(repr, row.ious)),
        "encoder_seconds": row.encoder_seconds,
        "seconds": float(np.mean(row.seconds)) if done else None,
    }


def _result(group: ClickGroup, clicks: int) -> dict[str, Any]:
    rows = group.done
    found = {name: interval._asdict() for name, interval in click_metrics(rows, clicks).items()} if rows else {}
    if rows:
        found["nof_90"]["count"] = sum(not _reaches_90(row.ious) for row in rows)
    curve = [] if group.modality is not None else _curve(rows, clicks)
    return _group_key(group) | {
        "fingerprint": group.rows[0].fingerprint,
        "n": len(rows),
        "images": len({row.image for row in rows}),
        "broken": len(group.rows) - len(rows),
        **found,
        "score_spearman": _spearman(rows),
        "curve": [interval._asdict() for interval in curve],
    }


def _group_key(group: ClickGroup) -> dict[str, Any]:
    return {"segmenter": group.segmenter, "mode": group.mode, "modality": group.modality}


def _curve(rows: Sequence[ClickRow], clicks: int) -> list[Interval]:
    runs, pictures = [_padded_ious(row, clicks) for row in rows], [row.image for row in rows]
    return [mean_interval(values, pictures) for values in zip(*runs, strict=True)]


def _spearman(rows: Sequence[ClickRow]) -> float | None:
    """Return Spearman's correlation of score and IoU over all prompts; None without two different ones of each."""
    pairs = [(s, iou) for row in rows for s, iou in zip(row.scores, row.ious, strict=True) if s is not None]
    scores, ious = {score for score, _ in pairs}, {iou for _, iou in pairs}
    return float(stats.spearmanr(pairs).statistic) if len(scores) > 1 and len(ious) > 1 else None


def _timing(group: ClickGroup) -> dict[str, float | None]:
    seconds = [second for row in group.done for second in row.seconds]
    encoder = [row.encoder_seconds for row in group.done if row.encoder_seconds is not None]
    return {
        "seconds_median": float(np.median(seconds)) if seconds else None,
        "seconds_mean": float(np.mean(seconds)) if seconds else None,
        "seconds_p95": float(np.quantile(seconds, 0.95)) if seconds else None,
        "encoder_seconds_median": float(np.median(encoder)) if encoder else None,
        "encoder_seconds_mean": float(np.mean(encoder)) if encoder else None,
    }
