"""Replay: the same graph, fed with the recorded replies, has to reproduce every mask bit for bit."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import takewhile

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from ibisagent.agent.config import Guard, LoopConfig, SelfCheck
from ibisagent.agent.graph import build_graph
from ibisagent.agent.limits import REPEATS
from ibisagent.agent.policies import Completion, ScriptedPolicy
from ibisagent.agent.resizing import Resizing
from ibisagent.agent.state import Input
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import Step, Trajectory, trajectory
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.segmenters import Segmenter

__all__ = ["Replayed", "config_of", "replay"]

_THREAD = RunnableConfig(configurable={"thread_id": "replay"})


@dataclass(frozen=True, slots=True)
class Replayed:
    """The run made again, and where it differs from the record: one line a difference, none when it is the same."""

    run: Trajectory
    differences: tuple[str, ...]


def replay(record: Trajectory, segmenter: Segmenter | str, image: MedicalImage) -> Replayed:
    """Run the graph again on ``image`` with the recorded replies and a person's recorded actions.

    A step at which the segmenter or the run store failed did nothing and is left out.
    """
    steps = [step for step in record.steps if not _failed(step)]
    first = list(takewhile(_is_given, steps))
    given = [step.action for step in first]
    replies = [_completion(step) for step in steps if step.reply is not None]
    graph = build_graph(ScriptedPolicy(replies), segmenter, config_of(record), checkpointer=InMemorySaver())
    begin = Input(image=image, request=record.request, prompts=given)
    begin["prompts_by"] = "planted" if any(step.by == "planted" for step in first) else "person"
    begin["kind"] = "question" if record.kind == "question" else "segment"
    begin["initial_mask"] = record.start if record.refined else None
    graph.invoke(begin, _THREAD, interrupt_before=["reason"])
    for step in steps[len(given) :]:
        if step.reply is not None:
            graph.invoke(None, _THREAD, interrupt_before=["reason"])
        elif step.by == "person" and step.action is not None:  # a guard does its own
            intervene(graph, _THREAD, step.action, interrupt_before=["reason"])
    run = trajectory(graph, graph.invoke(None, _THREAD))
    return Replayed(run, tuple(_differences(record, steps, run)))


def _completion(step: Step) -> Completion:
    """Give a recorded reply, and whether it was cut, by which it is read."""
    return Completion(step.reply or "", finish=str(step.completion.get("finish", "stop")))


def _failed(step: Step) -> bool:
    return step.action is not None and step.error is not None and not step.error.startswith(REPEATS)


def _is_given(step: Step) -> bool:
    """Tell whether a step, before any reply, is a prompt that came with the request."""
    return step.reply is None and step.action is not None and step.action["type"] in ("point", "box")


def config_of(record: Trajectory) -> LoopConfig:
    """Give the settings of a recorded run, without limits of time and tokens and without review."""
    known = {field.name for field in fields(LoopConfig)}
    settings = {name: value for name, value in record.config.items() if name in known}
    settings["actions"] = tuple(settings["actions"])
    settings.setdefault("protect", False)  # a record from before there was such a thing
    if settings["protect"] is True:  # one from before a click marked a region
        settings["protect"] = "click"
    for name, kind in (("guard", Guard), ("self_check", SelfCheck), ("resizing", Resizing)):
        settings[name] = kind(**settings[name]) if settings.get(name) else None
    # Time and a person's review belong to the first run; what is replayed is what was done.
    return replace(LoopConfig(**settings), review=False, max_seconds=None, max_tokens=None, policy_seconds=None)


def _differences(record: Trajectory, steps: list[Step], run: Trajectory) -> Iterator[str]:
    if record.segmenter != run.segmenter:
        yield f"segmenter: recorded with {record.segmenter}, replayed with {run.segmenter}"
    if len(steps) != len(run.steps):
        yield f"steps: {len(steps)} recorded, {len(run.steps)} replayed"
    for before, now in zip(steps, run.steps, strict=False):
        if before.action != now.action:
            yield f"step {before.n}: action {before.action} recorded, {now.action} replayed"
        if before.mask != now.mask:
            yield f"step {before.n}: the mask differs"
    if record.mask != run.mask:
        yield "final mask: it differs"
