"""Folders of recorded runs, as an evaluation leaves them: pictures beside them, truths in the records."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from conftest import ellipse
from numpy.typing import NDArray
from PIL import Image

from ibisagent.agent import ImageStore, OraclePolicy, RunStore, build_graph
from ibisagent.agent.episode import run_episode
from ibisagent.agent.policies import Policy
from ibisagent.agent.state import Input
from ibisagent.agent.trajectory_files import write_trajectory
from ibisagent.tools.imaging.open_image import open_image
from support.fakes import NOT_THERE, STOP, positive, script

__all__ = ["POLICIES", "write_runs"]

POLICIES = ("oracle", "scripted")


def write_runs(folder: Path, cases: int = 2, policies: Sequence[str] = POLICIES) -> Path:
    """Write ``images/`` and the run folder ``runs``, which is returned: each policy on each case, the disk segmenter.

    Cases are called ``case-N``; in the last one the target is absent.
    """
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(cases):
        truth = ellipse((48, 64), (20 + number, 30), (12, 14)) & (number + 1 < cases)
        path = folder / f"images/case-{number}.png"
        Image.fromarray(np.clip(80 + 90 * truth + rng.normal(0, 5, truth.shape), 0, 255).astype(np.uint8)).save(path)
        for name in policies:
            target = folder / f"runs/trajectories/{name}/disk/case-{number}.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            graph = build_graph(_policy(name, truth), "disk", images=ImageStore(), store=RunStore())
            given = Input(image=open_image(path), request="Segment the organ.")
            write_trajectory(target, run_episode(graph, given, truth=truth, folder=target.parent))
    return folder / "runs"


def _policy(name: str, truth: NDArray[np.bool_]) -> Policy:
    if name == "oracle":
        return OraclePolicy(truth, target_iou=0.75)
    return script(positive(0.5, 0.4), STOP) if truth.any() else script(NOT_THERE)
