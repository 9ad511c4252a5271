"""Runs of a local model that replies by a script, with its recorded inputs; samples of such runs."""

import json

import numpy as np
import torch
from langgraph.checkpoint.memory import InMemorySaver
from PIL import Image
from support import tiny_vlm
from transformers import GenerationConfig

from ibisagent.agent import LoopConfig, build_graph
from ibisagent.agent.policies.local import PROFILE, LocalPolicy, QwenInputs, read_profile
from ibisagent.agent.prompting import load_prompts
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.training.sft.samples import Samples

THREAD = {"configurable": {"thread_id": "1"}}


class ScriptedModel:
    """Stands in for a model: replies by a script, and keeps the arguments of its calls in ``inputs_seen``."""

    device, dtype, generation_config = torch.device("cpu"), torch.float32, GenerationConfig()

    def __init__(self, inputs, replies):
        self.inputs, self.replies, self.inputs_seen = inputs, replies, []

    def eval(self):
        return self

    def generate(self, *, input_ids, pixel_values, image_grid_thw, **_others):
        reply = self.inputs.reply_ids(self.replies[len(self.inputs_seen)])
        self.inputs_seen.append((input_ids[0].tolist(), pixel_values.numpy(), image_grid_thw.tolist()))
        return torch.cat([input_ids, torch.tensor([reply])], dim=1)


def open_inputs(folder):
    return QwenInputs.from_folder(folder, square_side=read_profile(folder).get("square_side"))


def open_prompts(folder):
    return load_prompts(folder / PROFILE if (folder / PROFILE).is_file() else None)


def run_scripted_model(folder, replies, config=None, said=(), **given):
    """Run a script of replies; ``said``: later requests and a person's actions. Return graph, result, model inputs."""
    inputs = open_inputs(folder)
    model = ScriptedModel(inputs, replies)
    policy = LocalPolicy(model, inputs, prompts=open_prompts(folder))
    graph = build_graph(policy, "disk", config or LoopConfig(), checkpointer=InMemorySaver())
    result = graph.invoke({"request": "Segment it.", **given}, THREAD)
    for words, waits in said:
        if words.startswith("Segment"):
            result = graph.invoke(given | {"request": words}, THREAD)
        else:
            result = intervene(graph, THREAD, words, **({"interrupt_before": ["reason"]} if waits else {}))
    return graph, result, model.inputs_seen


def write_records(folder, *records):
    """Write trajectory records to a file; return the file."""
    path = folder / "trajectories-00000.jsonl"
    path.write_text("".join(f"{json.dumps(record.to_json())}\n" for record in records))
    return path


def make_samples(folder, *stories, model=None, truth=None, **settings):
    """Write runs, each an image's name, a request and its replies, into a folder; return their samples."""
    records = []
    for name, request, *replies in stories:
        graph, result, _ = run_scripted_model(model or tiny_vlm.qwen25(), replies, image=folder / name, request=request)
        records.append(build_trajectory(graph, result, truth=truth, folder=folder))
    return Samples([write_records(folder, *records)], open_prompts(model or tiny_vlm.qwen25()), **settings)


def draw_images(folder, *names, size=(64, 80)):
    """Write images that differ."""
    for seed, name in enumerate(names):
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 6), np.uint8)
        Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR).save(folder / name)
