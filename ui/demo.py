"""The demonstration: nano on two pictures drawn on the spot and on a real scan, and the oracle on that scan."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from rich.console import Console
from scipy import ndimage

from ibisagent.agent import LoopConfig, Policy, build_graph, get_policy
from ibisagent.agent.policies import OraclePolicy
from ibisagent.tools.errors import InputError
from ibisagent.tools.images import open_image
from ibisagent.training.phantoms import draw
from ibisagent.ui.cli import in_a_line
from ibisagent.ui.commands import Case, run_case
from ibisagent.ui.folder import make_folder

__all__ = ["Show", "lesion", "main", "shows"]

SCAN = "examples_overlay.dcm"
# The overlay plane also holds text and a scale; the outline of the lesion lies in these rows and columns.
_OUTLINE = np.s_[139:174, 46:81]
_UNSEEN = 10_000_000  # training draws its phantoms by seeds below this

_SPLEEN = "A drawn abdominal CT with its exact masks, by a seed that nano never saw."
_POLYP = "A drawn endoscopy without a polyp: the right answer is that there is none."
_SCAN = (
    "A real scan: the abdominal MR in pydicom's examples_overlay.dcm, with a liver lesion that a person circled, "
    "loosely. nano learned from drawn pictures alone: expect little of it here."
)
_ORACLE = "The same scan, clicked by the oracle, which knows the circle: what clicks can reach."


@dataclass(frozen=True, slots=True, eq=False)
class Show:
    """One run of the demonstration; ``truth``: (H, W) bool; ``policy``: None is the one that is being shown."""

    name: str
    says: str
    request: str
    image: Path
    truth: NDArray[np.bool_]
    policy: Policy | None = None


def lesion() -> tuple[Path, NDArray[np.bool_]]:
    """Give the scan's path and the lesion, (H, W) bool: the circle drawn by a person, filled."""
    path = get_testdata_file(SCAN, download=False)
    if path is None:
        raise InputError(f"{SCAN}: this pydicom does not ship it; install pydicom 3 from the package index")
    plane = dcmread(path).overlay_array(0x6000).astype(np.bool_)
    outline = np.zeros_like(plane)
    outline[_OUTLINE] = plane[_OUTLINE]
    return Path(path), ndimage.binary_fill_holes(outline)


def shows(out: Path) -> list[Show]:
    """Draw the phantoms into folders of ``out``, and list what is shown."""
    scan, truth = lesion()
    oracle = OraclePolicy(truth, target_iou=0.85)
    return [
        _drawn(out, "spleen", _SPLEEN, "ct_abdomen", _UNSEEN),
        _drawn(out, "polyp", _POLYP, "endoscopy", _UNSEEN + 1),
        Show("scan", _SCAN, "Segment the liver lesion.", scan, truth),
        Show("scan-oracle", _ORACLE, "Segment the liver lesion.", scan, truth, oracle),
    ]


def _drawn(out: Path, target: str, says: str, modality: str, seed: int) -> Show:
    phantom = draw(modality, seed)
    make_folder(out / target)
    picture = out / target / "picture.png"
    Image.fromarray(phantom.image).save(picture)
    truth = phantom.masks.get(target, np.zeros(phantom.image.shape[:2], np.bool_))
    return Show(target, says, f"Segment the {target}.", picture, truth)


def main(out: Path = Path("runs/demo"), policy: str = "nano") -> None:
    """Run the loop on each picture and write a run folder for each into ``out``."""
    console = Console()
    shown = get_policy(policy)
    for show in shows(out):
        chosen = show.policy or shown
        console.print(f"{show.says}\n{chosen.name} with geocut: {show.request}", markup=False, highlight=False)
        case = Case(show.image, show.request, "geocut", None, None, max_steps=20, out=out / show.name)
        graph = build_graph(chosen, case.segmenter, LoopConfig(max_steps=case.max_steps))
        run_case(graph, {"image": open_image(show.image), "request": show.request}, case, show.truth)
        console.print()
    console.print(f"Look at the step sheets: {out}/*/steps.png", markup=False)


if __name__ == "__main__":
    in_a_line(main)
