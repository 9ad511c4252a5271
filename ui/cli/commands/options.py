"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from ibisagent.ui.cli.named_help import PROPOSERS, SEGMENTERS

__all__ = [
    "DataSet",
    "DefaultSegmenter",
    "EngineName",
    "ImageArgument",
    "ImageRoots",
    "Kind",
    "MaxSteps",
    "Out",
    "Preset",
    "Propose",
    "RayAddress",
    "Seed",
    "Segmenter",
    "Segmenters",
    "Slice",
    "Split",
    "Window",
    "Workers",
]

ImageArgument = Annotated[
    Path, typer.Argument(help="PNG, JPEG, TIFF, WebP, BMP, DICOM (file, folder or zip), NIfTI, NRRD, MetaImage or NPZ.")
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
DataSet = Annotated[
    Path, typer.Argument(help="Data-set folder: manifest.csv, nnU-Net raw, BiomedParse naming, COCO or CVPR NPZ.")
]
Kind = Annotated[str | None, typer.Option(help="native, nnunet, biomedparse, coco or cvpr; default: detected.")]
Split = Annotated[str | None, typer.Option(help="Only the rows of this split.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; default: one per core.")]
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
