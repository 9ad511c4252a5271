"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "POLICIES",
    "SEGMENTERS",
    "DataSet",
    "ImageArgument",
    "Kind",
    "MaxSteps",
    "Out",
    "Preset",
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
SEGMENTERS = "geocut, geodesic, disk, or weights: medsam2:FILE, sam2:FILE, sam:ID, medsam:ID, sam2hf:ID."
POLICIES = (
    "nano, hf:FOLDER_OR_ID, vllm:URL#MODEL, provider:model, person, centre, random, or none: only the given prompts."
)
Segmenter = Annotated[str, typer.Option(help=SEGMENTERS)]
Segmenters = Annotated[list[str], typer.Option(help=f"{SEGMENTERS} Repeatable.")]
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
Preset = Annotated[
    str, typer.Option(help="Loop settings: default, self-check, or ibis for the paper's released weights.")
]
