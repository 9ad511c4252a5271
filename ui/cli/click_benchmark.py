"""`ibisagent clicks`: the click benchmark on a data set, with its progress, tables, files and plot."""

import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from ibisagent.evals.clicks.bench import list_jobs, run_click_jobs, simulate_jobs
from ibisagent.evals.clicks.plot import write_plot
from ibisagent.evals.clicks.protocol import DEFAULT_MODES, MODES
from ibisagent.evals.clicks.rows import ClickRow, read_rows
from ibisagent.evals.clicks.summary import INSTANCE_COLUMNS, NOC_TARGETS, RANKS, summarize_clicks, write_csv, write_json
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.tools.files import local_path
from ibisagent.tools.jobs.remote_out import open_out
from ibisagent.tools.jobs.run_settings import hash_cases
from ibisagent.ui.cli.engines import open_engine
from ibisagent.ui.cli.progress import progress_bar, wide_console
from ibisagent.ui.run_folder import make_folder

__all__ = ["run_clicks"]

_WIDE = 120  # columns of the tables when the output is not a terminal
_MAX_BROKEN_SHOWN = 3


def run_clicks(
    dataset: str | os.PathLike[str],
    segmenters: Sequence[str],
    *,
    modes: Sequence[str] = DEFAULT_MODES,
    clicks: int = 20,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    kind: str | None = None,
    split: str | None = None,
    workers: int | None = None,
    engine: str = "processes",
    ray_address: str | None = None,
) -> None:
    """Simulate clicks on every target of a data set with every segmenter in every mode of `MODES`.

    Writes ``clicks.jsonl`` (incrementally; the same call with the same ``out`` resumes), ``settings.json``,
    ``clicks.csv``, ``clicks.json`` and ``clicks.png``, and prints the tables. ``out`` is by default a new folder in
    runs/, ``workers`` the number of cores.
    """
    if clicks < 1 or seed < 0 or (workers is not None and workers < 0):
        got = f"clicks={clicks}, seed={seed}, workers={workers}"
        raise InputError(f"got {got}, expected clicks of 1 or more, workers and a seed of 0 or more; correct them")
    MissingExtra.require("eval", "matplotlib")
    cases = read_dataset(dataset, kind=kind, split=split)
    root = local_path(dataset) if cases[0].remote is None else cases[0].remote.folder
    jobs = list_jobs(cases, root, segmenters, modes)
    models = {job.segmenter: job.fingerprint for job in jobs}
    depends_on = {"data": hash_cases(cases, root), "clicks": clicks, "seed": seed, "segmenters": models}
    simulate = partial(simulate_jobs, clicks=clicks, seed=seed)
    with open_out(out if out is not None else Path("runs") / time.strftime("clicks-%Y%m%d-%H%M%S")) as (folder, place):
        make_folder(folder)
        kept = folder / "clicks.jsonl"
        with (
            open_engine(engine, ray_address, shared=cases[0].remote is None) as runs_on,
            progress_bar(place, "tables") as tell,
        ):
            settings = run_click_jobs(jobs, kept, simulate, depends_on, workers=workers, on_row=tell, engine=runs_on)
        done = read_rows(kept)
        rows = [done[job.key] for job in jobs]
        summary = summarize_clicks(rows, settings, sum(not case.present for case in cases))
        _write(folder, rows, summary)
    _print_summary(summary, rows, place)


def _write(folder: Path, rows: Sequence[ClickRow], summary: dict[str, Any]) -> None:
    write_csv(folder / "clicks.csv", rows, summary["settings"]["clicks"])
    write_json(folder / "clicks.json", summary)
    write_plot(folder / "clicks.png", summary)


def _print_summary(summary: dict[str, Any], rows: Sequence[ClickRow], place: str) -> None:
    console = wide_console(_WIDE)
    clicks = summary["settings"]["clicks"]
    console.print(_clicks_table(summary, clicks), _quality_table(summary, clicks))
    if summary["differences"]:
        console.print(_difference_table(summary, clicks))
    if any(result["mode"] == "similar" for result in summary["results"]):
        console.print(_instance_table(summary, clicks))
    console.print(_speed_table(summary))
    for line in _footnotes(summary, rows, clicks):
        console.print(line, style="dim", markup=False, highlight=False)
    for id, reason in list(dict.fromkeys((item["id"], item["reason"]) for item in summary["broken"]))[
        :_MAX_BROKEN_SHOWN
    ]:
        console.print(f"broken: {id}: {reason}", markup=False, highlight=False, soft_wrap=True)
    names = ("clicks.csv", "clicks.json", "clicks.png")
    console.print("wrote", ", ".join(f"{place}/{name}" for name in names), markup=False, soft_wrap=True)


def _clicks_table(summary: dict[str, Any], clicks: int) -> Table:
    names = [f"noc_{target}" for target in NOC_TARGETS]
    table = _table("Clicks to an IoU", "cases", *(f"NoC@{target}" for target in NOC_TARGETS), f">={clicks}@90")
    for result in _sections(table, summary):
        failed = result.get("nof_90")
        share = f"{failed['count']}, {_cell(failed, '{:.0%}')}" if failed else "-"
        noc = (_cell(result.get(name), "{:.1f}") for name in names)
        table.add_row(*_names(result), str(result["n"]), *noc, share)
    return table


def _quality_table(summary: dict[str, Any], clicks: int) -> Table:
    ranks = [rank for rank in RANKS if rank <= clicks]
    names = ("lost", "HD95 px")
    table = _table("IoU in % after k clicks, and what clicks lost", *(f"IoU@{rank}" for rank in ranks), *names)
    for result in _sections(table, summary):
        found = (_cell(result.get(f"iou_at_{rank}"), "{:.1f}", 100) for rank in ranks)
        lost, distance = _cell(result.get("iou_lost"), "{:.1f}", 100), _cell(result.get("hd95"), "{:.1f}")
        table.add_row(*_names(result), *found, lost, distance)
    return table


def _difference_table(summary: dict[str, Any], clicks: int) -> Table:
    ranks = [rank for rank in RANKS if rank <= clicks]
    first = summary["differences"][0]["against"]
    columns = (*(f"IoU@{rank}" for rank in ranks), "lost", "HD95 px", "NoC@80")
    table = _table(f"Above {escape(first)}, target by target", *columns)
    for result in summary["differences"]:
        shares = (_cell(result.get(name), "{:+.1f}", 100) for name in (*(f"iou_at_{k}" for k in ranks), "iou_lost"))
        plain = (_cell(result.get(name), "{:+.1f}") for name in ("hd95", "noc_80"))
        table.add_row(*_names(result), *shares, *plain)
    return table


def _instance_table(summary: dict[str, Any], clicks: int) -> Table:
    names = ("IoU", "F1@.5", "PQ", "count error")
    table = _table(f"Instances after {clicks} clicks: IoU of all together, F1 and panoptic quality in %", *names)
    for result in _sections(table, summary):
        last, f1, error, quality = (result.get(name) for name in ("iou_at_end", *INSTANCE_COLUMNS))
        shares = (_cell(interval, "{:.1f}", 100) for interval in (last, f1, quality))
        table.add_row(*_names(result), *shares, _cell(error, "{:.2f}"))
    return table


def _speed_table(summary: dict[str, Any]) -> Table:
    table = _table("Milliseconds (medians), and the rank correlation of score and IoU", "per click", "per image", "rho")
    for result, timing in zip(summary["results"], summary["timing"], strict=True):
        if result["modality"] is None:
            times = (timing[f"{name}_median"] for name in ("seconds", "encoder_seconds"))
            rho = result["score_spearman"]
            shown = ("-" if time is None else f"{1000 * time:.0f}" for time in times)
            table.add_row(*_names(result), *shown, "-" if rho is None else f"{rho:.2f}")
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    for name in ("modality", "segmenter"):
        table.add_column(name, overflow="fold", min_width=9)
    table.add_column("mode", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    return table


def _sections(table: Table, summary: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each result: all cases first, then each modality, with a line between."""
    results = summary["results"]
    for modality in dict.fromkeys(result["modality"] for result in results):
        yield from (result for result in results if result["modality"] == modality)
        table.add_section()


def _names(result: dict[str, Any]) -> tuple[str, str, str]:
    modality = "all" if result["modality"] is None else escape(result["modality"] or "unknown")
    return modality, escape(result["segmenter"]), result["mode"]


def _cell(interval: dict[str, Any] | None, form: str, scale: int = 1) -> str:
    """Return a value with its interval as text."""
    if interval is None:
        return "-"
    ends = [interval[end] for end in ("value", "low", "high")]
    value, low, high = ("" if end is None else form.format(scale * end) for end in ends)
    return f"{value} [dim]{low}-{high}[/dim]" if low else value


def _footnotes(summary: dict[str, Any], rows: Sequence[ClickRow], clicks: int) -> list[str]:
    broken = len(summary["broken"])
    reasons = "; reasons in clicks.csv" if broken else ""
    return [
        f"{len({row.id for row in rows})} targets of {len({row.image for row in rows})} pictures. Left out: "
        f"{summary['absent']} absent targets, on which nothing can be clicked, and {broken} broken rows{reasons}.",
        f"NoC@t: clicks until the IoU is t %, {clicks} when never. >={clicks}@90: cases that never reach 90 %.",
        "IoU@k: the last one of a run that ended early, with no error pixel left.",
        "Ranges: 95 % bootstrap over pictures.",
        *(f"{mode}: {MODES[mode]}." for mode in dict.fromkeys(result["mode"] for result in summary["results"])),
    ]
