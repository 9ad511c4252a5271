"""Episodes that begin at a recorded state: the record's steps are repeated by the same graph, on threads of its own."""

from collections.abc import Mapping
from typing import Any, cast

from langchain_core.runnables import RunnableConfig

from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.nodes.reason import record_reply
from ibisagent.agent.policies.base import Completion
from ibisagent.agent.replay import replay_differences, replay_input
from ibisagent.agent.state import State, active_target, update_target
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import Step, Trajectory, build_trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.medical_image import MedicalImage

__all__ = ["branch_from", "replay_start"]

_WAITING = ["reason"]


def replay_start(
    graph: SegmentationGraph, record: Trajectory, image: MedicalImage, thread: RunnableConfig, *, exact: bool = True
) -> State:
    """Repeat the steps of a record on a new thread; return the state in which the policy is to reply next.

    ``graph``: with a checkpointer and no proposer; its policy is not called, the recorded replies take the place of
    its own, and a person's actions are made again. ``record``: of a run that waits
    (`ibisagent.agent.record_parts.first_steps`), ``image``: its picture. `InputError`: the steps end the run, or they
    come out otherwise than recorded: an action, with ``exact`` also a mask, a score, the segmenter.
    """
    begin = replay_input(record, image)
    graph.invoke(begin, thread, interrupt_before=_WAITING)
    state = _state(graph, thread)
    if active_target(state)["proposal"] != record.target.proposal:  # what was proposed is the initial mask of `begin`
        graph.update_state(thread, update_target(state, proposal=record.target.proposal), "overlay")
    for step in record.steps[len(begin["prompts"]) :]:
        if step.origin == "reply":
            state = _state(graph, thread)
            graph.update_state(thread, record_reply(state, graph.components, _completion(step), 0.0), "reason")
            graph.invoke(None, thread, interrupt_before=_WAITING)
        elif step.origin == "intervention" and step.action is not None:  # the graph itself repeats what is automatic
            intervene(graph, thread, step.action, interrupt_before=_WAITING)
    now = graph.get_state(thread)
    if now.next != tuple(_WAITING):
        raise InputError(f"start: its {len(record.steps)} steps end a run here ({now.values['stop']}); leave it out")
    run = build_trajectory(graph, now.values)
    if differing := next(replay_differences(record, run), None) if exact else _other_action(record, run):
        raise InputError(f"start: it is not as recorded ({differing}); mine it from runs of this graph and segmenter")
    return cast(State, now.values)


def branch_from(graph: SegmentationGraph, state: State, thread: RunnableConfig, seed: int) -> None:
    """Put a state that waits for a reply on an unused thread, which ``graph.invoke(None, thread)`` continues.

    Its record says by ``fork_step`` where its own steps begin. ``seed``: of what the policy draws.
    """
    run = state["run"] | {"seed": seed, "fork_step": len(state["steps"]) + 1}
    graph.update_state(thread, cast(dict[str, Any], state) | {"run": run}, "overlay")


def _state(graph: SegmentationGraph, thread: RunnableConfig) -> State:
    return cast(State, graph.get_state(thread).values)


def _other_action(record: Trajectory, run: Trajectory) -> str | None:
    before, now = ([step.action for step in each.steps] for each in (record, run))
    return f"actions {before} recorded, {now} replayed" if before != now else None


def _completion(step: Step) -> Completion:
    recorded: Mapping[str, Any] = step.completion
    try:
        return Completion(text=step.reply or "", seconds=step.seconds.get("policy", 0.0), **recorded)
    except TypeError as error:
        raise InputError(f"start: got step {step.index} with a reply that cannot be read; record it anew") from error
