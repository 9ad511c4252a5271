"""Runs of a local model that replies by a script, with its recorded inputs; samples of such runs."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from numpy.typing import NDArray
from PIL import Image
from transformers import GenerationConfig

from ibisagent.agent import LoopConfig, SegmentationGraph, build_graph
from ibisagent.agent.policies.local import PROFILE, LocalPolicy, QwenInputs, read_profile
from ibisagent.agent.prompting import PromptSet, load_prompts
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.training.samples import Samples
from support import tiny_vlm

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}

SeenInputs = tuple[list[int], NDArray[np.float32], list[list[int]]]
"""The token ids, the patches and their grid that a model was called with."""


class ScriptedModel:
    """Stands in for a model: replies by a script, and keeps the arguments of its calls in ``inputs_seen``."""

    device, dtype = torch.device("cpu"), torch.float32
    generation_config = GenerationConfig()  # type: ignore[no-untyped-call]

    def __init__(self, inputs: QwenInputs, replies: Sequence[str]) -> None:
        self.inputs, self.replies = inputs, replies
        self.inputs_seen: list[SeenInputs] = []

    def eval(self) -> "ScriptedModel":
        return self

    def generate(
        self, *, input_ids: torch.Tensor, pixel_values: torch.Tensor, image_grid_thw: torch.Tensor, **_others: Any
    ) -> torch.Tensor:
        reply = self.inputs.reply_ids(self.replies[len(self.inputs_seen)])
        self.inputs_seen.append((input_ids[0].tolist(), pixel_values.numpy(), image_grid_thw.tolist()))
        return torch.cat([input_ids, torch.tensor([reply])], dim=1)


def open_inputs(folder: Path) -> QwenInputs:
    return QwenInputs.from_folder(folder, square_side=read_profile(folder).get("square_side"))


def open_prompts(folder: Path) -> PromptSet:
    return load_prompts(folder / PROFILE if (folder / PROFILE).is_file() else None)


def run_scripted_model(
    folder: Path,
    replies: Sequence[str],
    config: LoopConfig | None = None,
    said: Iterable[tuple[str, bool]] = (),
    **given: Any,
) -> tuple[SegmentationGraph, Any, list[SeenInputs]]:
    """Run a script of replies; ``said``: later requests and a person's actions. Return graph, result, model inputs."""
    inputs = open_inputs(folder)
    model = ScriptedModel(inputs, replies)
    policy = LocalPolicy(model, inputs, prompts=open_prompts(folder))
    graph = build_graph(policy, "disk", config or LoopConfig(), checkpointer=InMemorySaver())
    start: Any = {"request": "Segment it.", **given}
    result = graph.invoke(start, THREAD)
    for words, waits in said:
        if words.startswith("Segment"):
            start = given | {"request": words}
            result = graph.invoke(start, THREAD)
        else:
            result = intervene(graph, THREAD, words, **({"interrupt_before": ["reason"]} if waits else {}))
    return graph, result, model.inputs_seen


def write_records(folder: Path, *records: Trajectory) -> Path:
    """Write trajectory records to a file; return the file."""
    path = folder / "trajectories-00000.jsonl"
    path.write_text("".join(f"{json.dumps(record.to_json())}\n" for record in records))
    return path


def make_samples(
    folder: Path,
    *stories: tuple[str, ...],
    model: Path | None = None,
    truth: NDArray[np.bool_] | None = None,
    **settings: Any,
) -> Samples:
    """Write runs, each an image's name, a request and its replies, into a folder; return their samples."""
    records = []
    for name, request, *replies in stories:
        graph, result, _ = run_scripted_model(model or tiny_vlm.qwen25(), replies, image=folder / name, request=request)
        records.append(build_trajectory(graph, result, truth=truth, folder=folder))
    return Samples([write_records(folder, *records)], open_prompts(model or tiny_vlm.qwen25()), **settings)


def draw_images(folder: Path, *names: str, size: tuple[int, int] = (64, 80)) -> None:
    """Write images that differ."""
    for seed, name in enumerate(names):
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 6), np.uint8)
        Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR).save(folder / name)
