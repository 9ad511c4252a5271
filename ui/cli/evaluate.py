"""`ibisagent eval`: an evaluation with a progress bar, a table and a report."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from ibisagent.agent.privacy import restrict_to_local
from ibisagent.agent.prompting import load_prompts
from ibisagent.evals.runner import run_eval
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.datasets.sampling import ALL_CASES, CaseFilter, sample_evenly
from ibisagent.tools.errors import MissingExtra, RunFailed
from ibisagent.tools.jobs.remote_out import open_out
from ibisagent.ui.cli.engines import open_engine, picture_fetcher
from ibisagent.ui.cli.eval_tables import cost_table, evaluator_table
from ibisagent.ui.cli.progress import progress_bar, wide_console

__all__ = ["BASELINES", "evaluate"]

BASELINES = ("oracle", "centre", "random")
"""An upper bound for a segmenter (oracle), and lower bounds for policies."""

_WIDE = 120  # columns of the table when the output is not a terminal
_FIGURES = ("iou_per_case", "dice_per_case", "f1", "first_click_hit_rate", "valid_action_rate")


def evaluate(
    dataset: str | os.PathLike[str],
    policies: Sequence[str],
    segmenters: Sequence[str],
    out: str | os.PathLike[str],
    *,
    baselines: bool = True,
    max_steps: int = 20,
    start: str = "none",
    propose: str | None = None,
    preset: str = "default",
    mode: str = "point",
    seed: int = 0,
    workers: int | None = None,
    engine: str = "processes",
    ray_address: str | None = None,
    kind: str | None = None,
    split: str | None = None,
    local_only: bool = False,
    prompts: Path | None = None,
    limit: int | None = None,
    evaluators: Sequence[str] = (),
    part: CaseFilter = ALL_CASES,
) -> None:
    """Run policies, and by default the `BASELINES`, with every segmenter; write tables and a report.

    ``part``: which cases of the data set; ``limit``: how many of them, sampled evenly; ``evaluators``: names of those
    that judge every run. The same call resumes an earlier one and retries failed runs. `RunFailed`: every run of a
    policy failed.
    """
    MissingExtra.require("eval", "jinja2", "matplotlib")
    names = [*policies, *(name for name in BASELINES if baselines and name not in policies)]
    cases = sample_evenly(part.select(read_dataset(dataset, kind=kind, split=split, local_only=local_only)), limit)
    words = load_prompts(prompts) if prompts is not None else None
    from ibisagent.evals.report import write_report

    with open_out(out, local_only=local_only) as (folder, place):
        with (
            restrict_to_local(local_only),
            open_engine(engine, ray_address, shared=cases[0].remote is None) as runs_on,
            progress_bar(place, "figures") as tell,
        ):
            run_eval(
                cases,
                names,
                segmenters,
                folder,
                max_steps=max_steps,
                start=start,
                propose=propose,
                preset=preset,
                mode=mode,
                seed=seed,
                workers=workers,
                prompts=words,
                local_only=local_only,
                evaluators=evaluators,
                on_row=tell,
                engine=runs_on,
            )
        console = wide_console(_WIDE)
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        console.print(_table(summary))
        console.print(cost_table(summary))
        if evaluators:
            console.print(evaluator_table(summary))
        if any(run["gap"] for run in summary["runs"]):
            console.print(_source_table(summary))
        for run in summary["runs"]:
            console.print(escape(_stops_line(run)), soft_wrap=True)
            if mode == "similar":
                console.print(escape(_instances_line(run)), soft_wrap=True)
            if run["failed"]:
                console.print(escape(_failures_line(run)), style="red", soft_wrap=True)
        console.print(f"wrote results.csv, summary.json and trajectories/ in {escape(place)}", soft_wrap=True)
        roots = sorted({case.image.resolve().parent for case in cases})
        report = write_report(folder, roots=roots, fetch=picture_fetcher(cases))
        console.print(f"wrote {escape(str(report))}", soft_wrap=True)
        dead = [run for run in summary["runs"] if run["failed"] == run["done"] + run["broken"]]
        if dead:
            raise RunFailed(f"{'; '.join(map(_failures_line, dead))}; fix that, and the same command retries them")


def _stops_line(run: dict[str, Any]) -> str:
    """Return a line on how the runs of a policy ended, with its refusal and decline rates."""
    stops = ", ".join(f"{name} {count}" for name, count in run["trajectories"]["stops"].items()) or "none ended"
    refused = ((name, run["overall"][name]) for name in ("refusal_rate", "false_refusal_rate"))
    parts = [f"{name.replace('_', ' ')} {_value_text(share)} of {share['n']}" for name, share in refused if share["n"]]
    declined = run["overall"]["decline_rate"]
    parts += [f"decline rate {_value_text(declined)} of {declined['n']}"] if declined["value"] else []
    return "; ".join([f"{run['policy']} with {run['segmenter']}: {stops}", *parts])


def _instances_line(run: dict[str, Any]) -> str:
    """Return a line on the instances that a policy found."""
    names = {"f1_50": "F1 at IoU .5", "count_error": "count error", "panoptic_quality": "panoptic quality"}
    found = ", ".join(f"{words} {_value_text(run['overall'][name])}" for name, words in names.items())
    return f"{run['policy']} with {run['segmenter']}: instances: {found}"


def _failures_line(run: dict[str, Any]) -> str:
    """Return a line on a policy whose runs failed, with the commonest reason."""
    reason, count = next(iter(run["errors"].items()))
    total = run["done"] + run["broken"]
    return f"{run['policy']} with {run['segmenter']}: {run['failed']} of {total} runs failed, {count} with {reason}"


def _table(summary: dict[str, Any]) -> Table:
    seconds = {(each["policy"], each["segmenter"]): each["seconds"] for each in summary["timing"]}
    caption = f"{summary['cases']} cases, {summary['images']} pictures; means per case, intervals of 95 %"
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=caption, caption_justify="left")
    for name in ("policy", "segmenter"):
        table.add_column(name)
    for name in ("done", "broken", "IoU", "", "Dice", "F1", "first hit", "valid", "clicks", "s"):
        table.add_column(name, justify="right")
    for run in summary["runs"]:
        iou, *others = (run["overall"][name] for name in _FIGURES)
        spent = run["trajectories"]["length"], seconds[run["policy"], run["segmenter"]]
        table.add_row(
            *(escape(run[name]) for name in ("policy", "segmenter")),
            *(str(run[name]) for name in ("done", "broken")),
            *(_value_text(iou), _interval_text(iou), *map(_value_text, others)),
            *(f"{each['mean']:.2f}" if each else "-" for each in spent),
        )
    return table


def _source_table(summary: dict[str, Any]) -> Table:
    """Return the mean IoU of each source, a column a policy, and below the gap between the best and the worst."""
    runs = [run for run in summary["runs"] if run["gap"]]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title="IoU by source", title_justify="left")
    table.add_column("source", overflow="fold")
    table.add_column("cases", justify="right")
    for run in runs:
        table.add_column(escape(f"{run['policy']} with {run['segmenter']}"), justify="right")
    for source in sorted({name for run in runs for name in run["source"]}):
        found = [run["source"][source]["iou_per_case"] if source in run["source"] else None for run in runs]
        cells = ["-" if each is None else f"{_value_text(each)} {_interval_text(each)}".strip() for each in found]
        table.add_row(escape(source or "none given"), str(max(each["n"] for each in found if each)), *cells)
    table.add_section()
    table.add_row("best - worst", "", *(f"{run['gap']['gap']:.3f}" for run in runs))
    return table


def _value_text(interval: dict[str, Any]) -> str:
    return "-" if interval["value"] is None else f"{interval['value']:.3f}"


def _interval_text(interval: dict[str, Any]) -> str:
    return "" if interval["low"] is None else f"{interval['low']:.2f}-{interval['high']:.2f}"
