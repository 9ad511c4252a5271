"""Replay: the same graph with the recorded replies has to reproduce every mask bit for bit."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import takewhile

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from ibisagent.agent.config import Guard, LoopConfig, SelfCheck
from ibisagent.agent.graph import build_graph
from ibisagent.agent.model_resize import SmartResize
from ibisagent.agent.policies import Completion, ScriptedPolicy
from ibisagent.agent.state import Input
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import Step, Trajectory, build_trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.segmenters import Segmenter

__all__ = ["ReplayResult", "replay", "replay_config", "replay_differences", "replay_input"]

_THREAD = RunnableConfig(configurable={"thread_id": "replay"})


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The repeated run, and where it differs from the record: one line a difference, none when it is the same."""

    run: Trajectory
    differences: tuple[str, ...]


def replay(record: Trajectory, segmenter: Segmenter | str, image: MedicalImage) -> ReplayResult:
    """Run the graph again on ``image`` with the recorded replies and a person's recorded actions.

    A step at which the segmenter or the run store failed changed nothing and is left out. `InputError` for a record of
    several targets or of a part of the picture, which this graph does not make.
    """
    begin, steps = replay_input(record, image), [step for step in record.steps if step.outcome != "failed"]
    replies = [_completion(step) for step in steps if step.origin == "reply"]
    settings, saver = replay_config(record), InMemorySaver()
    graph = build_graph(ScriptedPolicy(replies), segmenter, settings, proposer="none", checkpointer=saver)
    graph.invoke(begin, _THREAD, interrupt_before=["reason"])
    for step in steps[len(begin["prompts"]) :]:
        if step.origin == "reply":
            graph.invoke(None, _THREAD, interrupt_before=["reason"])
        elif step.origin == "intervention" and step.action is not None:  # a guard's steps are repeated by the guard
            intervene(graph, _THREAD, step.action, interrupt_before=["reason"])
    run = build_trajectory(graph, graph.invoke(None, _THREAD))
    return ReplayResult(run, tuple(replay_differences(record, run)))


def replay_input(record: Trajectory, image: MedicalImage) -> Input:
    """Return the input of a graph with which a recorded run began; `InputError` as in `replay`."""
    if len(record.targets) > 1 or any(step.view is not None for step in record.steps):
        got = f"got {len(record.targets)} targets" if len(record.targets) > 1 else "got steps on a part of the picture"
        raise InputError(f"trajectory: {got}, expected one target on the whole picture; it can be shown, not replayed")
    given = list(takewhile(lambda step: step.origin == "request", record.steps))
    return Input(
        image=image,
        request=record.request,
        prompts=[step.action for step in given if step.outcome != "failed"],
        prompts_actor="experiment" if any(step.actor == "experiment" for step in given) else "person",
        kind="question" if record.kind == "question" else "segment",
        initial_mask=record.start if record.has_initial_mask else None,
        seed=record.seed,
    )


def _completion(step: Step) -> Completion:
    """Return the recorded reply of a step with its finish reason, as a cut reply is parsed otherwise."""
    return Completion(step.reply or "", finish_reason=str(step.completion.get("finish_reason", "stop")))


def replay_config(record: Trajectory) -> LoopConfig:
    """Return the settings of a recorded run, without limits of time and tokens and without review."""
    known = {field.name for field in fields(LoopConfig)}
    settings = {name: value for name, value in record.config.items() if name in known}
    settings["actions"] = tuple(settings["actions"])
    for name, kind in (("guard", Guard), ("self_check", SelfCheck), ("smart_resize", SmartResize)):
        settings[name] = kind(**settings[name]) if settings.get(name) else None
    # Time limits and a person's review belong to the first run; a replay repeats the recorded actions.
    return replace(LoopConfig(**settings), review=False, max_seconds=None, max_tokens=None, policy_seconds=None)


def _name_differing_parts(recorded: str, replayed: str) -> tuple[str, str]:
    """Return the names of two fingerprints, and where these are the same what differs behind them."""
    (before, *behind), (now, *others) = recorded.split(), replayed.split()
    if before != now:
        return before, now
    only = [part for part in behind if part not in others], [part for part in others if part not in behind]
    return " ".join([before, *only[0]]), " ".join([now, *only[1]])


def replay_differences(record: Trajectory, run: Trajectory) -> Iterator[str]:
    """Yield a line for each difference of a repeated run from its record, of which failed steps are left out."""
    steps = [step for step in record.steps if step.outcome != "failed"]
    if record.segmenter != run.segmenter:
        recorded, replayed = _name_differing_parts(record.segmenter, run.segmenter)
        yield f"segmenter: recorded with {recorded}, replayed with {replayed}"
    if len(steps) != len(run.steps):
        yield f"steps: {len(steps)} recorded, {len(run.steps)} replayed"
    for before, now in zip(steps, run.steps, strict=False):
        if before.action != now.action:
            yield f"step {before.index}: action {before.action} recorded, {now.action} replayed"
        if before.outcome != now.outcome:
            yield f"step {before.index}: {before.outcome} recorded, {now.outcome} replayed"
        if before.mask != now.mask:
            yield f"step {before.index}: the mask differs"
        elif before.score != now.score:
            yield f"step {before.index}: score {before.score} recorded, {now.score} replayed"
    if record.start != run.start:
        yield "first mask: it differs"
    if record.target.prompts != run.target.prompts:
        yield "active prompts: they differ"
    if record.mask != run.mask:
        yield "final mask: it differs"
