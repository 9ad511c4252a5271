"""Replay: the same graph, fed with the recorded replies, has to reproduce every mask bit for bit."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from ibisagent.agent.actions import from_plain, write_reply
from ibisagent.agent.config import Guard, LoopConfig
from ibisagent.agent.graph import build_graph
from ibisagent.agent.policies import ScriptedPolicy
from ibisagent.agent.state import Input
from ibisagent.agent.trajectory import Step, Trajectory, trajectory
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.segmenters import Segmenter

__all__ = ["Replayed", "replay"]


@dataclass(frozen=True, slots=True)
class Replayed:
    """The run made again, and where it differs from the record: one line a difference, none when it is the same."""

    run: Trajectory
    differences: tuple[str, ...]


def replay(record: Trajectory, segmenter: Segmenter | str, image: MedicalImage) -> Replayed:
    """Run the graph again on ``image`` with the recorded replies and a person's recorded actions."""
    given, script = _script(record)
    graph = build_graph(ScriptedPolicy(script), segmenter, _config(record))
    begin = Input(image=image, request=record.request, prompts=given)
    begin["kind"] = "question" if record.kind == "question" else "segment"
    begin["initial_mask"] = record.start if record.refined else None
    result = graph.invoke(begin)
    run = trajectory(graph, result)
    return Replayed(run, tuple(_differences(record, run)))


def _script(record: Trajectory) -> tuple[list[dict[str, Any]], list[str]]:
    """Split the record into the prompts given before the first reply and the replies after them."""
    steps = [step for step in record.steps if step.by != "guard"]
    first = next((index for index, step in enumerate(steps) if step.reply is not None), len(steps))
    given = [step.action for step in steps[:first] if step.action is not None]
    return given, [_reply(step) for step in steps[first:]]


def _reply(step: Step) -> str:
    """Give the raw reply, or for a person's action one that says the same."""
    if step.reply is not None or step.action is None:
        return step.reply or ""
    return write_reply("", from_plain(step.action))


def _config(record: Trajectory) -> LoopConfig:
    known = {field.name for field in fields(LoopConfig)}
    settings = {name: value for name, value in record.config.items() if name in known}
    settings["actions"] = tuple(settings["actions"])
    settings["guard"] = Guard(**settings["guard"]) if settings.get("guard") else None
    # Time and a person's review belong to the first run; what is replayed is what was done.
    return replace(LoopConfig(**settings), review=False, max_seconds=None, max_tokens=None)


def _differences(record: Trajectory, run: Trajectory) -> Iterator[str]:
    if record.segmenter != run.segmenter:
        yield f"segmenter: recorded with {record.segmenter}, replayed with {run.segmenter}"
    if len(record.steps) != len(run.steps):
        yield f"steps: {len(record.steps)} recorded, {len(run.steps)} replayed"
    for before, now in zip(record.steps, run.steps, strict=False):
        if before.action != now.action:
            yield f"step {before.n}: action {before.action} recorded, {now.action} replayed"
        if before.mask != now.mask:
            yield f"step {before.n}: the mask differs"
    if record.mask != run.mask:
        yield "final mask: it differs"
