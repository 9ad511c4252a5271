"""Options that several commands share."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ibisagent.ui.cli.named_help import PROPOSERS, SEGMENTERS

if TYPE_CHECKING:
    from ibisagent.tools.datasets.sampling import CaseFilter

__all__ = [
    "DataSet",
    "DefaultSegmenter",
    "EngineName",
    "ImageArgument",
    "ImageRoots",
    "Kind",
    "Limit",
    "LocalOnly",
    "MaxSteps",
    "Only",
    "OnlyModality",
    "Out",
    "Preset",
    "Prompts",
    "Propose",
    "RayAddress",
    "RunOut",
    "Seed",
    "Segmenter",
    "Segmenters",
    "Slice",
    "Split",
    "Window",
    "Without",
    "WithoutModality",
    "Workers",
    "case_filter",
]

ImageArgument = Annotated[
    Path,
    typer.Argument(help="PNG, JPEG, TIFF, WebP, BMP, GIF, DICOM (file, folder or zip), NIfTI, NRRD, MetaImage or NPZ."),
]
Segmenter = Annotated[str, typer.Option(help=f"{SEGMENTERS}.")]
DefaultSegmenter = Annotated[
    str | None,
    typer.Option(help=f"{SEGMENTERS}. Default: geonet with the extra models, else geocut.", show_default=False),
]
Segmenters = Annotated[list[str], typer.Option(help=f"{SEGMENTERS}. Repeatable.")]
Slice = Annotated[str | None, typer.Option("--slice", help="Slice or page, such as 12 or coronal:middle.")]
Window = Annotated[str | None, typer.Option(help="CT window by name, 'centre,width', or percentiles 'p1,p99'.")]
Out = Annotated[Path | None, typer.Option(help="Run folder; default: a new one in runs/.")]
MaxSteps = Annotated[int, typer.Option(min=1, help="Maximum number of the policy's actions.")]
RunOut = Annotated[str | None, typer.Option(help="Run folder, or an address; default: a new folder in runs/.")]
DataSet = Annotated[
    str,
    typer.Argument(
        help="Data-set folder: manifest.csv (also at an address, such as s3://...), nnU-Net raw, BiomedParse naming, "
        "COCO or CVPR NPZ."
    ),
]
Kind = Annotated[str | None, typer.Option(help="native, nnunet, biomedparse, coco or cvpr; default: detected.")]
Split = Annotated[str | None, typer.Option(help="Only the rows of this split.")]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes; default: one per core; 0: none but this one, which a crash ends.")
]
Without = Annotated[list[str] | None, typer.Option(help="Source of the data to leave out; repeatable.")]
Only = Annotated[list[str] | None, typer.Option(help="Source of the data to take, and no other; repeatable.")]
WithoutModality = Annotated[list[str] | None, typer.Option(help="Modality to leave out; repeatable.")]
OnlyModality = Annotated[list[str] | None, typer.Option(help="Modality to take, and no other; repeatable.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only so many cases, spread over the data set.")]
LocalOnly = Annotated[bool, typer.Option(help="Send nothing to any other machine.")]
Prompts = Annotated[Path | None, typer.Option(help="Prompt file in place of ours.")]
EngineName = Annotated[str, typer.Option("--engine", help="What runs the workers: processes, or ray.")]
RayAddress = Annotated[
    str | None,
    typer.Option(help="A running Ray cluster, host:port; default: Ray on this machine alone.", show_default=False),
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]
ImageRoots = Annotated[
    list[Path] | None,
    typer.Option("--root", help="Folder with the images, if not the record's or the current one; repeatable."),
]
Propose = Annotated[
    str | None,
    typer.Option(
        "--propose",
        help=f"Draws the initial mask where you give none: {PROPOSERS}. Default: the policy's own, as nano's.",
        show_default=False,
    ),
]
Preset = Annotated[
    str, typer.Option(help="Loop settings: default, self-check, or ibis for the paper's released weights.")
]


def case_filter(
    without: Sequence[str] | None,
    only: Sequence[str] | None,
    without_modality: Sequence[str] | None,
    only_modality: Sequence[str] | None,
) -> "CaseFilter":
    """Return what the four options above say together."""
    from ibisagent.tools.datasets.sampling import CaseFilter

    return CaseFilter(*(tuple(each or ()) for each in (without, only, without_modality, only_modality)))
