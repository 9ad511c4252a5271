"""Commands that measure over a data set: clicks, eval."""

from pathlib import Path
from typing import Annotated

import typer

from ibisagent.ui.cli.commands.options import (
    DataSet,
    EngineName,
    Kind,
    MaxSteps,
    Out,
    Preset,
    Propose,
    RayAddress,
    Seed,
    Segmenters,
    Split,
    Workers,
)
from ibisagent.ui.cli.named_help import AUTONOMOUS

__all__ = ["clicks", "evaluate"]


def clicks(
    dataset: DataSet,
    segmenter: Segmenters = ["geocut"],  # noqa: B006
    mode: Annotated[
        list[str] | None, typer.Option(help="centre, jitter, box (first) or similar; default: all but similar.")
    ] = None,
    number: Annotated[int, typer.Option("--clicks", min=1, help="Maximum number of prompts per target.")] = 20,
    seed: Seed = 0,
    out: Out = None,
    kind: Kind = None,
    split: Split = None,
    workers: Workers = None,
    engine: EngineName = "processes",
    ray_address: RayAddress = None,
) -> None:
    """Count the simulated clicks that segmenters need on DATASET (RITM's protocol)."""
    from ibisagent.evals.clicks import DEFAULT_MODES
    from ibisagent.ui.cli.click_benchmark import run_clicks

    run_clicks(
        dataset,
        segmenter,
        modes=mode or DEFAULT_MODES,
        clicks=number,
        seed=seed,
        out=out,
        kind=kind,
        split=split,
        workers=workers,
        engine=engine,
        ray_address=ray_address,
    )


def evaluate(
    dataset: DataSet,
    policy: Annotated[list[str] | None, typer.Option(help=f"{AUTONOMOUS}. Repeatable.")] = None,
    propose: Propose = None,
    segmenter: Segmenters = ["geocut"],  # noqa: B006
    out: Out = None,
    baselines: Annotated[bool, typer.Option(help="Also run oracle, centre and random.")] = True,
    max_steps: MaxSteps = 20,
    start: Annotated[
        str, typer.Option(help="Initial condition of runs: none, perturbed_mask, foreign_mask or distractor_click.")
    ] = "none",
    preset: Preset = "default",
    mode: Annotated[
        str, typer.Option(help="point, or similar: oracle and baselines click examples, all like this.")
    ] = "point",
    seed: Seed = 0,
    kind: Kind = None,
    split: Split = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many cases, spread over the data set.")] = None,
    workers: Workers = None,
    engine: EngineName = "processes",
    ray_address: RayAddress = None,
    local_only: Annotated[bool, typer.Option(help="Send nothing to any other machine.")] = False,
    prompts: Annotated[Path | None, typer.Option(help="Prompt file in place of ours.")] = None,
) -> None:
    """Evaluate policies with segmenters on DATASET; write a report. The same command resumes a killed run."""
    import time

    from ibisagent.ui.cli import evaluate as evaluation

    evaluation.evaluate(
        dataset,
        policy or [],
        segmenter,
        out if out is not None else Path("runs") / time.strftime("eval-%Y%m%d-%H%M%S"),
        baselines=baselines,
        max_steps=max_steps,
        start=start,
        propose=propose,
        preset=preset,
        mode=mode,
        seed=seed,
        workers=workers,
        engine=engine,
        ray_address=ray_address,
        kind=kind,
        split=split,
        local_only=local_only,
        prompts=prompts,
        limit=limit,
    )
