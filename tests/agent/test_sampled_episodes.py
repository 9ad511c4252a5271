"""Sampled episodes do not depend on what runs beside them: alone, several at once, and resumed they are the same."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig

from ibisagent.agent import ImageStore, LoopConfig, RunStore, SegmentationGraph, build_graph
from ibisagent.agent.checkpoints import open_checkpointer
from ibisagent.agent.policies.abstention import AbstainingPolicy
from ibisagent.agent.policies.base import Policy
from ibisagent.agent.policies.local import NANO, open_local
from ibisagent.agent.state import Input
from ibisagent.training.phantoms import MODALITIES, draw


@cache
def sampling_nano() -> Policy:
    model = open_local(NANO, name="nano", temperature=1.0)
    assert model.targets is not None
    return AbstainingPolicy(model, model.targets)


@cache
def episodes(count: int, size: int, group: int) -> list[Input]:
    """``group`` seeds of one request on one phantom, then the next phantom."""
    given = []
    for number in range(count):
        phantom = draw(MODALITIES[number // group % len(MODALITIES)], number // group, size)
        request = f"Segment the {next(iter(phantom.masks))}."
        given.append(Input(image=phantom.image, request=request, seed=number % group))
    return given


def comparable(graph: SegmentationGraph, ended: Mapping[str, Any]) -> dict[str, Any]:
    """Return the replies, masks, and how the run ended."""
    replies = [graph.components.store.get(step["reply"])["text"] for step in ended["steps"] if step["reply"]]
    masks = [step["mask"] for step in ended["steps"]]
    return {"replies": replies, "masks": masks, "mask": ended["mask"], "stop": ended["stop"]}


def run(given: Sequence[Input], at_once: int, steps: int) -> list[dict[str, Any]]:
    graph = build_graph(sampling_nano(), "geocut", LoopConfig(max_steps=steps))
    ended = graph.batch(list(given), {"max_concurrency": at_once}) if at_once > 1 else map(graph.invoke, given)
    return [comparable(graph, each) for each in ended]


def resumed(given: Input, steps: int, after: int, folder: Path) -> dict[str, Any]:
    """Leave a run after a number of super-steps, as a kill does, and resume it with nothing but its files."""
    thread: RunnableConfig = {"configurable": {"thread_id": "1"}}
    folder.mkdir()

    def opened(saver: Any, policy: Policy) -> SegmentationGraph:
        kept = {"store": RunStore(folder / "store"), "images": ImageStore(folder / "images")}
        return build_graph(policy, "geocut", LoopConfig(max_steps=steps), checkpointer=saver, **kept)

    with open_checkpointer(folder / "runs.db") as saver:
        left = opened(saver, sampling_nano()).stream(given, thread, stream_mode="updates", durability="sync")
        for _ in range(after):
            next(left, None)
        left.close()  # type: ignore[attr-defined]  # an iterator that is a generator
    again = open_local(NANO, name="nano", temperature=1.0)
    assert again.targets is not None
    with open_checkpointer(folder / "runs.db") as saver:
        graph = opened(saver, AbstainingPolicy(again, again.targets))
        assert graph.get_state(thread).next, "the run had ended before it was left"
        return comparable(graph, graph.invoke(None, thread))


def check(count: int, steps: int, size: int, group: int, folder: Path, left_after: Mapping[int, int]) -> None:
    given = episodes(count, size, group)
    alone = run(given, 1, steps)
    assert run(given, 5, steps) == alone
    assert run(given, 16, steps) == alone
    for number, after in left_after.items():
        inside = min(after, len(alone[number]["masks"]))  # a run has more super-steps than steps
        assert resumed(given[number], steps, inside, folder / str(number)) == alone[number]
    first = [each["replies"] for each in alone[:group]]
    assert all(each != first[0] for each in first[1:]), "runs of one request with other seeds drew the same"


@pytest.mark.slow
def test_16_sampled_episodes_are_the_same_alone_together_and_resumed(tmp_path):
    check(16, 3, 96, 8, tmp_path, {0: 3, 9: 2})


@pytest.mark.slow
def test_many_long_sampled_episodes_are_the_same_alone_together_and_resumed(tmp_path):
    check(128, 8, 192, 16, tmp_path, {number: 2 + number % 5 for number in range(0, 128, 16)})
