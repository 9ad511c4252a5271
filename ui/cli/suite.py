"""`ibisagent suite`: a robustness suite with a progress bar, tables and contact sheets of its worst cases."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from ibisagent.agent.privacy import restrict_to_local
from ibisagent.agent.prompting import load_prompts
from ibisagent.evals.suites import SUITES, Suite, SuiteResults, run_suite
from ibisagent.evals.suites.tables import gap_lines, table_rows, write_tables
from ibisagent.evals.suites.worst_cases import write_worst_sheets
from ibisagent.tools.datasets import Case, read_dataset
from ibisagent.tools.datasets.sampling import ALL_CASES, CaseFilter, sample_evenly
from ibisagent.tools.errors import InputError, RunFailed
from ibisagent.tools.jobs.remote_out import open_out
from ibisagent.ui.cli.engines import open_engine, picture_fetcher
from ibisagent.ui.cli.progress import progress_bar, wide_console

__all__ = ["run_suite_command"]

_WIDE = 150  # columns of the table when the output is not a terminal


def run_suite_command(
    name: str,
    dataset: str | os.PathLike[str],
    policy: str,
    segmenters: Sequence[str],
    out: str | os.PathLike[str],
    *,
    kind: str | None = None,
    split: str | None = None,
    part: CaseFilter = ALL_CASES,
    limit: int | None = None,
    local_only: bool = False,
    prompts: Path | None = None,
    worst: int = 4,
    engine: str = "processes",
    ray_address: str | None = None,
    **settings: Any,
) -> None:
    """Run a suite with the ``settings`` of `run_suite`; print and write its tables, draw the worst cases of each kind.

    `RunFailed`: every clean run failed.
    """
    suite = _find(name)
    cases = sample_evenly(part.select(read_dataset(dataset, kind=kind, split=split, local_only=local_only)), limit)
    words = load_prompts(prompts) if prompts is not None else None
    with open_out(out, local_only=local_only) as (folder, place):
        with (
            restrict_to_local(local_only),
            open_engine(engine, ray_address, shared=cases[0].remote is None) as runs_on,
            progress_bar(place, "figures") as tell,
        ):
            shared: dict[str, Any] = {"local_only": local_only, "prompts": words, "on_row": tell, "engine": runs_on}
            results = run_suite(suite, cases, policy, segmenters, folder, **shared, **settings)
        _require_any(results)
        written = write_tables(results, folder, _headline(policy, segmenters, cases, settings))
        if worst:
            written += write_worst_sheets(
                results, folder, count=worst, roots=_roots(cases), fetch=picture_fetcher(cases)
            )
    _print(results, [f"{place}/{path.relative_to(folder).as_posix()}" for path in written])


def _find(name: str) -> Suite:
    if name not in SUITES:
        raise InputError(f"got suite {name[:40]!r}, expected one of {', '.join(SUITES)}; choose one")
    return SUITES[name]


def _roots(cases: Sequence[Case]) -> list[Path]:
    return sorted({case.image.resolve().parent for case in cases})


def _headline(policy: str, segmenters: Sequence[str], cases: Sequence[Case], settings: dict[str, Any]) -> str:
    pictures = len({case.image_key for case in cases})
    given = f"{policy} with {', '.join(segmenters)}, {len(cases)} cases on {pictures} pictures"
    return f"{given}, at most {settings['max_steps']} steps, seed {', '.join(map(str, settings['seeds']))}."


def _require_any(results: SuiteResults) -> None:
    rows = list(results.clean.rows.values())
    if all(row["reason"] for row in rows):
        raise RunFailed(f"all {len(rows)} clean runs failed, one with {rows[0]['reason']}; fix that, and run it again")


def _print(results: SuiteResults, written: Sequence[str]) -> None:
    console = wide_console(_WIDE)
    head, rows = table_rows(results)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(head[0], overflow="fold")
    for column in head[1:]:
        table.add_column(column, justify="right", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)
    for line in (*results.notes, *gap_lines(results)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print("wrote", ", ".join(written), markup=False, soft_wrap=True)
