"""`ibisagent doctor`: what is here, what each missing extra would bring, and whether the loop runs."""

import platform
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import numpy as np
from rich.console import Console
from rich.table import Table

from ibisagent.agent import build_graph
from ibisagent.agent.policies import OraclePolicy
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
    """Run the loop on a picture made here: a bright ellipse in noise."""
    y, x = np.mgrid[:128, :160]
    truth = ((y - 60) / 30) ** 2 + ((x - 90) / 45) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 8, truth.shape)
    pixels = np.clip(70 + 90 * truth + noise, 0, 255).astype(np.uint8)
    begun = time.perf_counter()
    result = build_graph(OraclePolicy(truth), segmenter).invoke({"image": pixels, "request": "Segment the ellipse."})
    reached = iou(decode(result["mask"]), truth)
    seconds = time.perf_counter() - begun
    return f"{segmenter}: {len(result['steps'])} steps, {result['stop']}, IoU {reached:.3f}, {seconds:.2f} s"
