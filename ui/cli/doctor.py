"""`ibisagent doctor`: installed versions, missing extras, and whether the loop and the shipped policy run."""

import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from ibisagent.agent import Policy, PolicyOptions, build_graph, get_policy
from ibisagent.agent.policies import POLICIES, OraclePolicy
from ibisagent.agent.proposers import PROPOSERS
from ibisagent.agent.stop_reasons import FAILURES
from ibisagent.tools.errors import IbisError, RunFailed, install_hint
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import decode
from ibisagent.tools.registry import Entry
from ibisagent.tools.segmenters import SEGMENTERS
from ibisagent.tools.segmenters.base import Mask, Pixels
from ibisagent.training.phantoms import draw
from ibisagent.ui.cli.failures import failure_line

__all__ = ["run_doctor"]

_CORE = ("langgraph", "langchain-core", "numpy", "pillow", "scipy", "scikit-image", "pydicom", "nibabel", "pycocotools")
# A module of each extra, and what the extra is for.
_EXTRAS = {
    "models": ("torch", "local neural segmenters and vision-language models"),
    "train": ("trl", "SFT and GRPO over the graph"),
    "chat": ("langchain", "chat models by name, such as openai:MODEL"),
    "ui": ("gradio", "the chat demo"),
    "postgres": ("psycopg", "threads kept on a Postgres server"),
    "eval": ("matplotlib", "plots and reports of clicks and eval"),
    "serve": ("mcp", "the MCP server"),
    "ray": ("ray", "data-set runs on a cluster"),
    "remote": ("aiohttp", "data sets and results at an address"),
    "medical": ("highdicom", "DICOM-SEG and compressed DICOM"),
    "sam2": ("sam2", "MedSAM2 and SAM2 checkpoints"),
}
_INSTALL = {"sam2": "docs/install.md: by itself it would bring torchvision"}


_UNSEEN_SEED, _TARGET = 10_000_003, "skin lesion"  # training uses lower seeds


def run_doctor() -> None:
    """Print the report; `RunFailed` when a run failed or reached less than the expected IoU."""
    console = Console()
    console.print(f"ibisagent {version('ibisagent')}, Python {platform.python_version()}, {platform.platform()}")
    console.print(_packages())
    console.print(_extras())
    console.print(_names("Policies", POLICIES.entries))
    console.print(_names("Proposers", PROPOSERS.entries))
    console.print(_segmenters())
    pixels, truth = _ellipse()
    faults = [
        _test_policy(console, OraclePolicy(truth), entry.form, pixels, truth, "ellipse", 0.7)
        for entry in SEGMENTERS.entries
        if not entry.needs_source
    ]
    faults.append(_test_nano(console))
    if any(faults):
        raise RunFailed("; ".join(filter(None, faults)))


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
    table = Table("extra", "state", "what for", title="Extras, to be installed in a clone of ibisagent")
    for extra, (module, purpose) in _EXTRAS.items():
        state = "installed" if find_spec(module) is not None else _INSTALL.get(extra, escape(install_hint(extra)))
        table.add_row(extra, state, purpose)
    return table


def _names(title: str, entries: Sequence[Entry]) -> Table:
    table = Table("name", "extra", "what", title=title)
    for entry in entries:
        table.add_row(entry.form, entry.extra or "", entry.description)
    return table


def _segmenters() -> Table:
    table = Table(Column("name", no_wrap=True), "extra", "prompts", "what", title="Segmenters")
    for entry in SEGMENTERS.entries:
        table.add_row(entry.form, entry.extra or "", ", ".join(entry.prompts), entry.description)
    return table


def _test_nano(console: Console) -> str | None:
    """Test the shipped policy on a phantom of a modality that it knows, or print why it cannot run."""
    phantom = draw("dermoscopy", _UNSEEN_SEED)
    try:
        policy = get_policy("nano", PolicyOptions(local_only=True))
    except IbisError as error:
        console.print(escape(f"nano cannot run here: {error}"), soft_wrap=True)
        return None
    return _test_policy(console, policy, "geocut", phantom.image, phantom.masks[_TARGET], _TARGET, 0.5)


def _test_policy(
    console: Console, policy: Policy, segmenter: str, pixels: Pixels, truth: Mask, target: str, enough: float
) -> str | None:
    """Run the loop and print the result; return the error as a line, None without one."""
    begun = time.perf_counter()
    ended = build_graph(policy, segmenter).invoke({"image": pixels, "request": f"Segment the {target}."})
    reached, seconds = iou(decode(ended["mask"]), truth), time.perf_counter() - begun
    name = segmenter if policy.name == "oracle" else policy.name
    got = f"{len(ended['steps'])} steps, {ended['stop']}, IoU {reached:.3f}"
    console.print(f"{name}: {got} (expected {enough} or more), {seconds:.2f} s", soft_wrap=True)
    if ended["stop"] in FAILURES:
        return failure_line(ended["stop"], ended["error"], policy.name, segmenter)
    return f"{name}: got {got}, expected an IoU of {enough} or more; install again" if reached < enough else None


def _ellipse() -> tuple[Pixels, Mask]:
    """Draw a bright ellipse in noise; return the picture and the truth, (H, W)."""
    y, x = np.mgrid[:128, :160]
    truth = ((y - 60) / 30) ** 2 + ((x - 90) / 45) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 8, truth.shape)
    return np.clip(70 + 90 * truth + noise, 0, 255).astype(np.uint8), truth
