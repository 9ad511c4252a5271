"""`ibisagent doctor`: what is here, what each missing extra would bring, whether the loop and its own policy run."""

import platform
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ibisagent.agent import build_graph, get_policy
from ibisagent.agent.policies import OraclePolicy
from ibisagent.tools.errors import IbisError
from ibisagent.tools.masks import decode
from ibisagent.tools.measure import iou
from ibisagent.tools.segmenters import segmenter_names

__all__ = ["run_doctor"]

_CORE = ("langgraph", "langchain-core", "numpy", "pillow", "scipy", "scikit-image", "pydicom", "nibabel", "pycocotools")
# What each extra brings, by the module that shows it is there.
_EXTRAS = {
    "models": ("torch", "local neural segmenters and vision-language models"),
    "train": ("trl", "SFT and GRPO over the graph"),
    "chat": ("langchain", "chat models by name, such as openai:MODEL"),
    "ui": ("gradio", "the chat demo"),
    "postgres": ("psycopg", "threads kept on a Postgres server"),
    "eval": ("matplotlib", "plots and reports of clicks and eval"),
    "serve": ("mcp", "the MCP server"),
    "medical": ("highdicom", "DICOM-SEG and compressed DICOM"),
    "sam2": ("sam2", "MedSAM2 and SAM2 checkpoints"),
}


def run_doctor() -> None:
    """Print the report; a loop that does not run raises."""
    console = Console()
    console.print(f"ibisagent {version('ibisagent')}, Python {platform.python_version()}, {platform.platform()}")
    console.print(_packages())
    console.print(_extras())
    for name in segmenter_names():
        console.print(_trial(name))
    console.print(escape(_nano()), soft_wrap=True)


def _packages() -> Table:
    table = Table("package", "version", title="Core")
    for name in _CORE:
        table.add_row(name, _version(name))
    return table


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _extras() -> Table:
    table = Table("extra", "state", "what for", title="Extras")
    for extra, (module, purpose) in _EXTRAS.items():
        state = "installed" if find_spec(module) is not None else f"pip install 'ibisagent\\[{extra}]'"
        table.add_row(extra, state, purpose)
    return table


def _trial(segmenter: str) -> str:
    """Run the loop on the picture made here, with a policy that knows where the ellipse lies."""
    pixels, truth = _ellipse()
    begun = time.perf_counter()
    result = build_graph(OraclePolicy(truth), segmenter).invoke({"image": pixels, "request": "Segment the ellipse."})
    reached = iou(decode(result["mask"]), truth)
    seconds = time.perf_counter() - begun
    return f"{segmenter}: {len(result['steps'])} steps, {result['stop']}, IoU {reached:.3f}, {seconds:.2f} s"


def _nano() -> str:
    """Run the policy that ships, or say what it lacks here."""
    pixels, _ = _ellipse()
    begun = time.perf_counter()
    try:
        graph = build_graph(get_policy("nano", local_only=True), "geocut")
    except IbisError as error:
        return f"nano cannot run here: {error}"
    result = graph.invoke({"image": pixels, "request": "Segment the ellipse."})
    return f"nano: {len(result['steps'])} steps, {result['stop']}, {time.perf_counter() - begun:.2f} s"


def _ellipse() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw a bright ellipse in noise; give the picture and the truth, (H, W)."""
    y, x = np.mgrid[:128, :160]
    truth = ((y - 60) / 30) ** 2 + ((x - 90) / 45) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 8, truth.shape)
    return np.clip(70 + 90 * truth + noise, 0, 255).astype(np.uint8), truth
