"""Recorded runs that went wrong, and a database of threads that a person corrected: what starts are mined from."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.runnables import RunnableConfig
from numpy.typing import NDArray

from ibisagent.agent import ImageStore, RunStore, build_graph
from ibisagent.agent.checkpoints import open_checkpointer
from ibisagent.agent.threads import intervene
from ibisagent.tools.datasets import Case
from ibisagent.tools.imaging.medical_image import MedicalImage
from support.fakes import STOP, positive, script

__all__ = ["hash_tree", "write_corrected_threads"]


def hash_tree(*places: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below folders."""
    files = (path for place in places for path in place.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write_corrected_threads(database: Path, cases: list[Case], segmenter: str = "geocut") -> None:
    """Write a thread for each case: a policy clicks in a corner and stops, a person undoes, clicks right and accepts.

    The database and its folder are as those of ``segment --db``. The last thread is left without an acceptance.
    """
    folder = Path(f"{database}.store")
    with open_checkpointer(database) as saver:
        stores: Any = {"store": RunStore(folder), "images": ImageStore(folder / "images")}
        policy = script(positive(0.1, 0.1), STOP)
        graph = build_graph(policy, segmenter, proposer="none", checkpointer=saver, **stores)
        for number, case in enumerate(cases):
            image = case.open()
            thread = RunnableConfig(configurable={"thread_id": f"visit {number}"})
            graph.invoke({"image": image, "request": case.request}, thread)
            right = _inside(case.read_truth(image), image)
            for action in ("Backtrack", f"Positive Point ({right[0]:.4f}, {right[1]:.4f})"):
                intervene(graph, thread, action, interrupt_before=["reason"])
            if number < len(cases) - 1:
                intervene(graph, thread, "accept")


def _inside(truth: NDArray[np.bool_], image: MedicalImage) -> tuple[float, float]:
    rows, columns = np.nonzero(truth)
    middle = len(rows) // 2
    height, width = image.shape
    return (columns[middle] + 0.5) / width, (rows[middle] + 0.5) / height
