"""The run folder: mask.png, overlay.png, steps.png, trajectory.json, and further files of the mask.

Where an example is in force also labels.png, instances.csv and instances.json, the separate objects of the mask.
"""

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
from ibisagent.agent.steps import has_examples
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.agent.trajectory_files import write_trajectory
from ibisagent.evals.contact_sheets import contact_sheet_of
from ibisagent.tools.export import Provenance, save_instances, save_mask
from ibisagent.tools.files import atomic_write, make_folder
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.instances import instances
from ibisagent.tools.masks.rle import decode

__all__ = ["INSTANCE_FILES", "make_folder", "mask_provenance", "new_folder", "write_run"]

INSTANCE_FILES = ("labels.png", "instances.csv", "instances.json")
"""The separate objects of a mask: label picture, sizes and centroids, COCO annotations."""


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
    instance_saves: tuple[Path, ...] = (),
) -> list[Path]:
    """Write the results of a run into an existing folder, each file whole or not at all, and return the paths.

    ``saves``, ``instance_saves``: further files of the mask, and of its separate objects.
    """
    record = build_trajectory(graph, state, truth=truth, folder=folder)
    mask = decode(record.mask)
    save_mask(folder / "mask.png", mask, image)
    _write_picture(folder / "overlay.png", Image.fromarray(overlay(image.pixels, mask)))
    _write_picture(folder / "steps.png", contact_sheet_of(record, image))
    write_trajectory(folder / "trajectory.json", record)
    for target in saves:
        save_mask(target, mask, image, mask_provenance(record))
    own = tuple(folder / name for name in INSTANCE_FILES) if has_examples(record.target.prompts) else ()
    if own or instance_saves:
        found = instances(mask)
        for target in (*own, *instance_saves):
            save_instances(target, found, image, mask_provenance(record))
    written = [folder / name for name in ("mask.png", "overlay.png", "steps.png", "trajectory.json")]
    return [*written, *own, *saves, *instance_saves]


def mask_provenance(record: Trajectory) -> Provenance:
    """Return a mask's provenance for export: its target, its algorithm, and whether a person clicked.

    The algorithm is the policy's where that made prompts, the proposer's where it began the mask, else a person's.
    """
    prompts = [step for step in record.steps if step.action and step.action["type"] in PROMPT_KINDS]
    proposal = record.target.proposal
    by_policy = any(step.actor == "policy" for step in prompts)
    author = record.policy if by_policy or not prompts else "person"
    if proposal is not None and proposal["outcome"] == "proposed" and not by_policy:
        author = proposal["by"]
    targets = [step.action["target"] for step in prompts if step.action and step.action.get("target")]
    return Provenance(
        target=targets[-1] if targets else record.request,
        interactive=any(step.actor == "person" for step in prompts),
        algorithm=f"{author} with {record.segmenter.split()[0]}",
    )


def _write_picture(path: Path, picture: Image.Image) -> None:
    with atomic_write(path) as temporary:
        picture.save(temporary, format="PNG")
