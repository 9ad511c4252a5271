"""Shared by the tests of experts: a run with all its observations, and one observation by itself."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibisagent.agent import LoopConfig, Policy, build_graph
from ibisagent.agent.actions import Action
from ibisagent.agent.policies import Completion
from ibisagent.agent.policies.base import Observation
from ibisagent.agent.reply_parser import parse_reply
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from support.fakes import STOP, RecordingPolicy, script


def run(
    policy: Policy, pixels: NDArray[np.uint8], segmenter: str = "geodesic", max_steps: int = 8, **inputs: Any
) -> tuple[Trajectory, list[Observation]]:
    """Run a policy; return the record and the observations in it."""
    recording = RecordingPolicy(policy)
    graph = build_graph(recording, segmenter, LoopConfig(max_steps=max_steps))
    start: Any = {"image": pixels, "request": "Segment it.", **inputs}
    result = graph.invoke(start)
    return build_trajectory(graph, result), recording.seen


def kinds(record: Trajectory) -> list[str | None]:
    """Return the types of the actions of a record."""
    return [step.action["type"] if step.action is not None else None for step in record.steps]


def observation(pixels: NDArray[np.uint8], **changes: Any) -> Observation:
    """Return the first observation of an image, with ``changes`` to its fields."""
    _, seen = run(script(STOP), pixels)
    return replace(seen[0], **changes)


def action_of(completion: Completion) -> Action | None:
    """Return the action of a reply."""
    return parse_reply(completion.text, strict=True).action
