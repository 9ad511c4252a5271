"""Commands that train a policy, and the embedded segmenter: train."""

from pathlib import Path
from typing import Annotated

import typer

from ibisagent.ui.cli.commands.options import (
    ImageRoots,
    Only,
    OnlyModality,
    Without,
    WithoutModality,
    case_filter,
)

__all__ = ["training"]


training = typer.Typer(help="Train a policy, or the embedded segmenter.", no_args_is_help=True)


@training.command("sft")
def train_sft(
    config: Annotated[str, typer.Option(help="Training config: a file, or nano, nano-qwen or qwen2_5vl-7b.")],
    data: Annotated[list[Path], typer.Option(help="Folder of training trajectories (.jsonl); repeatable.")],
    out: Annotated[Path, typer.Option(help="Folder for model, checkpoints, logs; an unfinished run is resumed.")],
    base: Annotated[str | None, typer.Option(help="Base model folder or hub id, overrides the config.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Config override, such as train.max_steps=100; repeatable.")
    ] = None,
    root: ImageRoots = None,
) -> None:
    """Fine-tune a model on recorded trajectories (TRL). The same command resumes a killed run."""
    from ibisagent.ui.cli.train import run_sft

    run_sft(config, data, out, base=base, overrides=overrides or (), roots=root or ())


@training.command("dpo")
def train_dpo(
    config: Annotated[str, typer.Option(help="Training config: a file, or nano-dpo.")],
    data: Annotated[
        list[Path],
        typer.Option(help="Folder of trajectories (.jsonl) in which replies have another action as label; repeatable."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for model, checkpoints, logs; an unfinished run is resumed.")],
    base: Annotated[str | None, typer.Option(help="Base model folder or hub id, overrides the config.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Config override, such as train.beta=0.3; repeatable.")
    ] = None,
    root: ImageRoots = None,
) -> None:
    """Train a model to prefer corrections to its own replies (DPO, TRL). The same command resumes a killed run."""
    from ibisagent.ui.cli.train import run_dpo

    run_dpo(config, data, out, base=base, overrides=overrides or (), roots=root or ())


@training.command("grpo")
def train_grpo(
    config: Annotated[str, typer.Option(help="Training config: a file, nano-grpo, or one of qwen2_5vl-7b-grpo*.")],
    data: Annotated[list[Path], typer.Option(help="Data set whose cases are the tasks; repeatable.")],
    out: Annotated[Path, typer.Option(help="Folder for model, checkpoints, logs; an unfinished run is resumed.")],
    base: Annotated[str | None, typer.Option(help="Base model folder or hub id, overrides the config.")] = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option(help="Data set to validate on, else pictures held out of the data; repeatable."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Config override, such as rollouts.tasks=4; repeatable.")
    ] = None,
    starts: Annotated[
        Path | None, typer.Option(help="Recorded states where a share of the episodes begins, of `starts mine`.")
    ] = None,
    root: ImageRoots = None,
    without: Without = None,
    only: Only = None,
    without_modality: WithoutModality = None,
    only_modality: OnlyModality = None,
) -> None:
    """Train a model on its own episodes of the loop (GRPO, TRL). The same command resumes a killed run."""
    from ibisagent.ui.cli.train import run_grpo

    run_grpo(
        config,
        data,
        out,
        base=base,
        validation=validation or (),
        overrides=overrides or (),
        starts=starts,
        roots=root or (),
        part=case_filter(without, only, without_modality, only_modality),
    )


@training.command("segmenter")
def train_segmenter(
    data: Annotated[list[Path], typer.Option(help="Data set whose targets are clicked; repeatable, with even shares.")],
    out: Annotated[Path, typer.Option(help="Folder for weights, checkpoint, log; an unfinished run is resumed.")],
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of 200 steps, each about three minutes on one core.")] = 22,
    without: Without = None,
    only: Only = None,
    without_modality: WithoutModality = None,
    only_modality: OnlyModality = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    start: Annotated[Path | None, typer.Option(help="Weights to begin from, of an earlier training.")] = None,
) -> None:
    """Train geonet's network by simulated clicks on masks. The same command resumes a killed run."""
    from ibisagent.ui.cli.train_segmenter import run_train_segmenter

    part = case_filter(without, only, without_modality, only_modality)
    run_train_segmenter(data, out, rounds=rounds, part=part, seed=seed, start=start)
