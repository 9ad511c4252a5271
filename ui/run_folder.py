"""The run folder: mask.png, overlay.png, steps.png, trajectory.json, and further files of the mask."""

import contextlib
import itertools
import time
from pathlib import Path
from typing import Any

from PIL import Image

from ibisagent.agent import SegmentationGraph
from ibisagent.agent.actions import PROMPT_KINDS
from ibisagent.agent.overlay import overlay
from ibisagent.agent.state import State
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.agent.trajectory_files import write_trajectory
from ibisagent.evals.contact_sheets import contact_sheet_of
from ibisagent.tools.export import Provenance, save_mask
from ibisagent.tools.files import atomic_write, make_folder
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.rle import decode

__all__ = ["make_folder", "mask_provenance", "new_folder", "write_run"]


def new_folder(parent: Path) -> Path:
    """Create a run folder in ``parent``, named by the time; unique also when two runs begin in the same second."""
    make_folder(parent)
    now = time.strftime("%Y%m%d-%H%M%S")
    for name in itertools.chain([now], (f"{now}-{number}" for number in itertools.count(2))):
        with contextlib.suppress(FileExistsError):
            (parent / name).mkdir()
            break
    return parent / name


def write_run(
    folder: Path,
    graph: SegmentationGraph,
    state: State,
    image: MedicalImage,
    *,
    truth: Any = None,
    saves: tuple[Path, ...] = (),
) -> list[Path]:
    """Write the results of a run into an existing folder, each file whole or not at all, and return the paths."""
    record = build_trajectory(graph, state, truth=truth, folder=folder)
    mask = decode(record.mask)
    save_mask(folder / "mask.png", mask, image)
    _write_picture(folder / "overlay.png", Image.fromarray(overlay(image.pixels, mask)))
    _write_picture(folder / "steps.png", contact_sheet_of(record, image))
    write_trajectory(folder / "trajectory.json", record)
    for target in saves:
        save_mask(target, mask, image, mask_provenance(record))
    return [*(folder / name for name in ("mask.png", "overlay.png", "steps.png", "trajectory.json")), *saves]


def mask_provenance(record: Trajectory) -> Provenance:
    """Return a mask's provenance for export: its target, its algorithm, and whether a person clicked."""
    prompts = [step for step in record.steps if step.action and step.action["type"] in PROMPT_KINDS]
    targets = [step.action["target"] for step in prompts if step.action and step.action.get("target")]
    return Provenance(
        target=targets[-1] if targets else record.request,
        interactive=any(step.actor == "person" for step in prompts),
        algorithm=f"{record.policy} with {record.segmenter.split()[0]}",
    )


def _write_picture(path: Path, picture: Image.Image) -> None:
    with atomic_write(path) as temporary:
        picture.save(temporary, format="PNG")
