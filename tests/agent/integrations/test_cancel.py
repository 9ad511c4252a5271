"""A parent's async run that is cancelled, or whose event loop shuts down, and is taken up on its thread."""

import asyncio
import random

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from support.fakes import STOP, positive, script
from support.parents import open_entry_point

THREAD = {"configurable": {"thread_id": "1"}}
LONG = script(*(positive(0.1 + 0.08 * number, 0.5) for number in range(9)), STOP)


@pytest.mark.parametrize("kind", ["function node", "shared state", "fan-out"])
@pytest.mark.parametrize("how", ["cancel", "shutdown"])
def test_a_cancelled_parent_goes_on_to_the_same_mask(kind, how, pixels):
    """Wherever the run inside stood; LangGraph keeps half a step when it is cancelled between a node and its edge."""
    graph, start, read = open_entry_point(kind, LONG, "disk", root={"scan": pixels})
    expected = read(graph.invoke(start))
    for seed in range(8):
        chance = random.Random(f"{kind} {how} {seed}")
        graph, start, read = open_entry_point(kind, LONG, "disk", root={"scan": pixels}, checkpointer=InMemorySaver())
        for _ in range(2):
            asyncio.run(part(graph, start, how, chance.uniform(0.005, 0.06)))
        assert read(asyncio.run(graph.ainvoke(begun_or(graph, start), THREAD))) == expected


def begun_or(graph, start):
    return None if graph.get_state(THREAD).next else start


async def part(graph, start, how, seconds):
    task = asyncio.create_task(graph.ainvoke(begun_or(graph, start), THREAD))
    await asyncio.sleep(seconds)
    if how == "cancel":
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
