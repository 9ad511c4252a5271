"""Runs that a person corrected, as their records, and what is labeled of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from ibisagent.agent import LoopConfig, Policy, build_graph
from ibisagent.agent.prompting import load_prompts
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.training.corrections.labels import CorrectionKind, CorrectionLabeler, LabeledRun
from support.fakes import script

__all__ = ["GO_ON", "correct", "label"]

GO_ON = "go on"
_THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


def correct(
    folder: Path,
    replies: Sequence[str] | Policy,
    said: Sequence[str],
    config: LoopConfig | None = None,
    segmenter: Any = "disk",
    proposer: Any = None,
    **given: Any,
) -> Trajectory:
    """Run a policy on the picture scan.png of a folder, then a person's actions; return the record.

    ``said``: actions as text; the policy waits after each, but after `GO_ON` it acts.
    """
    policy = script(*replies) if isinstance(replies, Sequence) else replies
    graph = build_graph(policy, segmenter, config or LoopConfig(), proposer=proposer, checkpointer=InMemorySaver())
    start: Any = {"image": folder / "scan.png", "request": "Segment the liver.", **given}
    result = graph.invoke(start, _THREAD)
    for words in said:
        if words == GO_ON:
            result = graph.invoke(None, _THREAD)
        else:
            result = intervene(graph, _THREAD, words, interrupt_before=["reason"])
    return build_trajectory(graph, result, folder=folder)


def label(record: Trajectory, folder: Path, kind: CorrectionKind = "sft", snap: float | None = None) -> LabeledRun:
    """Label a record whose picture lies in a folder."""
    image = record.image | {"uri": str(folder / str(record.image["uri"]))}
    return CorrectionLabeler(load_prompts(), kind, snap=snap).label(record, image)
