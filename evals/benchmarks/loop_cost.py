"""Overhead of the loop: a step's time minus the time inside policy and segmenter, without a checkpointer.

Run it as ``python -m ibisagent.evals.benchmarks.loop_cost``. Every time comes with its ratio to four empty LangGraph
nodes, as many as a step has, and to one copy of the picture, measured in the same run, so that different machines can
be compared. Then come calls of geocut. ``--sam`` also measures episodes with SAM 2, and ``--policy`` those with a
vision-language model, single and sixteen at once.
"""

import statistics
import sys
import time
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from langgraph.graph import END, START, StateGraph
from langgraph.types import StreamWriter
from rich.console import Console
from rich.table import Table
from typing_extensions import TypedDict

from ibisagent.agent import Click, Completion, LoopConfig, Observation, Terminate, build_graph
from ibisagent.agent.actions import write_reply
from ibisagent.agent.policies import SyncPolicy
from ibisagent.agent.state import Input
from ibisagent.evals.benchmarks.segmenter_cost import segmenter_table
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.segmenters import Prediction
from ibisagent.tools.segmenters.disk import DiskSegmenter
from ibisagent.tools.segmenters.registry import default_segmenter

if TYPE_CHECKING:  # these modules need torch and sam2
    from ibisagent.evals.benchmarks.policy_cost import LoopCosts
    from ibisagent.evals.benchmarks.sam_cost import EpisodeCosts

__all__ = ["StepCosts", "main", "measure_copy_cost", "measure_step_costs", "policy_table", "sam_table"]

_CLICKS = 19
_PLAIN: Any = TypedDict("_PLAIN", {f"value_{number}": int for number in range(16)})  # type: ignore[misc]
"""A state of as many channels as the loop's."""


class _Clock:
    """Seconds spent in the models so far, and the loop's own seconds up to each of the policy's calls."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.own: list[float] = []


class _TimedPolicy(SyncPolicy):
    """Clicks along a circle, then stops."""

    name = "bench"

    def __init__(self, clock: _Clock) -> None:
        self._clock = clock

    def act(self, observation: Observation) -> Completion:
        begun = time.perf_counter()
        self._clock.own.append(begun - self._clock.seconds)
        angle = 2 * np.pi * observation.step / _CLICKS
        click = Click(0.5 + 0.2 * float(np.cos(angle)), 0.5 + 0.2 * float(np.sin(angle)))
        action, answer = (click, None) if observation.step < _CLICKS else (Terminate(), "Done.")
        text = write_reply("The mask misses a part of the target at the border.", action, answer, observation.frame)
        self._clock.seconds += time.perf_counter() - begun
        return Completion(text)


class _TimedSegmenter(DiskSegmenter):
    """The disk segmenter with its time measured."""

    def __init__(self, clock: _Clock) -> None:
        super().__init__(radius=0.12)
        self._clock = clock

    def predict(self, embedding: Any, prompts: Sequence[Prompt], prior: Any) -> Prediction:
        begun = time.perf_counter()
        prediction = super().predict(embedding, prompts, prior)
        self._clock.seconds += time.perf_counter() - begun
        return prediction


class StepCosts(NamedTuple):
    """The seconds of each click: of the loop's own, and of four empty nodes in its place (`_empty_loop`)."""

    own: list[float]
    empty: list[float]


def measure_step_costs(side: int, runs: int = 8) -> tuple[StepCosts, StepCosts]:
    """Measure ``runs`` runs at ``side`` x ``side`` pixels, on one thread, without and with custom events consumed.

    Own and empty runs take turns. For custom events LangGraph runs every node in another thread.
    """
    rng = np.random.default_rng(0)
    plain, streamed = StepCosts([], []), StepCosts([], [])
    for _ in range(runs):
        for costs, streaming in ((plain, False), (streamed, True)):
            pixels = rng.integers(0, 256, (side, side), dtype=np.uint8)
            clock = _Clock()
            graph = build_graph(_TimedPolicy(clock), _TimedSegmenter(clock), LoopConfig(max_steps=_CLICKS + 1))
            _run(graph, Input(image=open_image(pixels), request="Segment the target."), streaming)
            costs.own.extend(after - before for before, after in pairwise(clock.own))
            begun: list[float] = []
            _run(_empty_loop(begun), dict.fromkeys(_PLAIN.__annotations__, 0), streaming)
            costs.empty.extend(after - before for before, after in pairwise(begun))
    return plain, streamed


def _run(graph: Any, start: Any, streaming: bool) -> None:
    if streaming:
        deque(graph.stream(start, stream_mode="custom"), maxlen=0)
    else:
        graph.invoke(start)


def _empty_loop(begun: list[float]) -> Any:
    """Return a graph of four nodes that do nothing, in a loop as long as a run, over a state of plain values.

    Each emits a custom event, as ours do. The first notes in ``begun`` when it begins, as the policy does.
    """
    graph = StateGraph(_PLAIN)
    for name, following in zip("abcd", "bcda", strict=True):

        def node(_: Any, writer: StreamWriter, name: str = name) -> None:
            if name == "a":
                begun.append(time.perf_counter())
            writer({"event": name})

        acting: Any = node
        graph.add_node(name, acting)
        if name != "d":
            graph.add_edge(name, following)
    graph.add_edge(START, "a")
    graph.add_conditional_edges("d", lambda _: "a" if len(begun) <= _CLICKS else END, ["a", END])
    return graph.compile().with_config(recursion_limit=5 * _CLICKS)


def measure_copy_cost(side: int, repeats: int = 50) -> float:
    """Return the median seconds of copying one (side, side, 3) uint8 picture."""
    picture = np.zeros((side, side, 3), dtype=np.uint8)
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        picture.copy()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def sam_table(costs: "EpisodeCosts", side: int, clicks: int) -> Table:
    """Tabulate episodes with SAM 2.1 tiny beside the bare passes of the network in them."""
    passes = costs.encoder + clicks * costs.decoder
    table = Table("", "ms", "in bare passes", title=f"SAM 2.1 tiny at {side}, {clicks} clicks, one CPU thread")
    rows = {
        "encoder pass": costs.encoder,
        "decoder pass": costs.decoder,
        "bare passes of an episode": passes,
        "our segmenter": costs.ours,
        "the loop around it": costs.graph,
        "the official predictor's calls": costs.official,
    }
    for name, seconds in rows.items():
        table.add_row(name, f"{1e3 * seconds:.0f}", f"{seconds / passes:.3f}")
    return table


def policy_table(costs: "LoopCosts") -> Table:
    """Tabulate episodes with a vision-language model against the released steps, and concurrent against sequential."""
    title = "A tiny Qwen2.5-VL and SAM 2.1 tiny at 256, one CPU thread"
    table = Table("", "ours, s", "the other, s", "ratio", title=title)
    count = costs.episodes
    rows = {
        "an episode, and by the released loop's steps": (costs.single, costs.official),
        f"{count} episodes at once, and by the released loop's steps": (costs.concurrent, costs.official_sequential),
        f"{count} episodes at once, and one after another": (costs.concurrent, costs.sequential),
        f"the policy's time for a reply, {count} at once, and alone": (costs.reply_concurrent, costs.reply_single),
    }
    for name, (ours, other) in rows.items():
        table.add_row(name, f"{ours:.3f}", f"{other:.3f}", f"{ours / other:.2f}")
    same = 1 - len(costs.differing_replies) / costs.replies
    table.caption = f"{same:.1%} of {costs.replies} replies equal token by token"
    if costs.differing_replies:
        table.caption += "; others: " + ", ".join(
            f"episode {episode}, turn {turn}" for episode, turn in costs.differing_replies
        )
    return table


def step_cost_table() -> Table:
    """Measure the loop's own cost at both sizes, with and without event streaming."""
    heads = ("picture", "median ms a step", "p95 ms", "four empty nodes, ms", "in empty nodes", "in picture copies")
    table = Table(*heads, title="Own cost of a step")
    shares = []
    for side in (512, 1024):
        plain, streamed = measure_step_costs(side)
        copy = measure_copy_cost(side)
        for name, costs in ((f"{side} px", plain), (f"{side} px, events streamed", streamed)):
            middle, empty = map(statistics.median, costs)
            high = float(np.quantile(costs.own, 0.95))
            times = (f"{1e3 * seconds:.2f}" for seconds in (middle, high, empty))
            table.add_row(name, *times, f"{middle / empty:.2f}", f"{middle / copy:.0f}")
        shares.append(_streaming_share(side, plain, streamed))
    table.caption = "\n".join(shares)
    return table


def _streaming_share(side: int, plain: StepCosts, streamed: StepCosts) -> str:
    """Compare a streamed step with a plain one, also without what LangGraph takes of empty nodes."""
    (own, empty), (own_streamed, empty_streamed) = map(statistics.median, plain), map(statistics.median, streamed)
    ours = own_streamed - (empty_streamed - empty)
    return f"{side} px, streamed in plain: {own_streamed / own:.2f}; less the empty nodes' own: {ours / own:.2f}"


def main() -> None:
    """Print the loop's own cost, and the benchmarks of the options, which need the extras ``models`` and ``sam2``."""
    console = Console()
    console.print(step_cost_table())
    for name in dict.fromkeys(("geocut", default_segmenter())):
        console.print(segmenter_table(name))
    if "--sam" in sys.argv[1:]:
        from ibisagent.evals.benchmarks.sam_cost import measure_episode_costs

        console.print(sam_table(measure_episode_costs(512, 10), 512, 10))
    if "--policy" in sys.argv[1:]:
        from ibisagent.evals.benchmarks.policy_cost import build_random_qwen, measure_loop_costs
        from ibisagent.evals.benchmarks.sam_cost import build_tiny_sam

        console.print(policy_table(measure_loop_costs(build_random_qwen(), build_tiny_sam(256))))


if __name__ == "__main__":
    main()
