"""The demonstration: the oracle clicks on a real scan that pydicom ships, an abdominal MR with an outlined lesion."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.data import get_testdata_file
from rich.console import Console
from scipy import ndimage

from ibisagent.agent import LoopConfig, build_graph
from ibisagent.agent.policies import OraclePolicy
from ibisagent.tools.errors import InputError
from ibisagent.tools.images import open_image
from ibisagent.ui.commands import Case, run_case

__all__ = ["lesion", "main"]

SCAN = "examples_overlay.dcm"
# The overlay plane also holds text and a scale; the outline of the lesion lies in these rows and columns.
_OUTLINE = np.s_[139:174, 46:81]


_SAYS = """\
A real scan: the abdominal MR in pydicom's examples_overlay.dcm, with a liver lesion
that a person circled, loosely, so that the circle takes in more than the lesion.
The policy is the ORACLE: it knows the circle and clicks where the mask is most wrong.
The segmenter is geocut, which ships with the package: no weights, it knows the clicks.
"""


def lesion() -> tuple[Path, NDArray[np.bool_]]:
    """Give the scan's path and the lesion, (H, W) bool: the circle drawn by a person, filled."""
    path = get_testdata_file(SCAN, download=False)
    if path is None:
        raise InputError(f"{SCAN}: this pydicom does not ship it; install pydicom 3 from the package index")
    plane = dcmread(path).overlay_array(0x6000).astype(np.bool_)
    outline = np.zeros_like(plane)
    outline[_OUTLINE] = plane[_OUTLINE]
    return Path(path), ndimage.binary_fill_holes(outline)


def main() -> None:
    """Run the loop and write runs/demo."""
    path, truth = lesion()
    Console().print(_SAYS)
    case = Case(path, "Segment the lesion.", "geocut", None, None, max_steps=20, out=Path("runs/demo"))
    graph = build_graph(OraclePolicy(truth, target_iou=0.85), case.segmenter, LoopConfig(max_steps=case.max_steps))
    run_case(graph, {"image": open_image(path), "request": case.request}, case, truth)


if __name__ == "__main__":
    main()
