"""Writes the finished trajectories: shards, the cases left out, a summary."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from ibisagent.tools.datasets import Case
from ibisagent.tools.files import atomic_write
from ibisagent.tools.jobs import jsonl
from ibisagent.tools.jobs.job_runner import Row
from ibisagent.training.trajectories.settings import COLUMNS

__all__ = ["SUMMARY", "write_shards"]

SUMMARY = "summary.json"
"""The last file to be written: where it exists, the folder is complete."""

_RECORDS_PER_SHARD = 500
_CSV_COLUMNS = COLUMNS[:3]


def write_shards(out: Path, rows: Path, cases: Sequence[Case]) -> None:
    """Write the kept records of the file ``rows`` into ``out``, one in memory at a time, and the cases left out."""
    where, left_out, replies = dict[str, int](), dict[str, Row](), Counter[str]()
    for offset, row in jsonl.scan_rows(rows, COLUMNS):
        where[row["id"]] = offset
        left_out.pop(row["id"], None)
        if row["status"] != "kept":
            left_out[row["id"]] = row
    kept = (where[case.id] for case in cases if case.id not in left_out)
    for number, shard in enumerate(_batched(kept)):
        path = out / f"trajectories-{number:05}.jsonl"
        with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for row in jsonl.read_rows_at(rows, shard):
                replies.update(step["completion"].get("model") for step in row["record"]["steps"])
                file.write(f"{json.dumps(row['record'], separators=(',', ':'))}\n")
    missing = [left_out[case.id] for case in cases if case.id in left_out]
    _write_left_out(out / "left-out.csv", missing)
    status = Counter(row["status"] for row in missing)
    counts = {"kept": len(cases) - len(missing), "dropped": status["dropped"], "broken": status["broken"]}
    with atomic_write(out / SUMMARY) as temporary:
        summary = counts | {"replies": dict(sorted(replies.items()))}
        temporary.write_text(json.dumps(summary, indent=1), encoding="utf-8")


def _batched(offsets: Iterable[int]) -> Iterator[list[int]]:
    offsets = iter(offsets)
    while shard := list(islice(offsets, _RECORDS_PER_SHARD)):
        yield shard


def _write_left_out(path: Path, rows: Iterable[Row]) -> None:
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_CSV_COLUMNS)
        writer.writerows([row[name] for name in _CSV_COLUMNS] for row in rows)
