"""The rows of a benchmark: one for each target, segmenter and mode, kept a line each in ``clicks.jsonl``."""

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from ibisagent.tools.jobs.jsonl import scan_rows

__all__ = ["ClickRow", "Key", "is_broken", "read_rows", "row_key"]

Key = tuple[str, str, str]
"""Case id, segmenter, mode."""


class ClickRow(NamedTuple):
    """One target, segmenter and mode; ``reason``: the error in one line, None when it ran.

    ``image`` is the picture's path in the data set, the same for all its targets and slices. ``pixel_prompts``,
    ``ious``, ``scores`` and ``seconds`` hold a value for each prompt made: ``r12c40+`` and ``r12c40-`` are clicks on
    row 12, column 40, ``r2c3..r20c50`` is a box with both corners in it. ``encoder_seconds`` are the picture's, which
    its targets share. ``f1_50``, ``count_error`` and ``panoptic_quality``: of the last mask's instances
    (`ibisagent.evals.metrics.InstanceMetrics`); ``hd95``: of the last mask, in pixels.
    """

    id: str
    image: str
    target: str
    modality: str
    source: str
    split: str
    segmenter: str
    fingerprint: str
    mode: str
    reason: str | None = None
    height: int | None = None
    width: int | None = None
    area_px: int | None = None
    pixel_prompts: tuple[str, ...] = ()
    ious: tuple[float, ...] = ()
    scores: tuple[float | None, ...] = ()
    encoder_seconds: float | None = None
    seconds: tuple[float, ...] = ()
    f1_50: float | None = None
    count_error: float | None = None
    panoptic_quality: float | None = None
    hd95: float | None = None

    @property
    def iou_lost(self) -> float:
        """Return the sum of all falls of the IoU from one prompt to the next."""
        return sum(max(0.0, before - after) for before, after in pairwise(self.ious))

    @property
    def key(self) -> Key:
        """Return the key that identifies the row in its run."""
        return self.id, self.segmenter, self.mode


def row_key(row: dict[str, Any]) -> Key:
    """Return the key of a row in its plain form."""
    return row["id"], row["segmenter"], row["mode"]


def is_broken(row: dict[str, Any]) -> bool:
    """Whether a row in its plain form is of a job that failed: it is tried again."""
    return row["reason"] is not None


def read_rows(path: Path) -> dict[Key, ClickRow]:
    """Read the finished rows by key; none without a file."""
    plain = (row.values() for _, row in scan_rows(path, ClickRow._fields))
    rows = (ClickRow._make(tuple(value) if isinstance(value, list) else value for value in values) for values in plain)
    return {row.key: row for row in rows}
