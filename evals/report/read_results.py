"""Read the results of an evaluation for the report."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ibisagent.tools.errors import InputError, describe_error
from ibisagent.tools.files import printable_text

__all__ = ["EvalResults", "ResultRow", "read_results"]


class ResultRow(NamedTuple):
    """The columns of ``results.csv`` that the report needs; numbers are nan for a broken one."""

    id: str
    image: str
    target: str
    modality: str
    source: str
    split: str
    policy: str
    segmenter: str
    status: str
    reason: str
    stop: str
    trajectory: str
    tolerance: float
    iou: float
    hits: float
    misses: float


_NUMBERS = [name for name, kind in ResultRow.__annotations__.items() if kind is float]


@dataclass(frozen=True, slots=True, eq=False)
class EvalResults:
    """An evaluation: its ``folder``, settings, summary, and rows in the order of the CSV."""

    folder: Path
    settings: dict[str, Any]
    summary: dict[str, Any]
    rows: tuple[ResultRow, ...]

    @property
    def policies(self) -> list[str]:
        """Every policy, in the summary's order."""
        return list(dict.fromkeys(run["policy"] for run in self.summary["runs"]))

    @property
    def segmenters(self) -> list[str]:
        """Every segmenter, in the summary's order."""
        return list(dict.fromkeys(run["segmenter"] for run in self.summary["runs"]))

    def runs(self, segmenter: str) -> list[dict[str, Any]]:
        """Return the summary's runs of one segmenter, one per policy."""
        return [run for run in self.summary["runs"] if run["segmenter"] == segmenter]

    def done_rows(self, policy: str, segmenter: str) -> list[ResultRow]:
        """Return the rows of one policy and segmenter that are not broken."""
        return [row for row in self.rows if (row.policy, row.segmenter, row.status) == (policy, segmenter, "done")]


def read_results(folder: Path) -> EvalResults:
    """Read an evaluation's folder; `InputError` names a file that is missing or not an evaluation's."""
    settings = _json(folder / "settings.json", "version", "data", "max_steps", "start", "seed")
    summary = _json(folder / "summary.json", "cases", "images", "absent", "rules", "runs", "comparisons", "timing")
    path = folder / "results.csv"
    try:
        return EvalResults(folder, settings, summary, tuple(_rows(path)))
    except (OSError, ValueError, csv.Error) as error:
        raise _not_an_evaluation(path, error) from error


def _json(path: Path, *names: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: found[name] for name in names}
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise _not_an_evaluation(path, error) from error


def _not_an_evaluation(path: Path, error: Exception) -> InputError:
    said = describe_error(error)
    return InputError(
        f"{printable_text(path)}: not an evaluation's ({said}); name the folder of one that ran to its end"
    )


def _rows(path: Path) -> Iterator[ResultRow]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        missing = set(ResultRow._fields) - set(rows.fieldnames or ())
        if missing:
            raise ValueError(f"no column {', '.join(sorted(missing))}")
        for row in rows:
            yield ResultRow._make(
                float(row[name] or "nan") if name in _NUMBERS else row[name] for name in ResultRow._fields
            )
