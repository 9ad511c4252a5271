"""Commands that measure over a data set: clicks, eval, suite."""

from pathlib import Path
from typing import Annotated

import typer

from ibisagent.ui.cli.commands.options import (
    DataSet,
    EngineName,
    Kind,
    Limit,
    LocalOnly,
    MaxSteps,
    Only,
    OnlyModality,
    Preset,
    Prompts,
    Propose,
    RayAddress,
    RunOut,
    Seed,
    Segmenters,
    Split,
    Without,
    WithoutModality,
    Workers,
    case_filter,
)
from ibisagent.ui.cli.named_help import AUTONOMOUS, EVALUATORS

__all__ = ["clicks", "evaluate", "suite"]


def clicks(
    dataset: DataSet,
    segmenter: Segmenters = ["geocut"],  # noqa: B006
    mode: Annotated[
        list[str] | None, typer.Option(help="centre, jitter, box (first) or similar; default: all but similar.")
    ] = None,
    number: Annotated[int, typer.Option("--clicks", min=1, help="Maximum number of prompts per target.")] = 20,
    seed: Seed = 0,
    out: RunOut = None,
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
    out: RunOut = None,
    baselines: Annotated[bool, typer.Option(help="Also run oracle, centre and random.")] = True,
    max_steps: MaxSteps = 20,
    start: Annotated[
        str,
        typer.Option(
            help="Initial condition of runs: none, perturbed_mask, shifted_mask, foreign_mask, other_target_mask, "
            "disc_mask or distractor_click."
        ),
    ] = "none",
    preset: Preset = "default",
    mode: Annotated[
        str, typer.Option(help="point, or similar: oracle and baselines click examples, all like this.")
    ] = "point",
    seed: Seed = 0,
    kind: Kind = None,
    split: Split = None,
    limit: Limit = None,
    workers: Workers = None,
    evaluator: Annotated[
        list[str] | None, typer.Option(help=f"Judge every run: {EVALUATORS}. Repeatable; none against references.")
    ] = None,
    local_only: LocalOnly = False,
    prompts: Prompts = None,
    without: Without = None,
    only: Only = None,
    without_modality: WithoutModality = None,
    only_modality: OnlyModality = None,
    engine: EngineName = "processes",
    ray_address: RayAddress = None,
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
        evaluators=evaluator or (),
        part=case_filter(without, only, without_modality, only_modality),
    )


def suite(
    name: Annotated[
        str, typer.Argument(help="segmenter, jitter, paraphrase, absent, initial-mask, shift or seeds.", metavar="NAME")
    ],
    dataset: DataSet,
    policy: Annotated[str, typer.Option(help=f"{AUTONOMOUS}.")],
    out: Annotated[str, typer.Option(help="Folder of the runs and tables, or an address; suites can share one.")],
    propose: Propose = None,
    segmenter: Segmenters = ["geocut"],  # noqa: B006
    condition: Annotated[
        list[str] | None, typer.Option(help="Kind of condition to run, such as noise; repeatable; default: all.")
    ] = None,
    severity: Annotated[
        list[int] | None, typer.Option(min=1, help="Severity to run; repeatable; default: all.")
    ] = None,
    max_steps: MaxSteps = 20,
    preset: Preset = "default",
    seed: Annotated[list[int], typer.Option(min=0, help="Random seed; repeatable in the suite seeds.")] = [0],  # noqa: B006
    kind: Kind = None,
    split: Split = None,
    limit: Limit = None,
    worst: Annotated[int, typer.Option(min=0, help="Number of worst cases to draw for each kind.")] = 4,
    workers: Workers = None,
    engine: EngineName = "processes",
    ray_address: RayAddress = None,
    local_only: LocalOnly = False,
    prompts: Prompts = None,
    without: Without = None,
    only: Only = None,
    without_modality: WithoutModality = None,
    only_modality: OnlyModality = None,
) -> None:
    """Measure what POLICY loses on DATASET under changed conditions. The same command resumes a killed run."""
    from ibisagent.ui.cli.suite import run_suite_command

    run_suite_command(
        name,
        dataset,
        policy,
        segmenter,
        out,
        kinds=condition or (),
        severities=severity or (),
        seeds=seed,
        max_steps=max_steps,
        propose=propose,
        preset=preset,
        workers=workers,
        engine=engine,
        ray_address=ray_address,
        kind=kind,
        split=split,
        local_only=local_only,
        prompts=prompts,
        limit=limit,
        worst=worst,
        part=case_filter(without, only, without_modality, only_modality),
    )
