"""`ibisagent trajectories make`: training trajectories from a data set."""

import os
from typing import Any

from rich.console import Console
from rich.markup import escape

from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.datasets.sampling import ALL_CASES, CaseFilter, sample_evenly
from ibisagent.tools.jobs.remote_out import open_out
from ibisagent.training.trajectories import make_trajectories
from ibisagent.ui.cli.engines import open_engine
from ibisagent.ui.cli.progress import progress_bar

__all__ = ["run_make_trajectories"]


def run_make_trajectories(
    dataset: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    kind: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    part: CaseFilter = ALL_CASES,
    engine: str = "processes",
    ray_address: str | None = None,
    **settings: Any,
) -> None:
    """Generate trajectories of a data set's cases with the ``settings`` of `make_trajectories`, and print counts.

    ``part``: which cases; ``limit``: how many of them, sampled evenly. The same call resumes an earlier one.
    """
    cases = sample_evenly(part.select(read_dataset(dataset, kind=kind, split=split)), limit)
    with (
        open_out(out) as (folder, place),
        open_engine(engine, ray_address, shared=cases[0].remote is None) as runs_on,
        progress_bar(place, "writing") as tell,
    ):
        made = make_trajectories(cases, folder, on_row=tell, engine=runs_on, **settings)
    counts = ", ".join(f"{made[name]} {name}" for name in ("kept", "dropped", "broken"))
    replies = ", ".join(f"{count} by {name}" for name, count in made["replies"].items())
    console = Console()
    console.print(f"{len(cases)} cases: {counts}; replies: {escape(replies) or 'none'}", soft_wrap=True)
    console.print(f"wrote trajectories-*.jsonl and left-out.csv in {escape(place)}", soft_wrap=True)
