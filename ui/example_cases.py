"""Runs worth seeing, each with its picture and its true mask: two phantoms, and a real scan."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ibisagent.agent import Policy
from ibisagent.agent.policies import OraclePolicy
from ibisagent.ui.example_folder import draw_unseen_phantom, find_fundus_photograph, load_scan_with_lesion
from ibisagent.ui.run_folder import make_folder

__all__ = ["ExampleCase", "list_example_cases"]

_SPLEEN = "A synthetic abdominal CT with exact masks, from a seed that nano never saw."
_POLYP = "A synthetic endoscopy without a polyp: the right answer is that there is none."
_FUNDUS = (
    "A real photograph of a retina, which scikit-image ships, without a true mask: a kind of picture that nano learned."
)
_SCAN = (
    "A real scan: the abdominal MR in pydicom's examples_overlay.dcm, with a liver lesion that a person circled, "
    "loosely. nano never learned real abdominal MR, and may say that there is no such thing: that is wrong."
)
_ORACLE = "The same scan, clicked by the oracle, which knows the circle: what clicks can reach."


@dataclass(frozen=True, slots=True, eq=False)
class ExampleCase:
    """A run to show; ``truth``: (H, W) bool, None where it is not known; ``policy``: None is the one that is shown."""

    name: str
    caption: str
    request: str
    image: Path
    truth: NDArray[np.bool_] | None
    policy: Policy | None = None


def list_example_cases(out: Path) -> list[ExampleCase]:
    """Draw the phantoms into folders of ``out``, and return the cases."""
    scan, truth = load_scan_with_lesion()
    oracle = OraclePolicy(truth, target_iou=0.85)
    return [
        _phantom_case(out, "spleen", _SPLEEN),
        _phantom_case(out, "polyp", _POLYP),
        ExampleCase("fundus", _FUNDUS, "Segment the optic disc.", find_fundus_photograph(), None),
        ExampleCase("scan", _SCAN, "Segment the liver lesion.", scan, truth),
        ExampleCase("scan-oracle", _ORACLE, "Segment the liver lesion.", scan, truth, oracle),
    ]


def _phantom_case(out: Path, target: str, says: str) -> ExampleCase:
    pixels, truth = draw_unseen_phantom(target)
    make_folder(out / target)
    picture = out / target / "picture.png"
    Image.fromarray(pixels).save(picture)
    return ExampleCase(target, says, f"Segment the {target}.", picture, truth)
