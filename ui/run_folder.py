"""The run folder: mask.png, overlay.png, steps.png, trajectory.json, and wherever else the mask was asked for."""

import contextlib
import itertools
import time
from pathlib import Path
from typing import Any

from PIL import Image

from ibisagent.agent import SegmentationGraph
from ibisagent.agent.contact_sheet import contact_sheet_of
from ibisagent.agent.overlay import overlay
from ibisagent.agent.state import State
from ibisagent.agent.trajectory import Trajectory, build_trajectory, write_trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.export import Provenance, save_mask
from ibisagent.tools.files import atomic_write, printable_text, describe_os_error, require_writable_folder
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.rle import decode

__all__ = ["mask_provenance", "make_folder", "new_folder", "write_run"]


def make_folder(path: Path) -> None:
    """Make a run folder, or take one that is there; `InputError` when nothing can be written to it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{printable_text(path)}: cannot be made ({describe_os_error(error)}); name a folder that you may write to"
        ) from error
    require_writable_folder(path)


def new_folder(parent: Path) -> Path:
    """Make a run folder in ``parent``, named by the time; of its own also where two runs begin in one second."""
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
    """Write what a run ended with into a folder that is there, each file whole or not at all, and give the paths."""
    mask = decode(state["mask"])
    record = build_trajectory(graph, state, truth=truth, folder=folder)
    save_mask(folder / "mask.png", mask, image)
    _write_picture(folder / "overlay.png", Image.fromarray(overlay(image.pixels, mask)))
    _write_picture(folder / "steps.png", contact_sheet_of(record, image))
    write_trajectory(folder / "trajectory.json", record)
    for target in saves:
        save_mask(target, mask, image, mask_provenance(record))
    return [*(folder / name for name in ("mask.png", "overlay.png", "steps.png", "trajectory.json")), *saves]


def mask_provenance(record: Trajectory) -> Provenance:
    """Say of a run's mask what it shows, what made it, and whether a person had a hand in it."""
    prompts = [step for step in record.steps if step.action and step.action["type"] in ("point", "box")]
    targets = [step.action["target"] for step in prompts if step.action and step.action.get("target")]
    return Provenance(
        target=targets[-1] if targets else record.request,
        clicked=any(step.actor == "person" for step in prompts),
        algorithm=f"{record.policy} with {record.segmenter.split()[0]}",
    )


def _write_picture(path: Path, picture: Image.Image) -> None:
    with atomic_write(path) as temporary:
        picture.save(temporary, format="PNG")
