"""The command line's options and help; every heavy import is deferred until its command runs."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ibisagent.tools.errors import IbisError
from ibisagent.ui.cli.named_help import AUTONOMOUS, SEGMENTERS, SERVED, WITHOUT_TRUTH, NamedHelpCommand

__all__ = ["app", "main", "run_with_exit_code"]

app = typer.Typer(
    name="ibisagent",
    help="Segment medical images by reasoning and clicking.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ImageArgument = Annotated[
    Path, typer.Argument(help="PNG, JPEG, TIFF, WebP, BMP, DICOM (file, folder or zip), NIfTI, NRRD, MetaImage or NPZ.")
]
Segmenter = Annotated[str, typer.Option(help=f"{SEGMENTERS}.")]
Segmenters = Annotated[list[str], typer.Option(help=f"{SEGMENTERS}. Repeatable.")]
Slice = Annotated[str | None, typer.Option("--slice", help="Slice or page, such as 12 or coronal:middle.")]
Window = Annotated[str | None, typer.Option(help="CT window by name, 'centre,width', or percentiles 'p1,p99'.")]
Out = Annotated[Path | None, typer.Option(help="Run folder; default: a new one in runs/.")]
MaxSteps = Annotated[int, typer.Option(min=1, help="Maximum number of the policy's actions.")]
DataSet = Annotated[
    Path, typer.Argument(help="Data-set folder: manifest.csv, nnU-Net raw, BiomedParse naming, COCO or CVPR NPZ.")
]
Kind = Annotated[str | None, typer.Option(help="native, nnunet, biomedparse, coco or cvpr; default: detected.")]
Split = Annotated[str | None, typer.Option(help="Only the rows of this split.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; default: one per core.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]
ImageRoots = Annotated[
    list[Path] | None,
    typer.Option("--root", help="Folder with the images, if not the record's or the current one; repeatable."),
]
Preset = Annotated[
    str, typer.Option(help="Loop settings: default, self-check, or ibis for the paper's released weights.")
]


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"ibisagent {version('ibisagent')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


@app.command(cls=NamedHelpCommand)
def segment(
    image: ImageArgument,
    request: Annotated[str, typer.Argument(help="What to segment, in words.")],
    policy: Annotated[
        str | None,
        typer.Option(help=f"{WITHOUT_TRUTH}. Default: nano; with --click or --box: none.", show_default=False),
    ] = None,
    segmenter: Segmenter = "geocut",
    click: Annotated[
        list[str] | None, typer.Option(help="Your click, '+x,y' (target) or '-x,y' (background), 0 to 1; repeatable.")
    ] = None,
    box: Annotated[str | None, typer.Option(help="Your box, 'x0,y0,x1,y1', 0 to 1.")] = None,
    mask: Annotated[Path | None, typer.Option(help="An initial mask to refine.")] = None,
    slice_: Slice = None,
    window: Window = None,
    max_steps: MaxSteps = 20,
    save: Annotated[
        list[Path] | None, typer.Option(help="Also write the mask here: .png, .nii.gz, .nrrd, .dcm (DICOM-SEG), .json.")
    ] = None,
    out: Out = None,
    seed: Seed = 0,
    local_only: Annotated[bool, typer.Option(help="Send nothing to any other machine.")] = False,
    prompts: Annotated[Path | None, typer.Option(help="Prompt file in place of ours.")] = None,
    preset: Preset = "default",
    thread: Annotated[str | None, typer.Option(help="Name of the run in --db, started or resumed.")] = None,
    db: Annotated[Path | None, typer.Option(help="SQLite file that keeps every step of --thread.")] = None,
) -> None:
    """Segment the target that REQUEST names in IMAGE."""
    from ibisagent.ui.cli.run_commands import RunOptions, run_segment

    case = RunOptions(image, request, segmenter, slice_, window, max_steps, out, tuple(save or ()), seed, thread, db)
    run_segment(case, policy, tuple(click or ()), box, mask, local_only, prompts, preset)


@app.command(cls=NamedHelpCommand)
def simulate(
    image: ImageArgument,
    mask: Annotated[Path, typer.Argument(help="The true mask.")],
    request: Annotated[str, typer.Option(help="What the mask shows, in words.")] = "Segment the target.",
    segmenter: Segmenter = "geocut",
    target_iou: Annotated[float, typer.Option(min=0.0, max=1.0, help="The oracle stops at this IoU.")] = 0.95,
    slice_: Slice = None,
    window: Window = None,
    max_steps: MaxSteps = 20,
    out: Out = None,
) -> None:
    """Run the oracle policy, which knows the true MASK, on IMAGE: an upper bound for the segmenter."""
    from ibisagent.ui.cli.run_commands import RunOptions, run_simulate

    run_simulate(RunOptions(image, request, segmenter, slice_, window, max_steps, out), mask, target_iou)


@app.command()
def replay(
    trajectory: Annotated[Path, typer.Argument(help="A trajectory.json of an earlier run.")],
    image: Annotated[Path | None, typer.Option(help="The image, if it has moved.")] = None,
    segmenter: Annotated[str | None, typer.Option(help="Segmenter, if not the recorded one.")] = None,
    root: ImageRoots = None,
) -> None:
    """Replay a recorded trajectory and compare every mask, bit for bit."""
    from ibisagent.ui.cli.run_commands import run_replay

    run_replay(trajectory, image, segmenter, root or ())


@app.command(cls=NamedHelpCommand)
def clicks(
    dataset: DataSet,
    segmenter: Segmenters = ["geocut"],  # noqa: B006
    mode: Annotated[list[str] | None, typer.Option(help="centre, jitter or box (first); default: all.")] = None,
    number: Annotated[int, typer.Option("--clicks", min=1, help="Maximum number of prompts per target.")] = 20,
    seed: Seed = 0,
    out: Out = None,
    kind: Kind = None,
    split: Split = None,
    workers: Workers = None,
) -> None:
    """Count the simulated clicks that segmenters need on DATASET (RITM's protocol)."""
    from ibisagent.ui.cli.click_benchmark import run_clicks

    modes = mode or ("centre", "jitter", "box")
    run_clicks(
        dataset, segmenter, modes=modes, clicks=number, seed=seed, out=out, kind=kind, split=split, workers=workers
    )


@app.command("eval", cls=NamedHelpCommand)
def evaluate(
    dataset: DataSet,
    policy: Annotated[list[str] | None, typer.Option(help=f"{AUTONOMOUS}. Repeatable.")] = None,
    segmenter: Segmenters = ["geocut"],  # noqa: B006
    out: Out = None,
    baselines: Annotated[bool, typer.Option(help="Also run oracle, centre and random.")] = True,
    max_steps: MaxSteps = 20,
    start: Annotated[
        str, typer.Option(help="Initial condition of runs: none, perturbed_mask, foreign_mask or distractor_click.")
    ] = "none",
    preset: Preset = "default",
    seed: Seed = 0,
    kind: Kind = None,
    split: Split = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many cases, spread over the data set.")] = None,
    workers: Workers = None,
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
        preset=preset,
        seed=seed,
        workers=workers,
        kind=kind,
        split=split,
        local_only=local_only,
        prompts=prompts,
        limit=limit,
    )


@app.command()
def phantoms(
    number: Annotated[int, typer.Option("--n", min=1, help="Number of pictures, the modalities in turn.")],
    out: Annotated[Path, typer.Option(help="Folder for the data set; an unfinished one is resumed.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first picture; the next has the next.")] = 0,
    size: Annotated[str, typer.Option(help="Side in pixels, or a range to draw each from, such as 112-176.")] = "256",
    difficulty: Annotated[str, typer.Option(help="0 to 1, or a range to draw each from, such as 0.1-0.7.")] = "0.5",
    modality: Annotated[
        list[str] | None, typer.Option(help="Modality, such as ct_abdomen; repeatable; default: all.")
    ] = None,
    request_kind: Annotated[
        list[str] | None,
        typer.Option(help="Request kinds: present, absent, foreign, reasoning, comparison; repeatable; default: all."),
    ] = None,
    single_row: Annotated[bool, typer.Option("--single-row", help="One row per picture, drawn at random.")] = False,
    workers: Workers = None,
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
        sheet=sheet,
    )


trajectories = typer.Typer(help="Recorded runs: generate, tabulate and draw them.", no_args_is_help=True)
app.add_typer(trajectories, name="trajectories")


@trajectories.command("make", cls=NamedHelpCommand)
def make_trajectories(
    dataset: DataSet,
    out: Annotated[Path, typer.Option(help="Folder for the records; an unfinished one is resumed.")],
    segmenter: Segmenter = "geocut",
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    workers: Workers = None,
    max_steps: MaxSteps = 6,
    policy: Annotated[
        str | None, typer.Option(help=f"Policy that acts, while the expert labels its replies: {AUTONOMOUS}.")
    ] = None,
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
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many cases, spread over the data set.")] = None,
    kind: Kind = None,
    split: Split = None,
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
        max_steps=max_steps,
        policy=policy,
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
    )


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


@trajectories.command()
def show(
    path: Annotated[Path, typer.Argument(help="A trajectory file or folder.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the pictures; default: beside each record.")] = None,
    root: ImageRoots = None,
) -> None:
    """Draw every recorded run as a contact sheet."""
    from ibisagent.ui.cli import show_trajectories as pictures

    pictures.show_sheets(path, out, root or ())


training = typer.Typer(help="Train a policy.", no_args_is_help=True)
app.add_typer(training, name="train")


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


@app.command(cls=NamedHelpCommand)
def mcp(
    root: Annotated[
        list[Path] | None, typer.Option(help="Folder from which images may be read; repeatable; default: none.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for exported files; default: resources only.")] = None,
    policy: Annotated[str, typer.Option(help=f"{SERVED}.")] = "nano",
    segmenter: Segmenter = "geocut",
    preset: Preset = "default",
    max_steps: MaxSteps = 20,
    seed: Seed = 0,
    prompts: Annotated[Path | None, typer.Option(help="Prompt file in place of ours.")] = None,
    http: Annotated[bool, typer.Option(help="Streamable HTTP at /mcp instead of stdio.")] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback lets other machines connect.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    sessions: Annotated[
        int, typer.Option(min=1, help="Maximum number of sessions; the least recently used ends first.")
    ] = 32,
    file_mib: Annotated[int, typer.Option(min=1, help="Maximum size of a file or folder, in MiB.")] = 512,
    local_only: Annotated[bool, typer.Option(help="Send nothing to any other machine.")] = False,
) -> None:
    """Serve segmentation over MCP (stdio or HTTP): tools segment, refine, measure, export."""
    from ibisagent.ui.mcp.command import ServerOptions, run_mcp
    from ibisagent.ui.mcp.limits import Limits

    run_mcp(
        ServerOptions(
            policy=policy,
            segmenter=segmenter,
            preset=preset,
            max_steps=max_steps,
            seed=seed,
            prompts=prompts,
            roots=tuple(root or ()),
            out=out,
            transport="http" if http else "stdio",
            host=host,
            port=port,
            local_only=local_only,
            limits=Limits(sessions=sessions, file_bytes=file_mib * 2**20),
        )
    )


@app.command()
def example(
    folder: Annotated[Path, typer.Argument(help="Folder for the files; created if missing.")],
) -> None:
    """Write the pictures of the documentation, their true masks and a small data set into FOLDER."""
    from rich.console import Console

    from ibisagent.ui.example_folder import write_example

    Console().print(f"wrote {', '.join(map(str, write_example(folder)))}", soft_wrap=True, markup=False)


@app.command()
def doctor() -> None:
    """Report what is installed, what missing extras are for, and whether the loop runs here."""
    from ibisagent.ui.cli.doctor import run_doctor

    run_doctor()


def main() -> None:
    """Run the command line; exit codes: 0 done, 2 wrong input, 3 a run failed, 1 a bug."""
    run_with_exit_code(app)


def run_with_exit_code(run: Callable[[], None]) -> None:
    """Run a function; an `IbisError` becomes one line on stderr and its exit code."""
    try:
        run()
    except IbisError as error:
        sys.stderr.write(f"ibisagent: {' '.join(str(error).split())}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write("ibisagent: stopped\n")
        raise SystemExit(130) from None
