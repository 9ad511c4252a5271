"""Commands that make training data and show it: phantoms, augment, trajectories."""

from pathlib import Path
from typing import Annotated

import typer

from ibisagent.ui.cli.commands.options import (
    DataSet,
    EngineName,
    ImageRoots,
    Kind,
    Limit,
    LocalOnly,
    MaxSteps,
    Only,
    OnlyModality,
    Propose,
    RayAddress,
    Seed,
    Segmenter,
    Split,
    Without,
    WithoutModality,
    Workers,
    case_filter,
)
from ibisagent.ui.cli.named_help import AUTONOMOUS, EVALUATORS, NamedHelpCommand

__all__ = ["augment", "phantoms", "trajectories"]


def phantoms(
    number: Annotated[int, typer.Option("--n", min=1, help="Number of pictures, the modalities in turn.")],
    out: Annotated[str, typer.Option(help="Folder or address for the data set; an unfinished one is resumed.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first picture; the next has the next.")] = 0,
    size: Annotated[str, typer.Option(help="Side in pixels, or a range to draw each from, such as 112-176.")] = "256",
    difficulty: Annotated[str, typer.Option(help="0 to 1, or a range to draw each from, such as 0.1-0.7.")] = "0.5",
    modality: Annotated[
        list[str] | None, typer.Option(help="Kind, such as ct_trunk; repeatable; default: a mix of nine.")
    ] = None,
    request_kind: Annotated[
        list[str] | None,
        typer.Option(help="Request kinds: present, absent, foreign, reasoning, comparison; repeatable; default: all."),
    ] = None,
    single_row: Annotated[bool, typer.Option("--single-row", help="One row per picture, drawn at random.")] = False,
    workers: Workers = None,
    engine: EngineName = "processes",
    ray_address: RayAddress = None,
    sheet: Annotated[Path | None, typer.Option(help="PNG contact sheet of the first pictures, masks tinted.")] = None,
) -> None:
    """Draw a data set of phantoms: medical-looking pictures with exact masks, for training and tests."""
    from ibisagent.training.phantoms import MODALITIES
    from ibisagent.training.phantoms.spec import REQUEST_KINDS, PhantomDatasetSpec
    from ibisagent.ui.cli.phantoms import parse_range, run_phantoms

    run_phantoms(
        PhantomDatasetSpec(
            count=number,
            seed=seed,
            size=parse_range("--size", size, int),
            difficulty=parse_range("--difficulty", difficulty, float),
            modalities=tuple(modality or MODALITIES),
            request_kinds=tuple(request_kind or REQUEST_KINDS),
            single_row=single_row,
        ),
        out,
        workers=workers,
        engine=engine,
        ray_address=ray_address,
        sheet=sheet,
    )


def augment(
    dataset: DataSet,
    out: Annotated[str, typer.Option(help="Folder or address for the data set; an unfinished one is resumed.")],
    variants: Annotated[int, typer.Option(min=1, help="Variants of each picture, the first as it is.")] = 6,
    size: Annotated[int, typer.Option(min=32, help="Pixels of the longer side, at most.")] = 256,
    seed: Seed = 0,
    split: Split = None,
    limit: Limit = None,
    workers: Workers = None,
    absent: Annotated[
        float, typer.Option(min=0, help="Requests for targets that are not there, for each one that is.")
    ] = 1.0,
    regions: Annotated[
        Path | None, typer.Option(help="TOML that adds to ours: what body region a source or a target shows.")
    ] = None,
) -> None:
    """Make a data set of varied pictures from DATASET's real ones, with requests for targets that are not there."""
    from ibisagent.training.augmentation.picture_variants import AugmentationSettings
    from ibisagent.ui.cli.augment import run_augment

    settings = AugmentationSettings(variants=variants, size=size, seed=seed, absent=absent)
    run_augment(dataset, out, settings, split=split, limit=limit, workers=workers, regions=regions)


trajectories = typer.Typer(help="Recorded runs: generate, judge, tabulate and draw them.", no_args_is_help=True)


@trajectories.command("make", cls=NamedHelpCommand)
def make_trajectories(
    dataset: DataSet,
    out: Annotated[str, typer.Option(help="Folder or address for the records; an unfinished one is resumed.")],
    segmenter: Segmenter = "geocut",
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    workers: Workers = None,
    engine: EngineName = "processes",
    ray_address: RayAddress = None,
    max_steps: MaxSteps = 6,
    policy: Annotated[
        str | None, typer.Option(help=f"Policy that acts, while the expert labels its replies: {AUTONOMOUS}.")
    ] = None,
    propose: Propose = None,
    mistake_rate: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of clicks that are wrong, then undone; default: 0.3.")
    ] = None,
    perturbed_mask: Annotated[
        float, typer.Option(min=0, max=1, help="Share of runs that refine a perturbed mask of the target.")
    ] = 0.1,
    foreign_mask: Annotated[
        float, typer.Option(min=0, max=1, help="Share of runs that begin with a mask of something else.")
    ] = 0.1,
    style: Annotated[str, typer.Option(help="Rationales: short (fixed sentences) or full (varied).")] = "short",
    stop_iou: Annotated[float, typer.Option(min=0, max=1, help="The expert stops at this IoU.")] = 0.85,
    snap: Annotated[float, typer.Option(min=0, max=0.1, help="Bin width of written coordinates; 0: exact.")] = 0.01,
    reword: Annotated[bool, typer.Option(help="Reword requests, where the data set has none of its own.")] = True,
    min_dice: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Drop runs that end below this; default: 0.5, with --policy no limit."),
    ] = None,
    rationale_model: Annotated[
        str | None, typer.Option(help="Chat model, provider:model, that writes the rationales.")
    ] = None,
    limit: Limit = None,
    kind: Kind = None,
    split: Split = None,
    without: Without = None,
    only: Only = None,
    without_modality: WithoutModality = None,
    only_modality: OnlyModality = None,
) -> None:
    """Generate trajectories on DATASET with a noisy expert that knows the masks, or with a policy that it labels."""
    from ibisagent.training import trajectories as made
    from ibisagent.training.experts import expert
    from ibisagent.training.experts import noisy_expert as errors
    from ibisagent.ui.cli.make_trajectories import run_make_trajectories

    run_make_trajectories(
        dataset,
        out,
        segmenter=segmenter,
        seed=seed,
        workers=workers,
        engine=engine,
        ray_address=ray_address,
        max_steps=max_steps,
        policy=policy,
        propose=propose,
        mistakes=errors.MistakeRates.from_total(
            (0.3 if policy is None else 0.0) if mistake_rate is None else mistake_rate
        ),
        initial_masks=made.InitialMaskRates(perturbed_mask, foreign_mask),
        filters=made.Filters(min_dice=min_dice) if min_dice is not None else None,
        expert=expert.ExpertConfig(stop_iou=stop_iou, snap=snap or None, style=expert.parse_style(style)),
        reword=reword,
        rationale_model=rationale_model,
        limit=limit,
        kind=kind,
        split=split,
        part=case_filter(without, only, without_modality, only_modality),
    )


@trajectories.command()
def corrections(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders, .json, .jsonl or zips of records, or cases that people kept on the page."),
    ],
    kind: Annotated[
        str,
        typer.Option("--as", help="sft: a person's actions as replies; dpo: those in place of a reply of the policy."),
    ],
    out: Annotated[Path, typer.Option(help="New folder for the trajectories and summary.json.")],
    style: Annotated[str, typer.Option(help="Rationales: short (fixed sentences) or full (varied).")] = "short",
    snap: Annotated[
        float, typer.Option(min=0, max=0.1, help="Bin width of written coordinates, as nano's; 0: exact.")
    ] = 0.01,
    copy_images: Annotated[
        bool, typer.Option("--copy-images", help="Copy the pictures into the folder; default: name where they lie.")
    ] = False,
    root: ImageRoots = None,
) -> None:
    """Write what people corrected in RUNS as training trajectories; cases of the page only with their consent."""
    from ibisagent.ui.cli.corrections import run_corrections

    run_corrections(runs, out, kind=kind, style=style, snap=snap or None, roots=root or (), copy_images=copy_images)


@trajectories.command()
def stats(
    paths: Annotated[list[Path], typer.Argument(help="Trajectory files or folders.")],
    by: Annotated[str | None, typer.Option(help="modality, policy, segmenter, stop or all.")] = None,
    dataset: Annotated[Path | None, typer.Option(help="Data set with each record's modality by its id.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the table to this CSV file.")] = None,
) -> None:
    """Tabulate recorded runs: samples, states, length, IoU, Dice, click-hit rate."""
    from ibisagent.ui.cli.show_trajectories import show_stats

    show_stats(paths, by, dataset=dataset, csv_file=csv)


@trajectories.command(cls=NamedHelpCommand)
def judge(
    runs: Annotated[list[Path], typer.Argument(help="Trajectory files or folders.")],
    evaluator: Annotated[
        list[str] | None, typer.Option(help=f"{EVALUATORS}. Repeatable; default: all that need no model.")
    ] = None,
    reference: Annotated[
        list[Path] | None, typer.Option(help="Runs of the same pictures and requests to compare with; repeatable.")
    ] = None,
    dataset: Annotated[Path | None, typer.Option(help="Data set with each record's target by its id.")] = None,
    out: Annotated[Path | None, typer.Option(help="CSV of every run's scores and reasons.")] = None,
    local_only: LocalOnly = False,
) -> None:
    """Judge recorded runs by evaluators: structure against reference runs, budgets, clinical checks, a chat model."""
    from ibisagent.ui.cli.judge import run_judge

    run_judge(runs, evaluator or (), references=reference, dataset=dataset, out=out, local_only=local_only)


@trajectories.command()
def show(
    path: Annotated[Path, typer.Argument(help="A trajectory file or folder.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the pictures; default: beside each record.")] = None,
    root: ImageRoots = None,
) -> None:
    """Draw every recorded run as a contact sheet."""
    from ibisagent.ui.cli import show_trajectories as pictures

    pictures.show_sheets(path, out, root or ())


@trajectories.command()
def thresholds(
    runs: Annotated[list[Path], typer.Argument(help="Trajectory files or folders: those of each policy.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables and the figure.")],
    tiers: Annotated[
        list[str] | None, typer.Option(help="IoU tiers of the answer term, such as 0.5,0.7,0.8; repeatable.")
    ] = None,
    click_rule: Annotated[
        list[str] | None, typer.Option(help="Which click is right: error, deep, side or gain; repeatable.")
    ] = None,
    t_opt: Annotated[
        list[int] | None, typer.Option("--t-opt", min=1, help="Steps without a penalty of length; repeatable.")
    ] = None,
    dataset: Annotated[Path | None, typer.Option(help="Data set with each case's modality by its id.")] = None,
) -> None:
    """Compare rewards of RUNS, the order of policies and the best stop under other thresholds of the paper's reward."""
    from ibisagent.evals.thresholds import list_settings
    from ibisagent.ui.cli.thresholds import parse_tiers, run_thresholds

    chosen = {"tiers": [parse_tiers(each) for each in tiers or ()], "clicks": click_rule, "steps": t_opt}
    settings = list_settings(**{name: value for name, value in chosen.items() if value})  # type: ignore[arg-type]
    run_thresholds(runs, out, settings, dataset=dataset)
