"""Write ``results.csv`` and ``summary.json`` from the finished rows of an evaluation."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ibisagent.evals.rows import COLUMNS, Key, Pair, Row, evaluator_columns, row_key
from ibisagent.evals.summary import RULES, compare_policies, evaluator_means, summarize_rows, timing_metrics
from ibisagent.tools.datasets import Case
from ibisagent.tools.files import atomic_write
from ibisagent.tools.jobs.jsonl import read_rows_at, scan_rows

__all__ = ["write_results"]


def write_results(
    out: Path,
    rows: Path,
    cases: Sequence[Case],
    policies: Sequence[str],
    segmenters: Sequence[str],
    evaluators: Sequence[str] = (),
) -> None:
    """Write both files into ``out`` from the JSON lines file ``rows``, in the order of the cases and names given.

    ``evaluators``: names of those that the rows have columns of.

    Rows are read lazily, those of one policy with one segmenter at a time, which bounds memory.
    """
    columns = (*COLUMNS, *evaluator_columns(evaluators))
    where = {row_key(row): place for place, row in scan_rows(rows, columns)}
    keys = [(case.id, policy, segmenter) for case in cases for policy in policies for segmenter in segmenters]
    _write_csv(out / "results.csv", columns, read_rows_at(rows, (where[key] for key in keys if key in where)))
    there = {key[1:] for key in where}
    pairs = [(policy, segmenter) for segmenter in segmenters for policy in policies if (policy, segmenter) in there]
    with atomic_write(out / "summary.json") as temporary:
        temporary.write_text(json.dumps(_summary(rows, cases, pairs, where, evaluators), indent=1), encoding="utf-8")


def _write_csv(path: Path, columns: Sequence[str], rows: Iterator[Row]) -> None:
    """Write None as an empty cell and every float so that it reads back the same."""
    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(row.values() for row in rows)


def _summary(
    rows: Path, cases: Sequence[Case], pairs: Sequence[Pair], where: Mapping[Key, int], evaluators: Sequence[str]
) -> dict[str, Any]:
    runs, times, ious, images = [], [], {}, dict.fromkeys((case.id for case in cases), "")
    for policy, segmenter in pairs:
        keys = ((case.id, policy, segmenter) for case in cases)
        some = list(read_rows_at(rows, (where[key] for key in keys if key in where)))
        judged = {"evaluators": evaluator_means(some, evaluators)}
        runs.append({"policy": policy, "segmenter": segmenter} | summarize_rows(some) | judged)
        times.append({"policy": policy, "segmenter": segmenter} | timing_metrics(some))
        found = {row["id"]: row["iou"] for row in some}
        ious[policy, segmenter] = [found.get(case.id) for case in cases]
        images |= {row["id"]: row["image"] for row in some}
    return {
        "cases": len(cases),
        "images": len(set(images.values())),
        "absent": sum(not case.present for case in cases),
        "rules": RULES,
        "runs": runs,
        "comparisons": compare_policies(ious, list(images.values())),
        "timing": times,
    }
