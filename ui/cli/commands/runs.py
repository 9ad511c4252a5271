"""Commands that run the loop on one image: segment, simulate, replay."""

from pathlib import Path
from typing import Annotated

import typer

from ibisagent.ui.cli.commands.options import (
    DefaultSegmenter,
    ImageArgument,
    ImageRoots,
    LocalOnly,
    MaxSteps,
    Out,
    Preset,
    Prompts,
    Propose,
    Seed,
    Segmenter,
    Slice,
    Window,
)
from ibisagent.ui.cli.named_help import TAKE_EXAMPLES, WITHOUT_TRUTH, in_order

__all__ = ["replay", "segment", "simulate"]


def segment(
    context: typer.Context,
    image: ImageArgument,
    request: Annotated[str, typer.Argument(help="What to segment, in words.")],
    policy: Annotated[
        str | None,
        typer.Option(
            help=f"{WITHOUT_TRUTH}. Default: nano; with --click, --similar or --box: none.", show_default=False
        ),
    ] = None,
    propose: Propose = None,
    segmenter: DefaultSegmenter = None,
    click: Annotated[
        list[str] | None, typer.Option(help="Your click, '+x,y' (target) or '-x,y' (background), 0 to 1; repeatable.")
    ] = None,
    similar: Annotated[
        list[str] | None,
        typer.Option(
            help="An example, '+x,y': mark everything that looks like it; '-x,y': nothing like it. Repeatable, in "
            f"order with --click. Segmenter: {TAKE_EXAMPLES}."
        ),
    ] = None,
    box: Annotated[str | None, typer.Option(help="Your box, 'x0,y0,x1,y1', 0 to 1, before the others.")] = None,
    mask: Annotated[Path | None, typer.Option(help="An initial mask to refine.")] = None,
    slice_: Slice = None,
    window: Window = None,
    max_steps: MaxSteps = 20,
    save: Annotated[
        list[Path] | None, typer.Option(help="Also write the mask here: .png, .nii.gz, .nrrd, .dcm (DICOM-SEG), .json.")
    ] = None,
    save_instances: Annotated[
        list[Path] | None,
        typer.Option(
            help="Also write the mask's separate objects here: .png, .nii.gz (labels), .csv (sizes, centroids), .json "
            "(COCO). With --similar the run folder holds labels.png, instances.csv and instances.json."
        ),
    ] = None,
    out: Out = None,
    seed: Seed = 0,
    local_only: LocalOnly = False,
    prompts: Prompts = None,
    preset: Preset = "default",
    thread: Annotated[str | None, typer.Option(help="Name of the run in --db, started or resumed.")] = None,
    db: Annotated[Path | None, typer.Option(help="SQLite file that keeps every step of --thread.")] = None,
) -> None:
    """Segment the target that REQUEST names in IMAGE."""
    from ibisagent.tools.segmenters.registry import default_segmenter
    from ibisagent.ui.cli.run_commands import RunOptions, run_segment

    case = RunOptions(
        image,
        request,
        segmenter or default_segmenter(),
        slice_,
        window,
        max_steps,
        out,
        tuple(save or ()),
        seed,
        thread,
        db,
        tuple(save_instances or ()),
    )
    marks = in_order(context, click=click, similar=similar)
    run_segment(case, policy, marks, box, mask, local_only, prompts, preset, propose)


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


def replay(
    trajectory: Annotated[Path, typer.Argument(help="A trajectory.json of an earlier run.")],
    image: Annotated[Path | None, typer.Option(help="The image, if it has moved.")] = None,
    segmenter: Annotated[str | None, typer.Option(help="Segmenter, if not the recorded one.")] = None,
    root: ImageRoots = None,
) -> None:
    """Replay a recorded trajectory and compare every mask, bit for bit."""
    from ibisagent.ui.cli.run_commands import run_replay

    run_replay(trajectory, image, segmenter, root or ())
