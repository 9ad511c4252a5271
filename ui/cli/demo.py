"""The demonstration: nano on two synthetic pictures and on a real scan, and the oracle on that scan."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from ibisagent.agent import LoopConfig, Policy, build_graph, get_policy
from ibisagent.agent.policies import OraclePolicy
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.ui.cli.app import run_with_exit_code
from ibisagent.ui.cli.run_commands import RunOptions, run_case
from ibisagent.ui.example_folder import draw_unseen_phantom, load_scan_with_lesion
from ibisagent.ui.run_folder import make_folder

__all__ = ["DemoCase", "list_demo_cases", "main"]

_SPLEEN = "A synthetic abdominal CT with exact masks, from a seed that nano never saw."
_POLYP = "A synthetic endoscopy without a polyp: the right answer is that there is none."
_SCAN = (
    "A real scan: the abdominal MR in pydicom's examples_overlay.dcm, with a liver lesion that a person circled, "
    "loosely. nano learned from synthetic pictures alone: expect little of it here."
)
_ORACLE = "The same scan, clicked by the oracle, which knows the circle: what clicks can reach."


@dataclass(frozen=True, slots=True, eq=False)
class DemoCase:
    """One run of the demonstration; ``truth``: (H, W) bool; ``policy``: None is the demonstrated one."""

    name: str
    caption: str
    request: str
    image: Path
    truth: NDArray[np.bool_]
    policy: Policy | None = None


def list_demo_cases(out: Path) -> list[DemoCase]:
    """Draw the phantoms into folders of ``out``, and return the cases."""
    scan, truth = load_scan_with_lesion()
    oracle = OraclePolicy(truth, target_iou=0.85)
    return [
        _phantom_case(out, "spleen", _SPLEEN),
        _phantom_case(out, "polyp", _POLYP),
        DemoCase("scan", _SCAN, "Segment the liver lesion.", scan, truth),
        DemoCase("scan-oracle", _ORACLE, "Segment the liver lesion.", scan, truth, oracle),
    ]


def _phantom_case(out: Path, target: str, says: str) -> DemoCase:
    pixels, truth = draw_unseen_phantom(target)
    make_folder(out / target)
    picture = out / target / "picture.png"
    Image.fromarray(pixels).save(picture)
    return DemoCase(target, says, f"Segment the {target}.", picture, truth)


def main(out: Path = Path("runs/demo"), policy: str = "nano") -> None:
    """Run the loop on each picture and write a run folder for each into ``out``."""
    console = Console()
    default = get_policy(policy)
    for show in list_demo_cases(out):
        chosen = show.policy or default
        console.print(f"{show.caption}\n{chosen.name} with geocut: {show.request}", markup=False, highlight=False)
        case = RunOptions(show.image, show.request, "geocut", None, None, max_steps=20, out=out / show.name)
        graph = build_graph(chosen, case.segmenter, LoopConfig(max_steps=case.max_steps))
        run_case(graph, {"image": open_image(show.image), "request": show.request}, case, show.truth)
        console.print()
    console.print(f"See the contact sheets: {out}/*/steps.png", markup=False)


if __name__ == "__main__":
    run_with_exit_code(main)
