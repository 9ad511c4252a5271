"""One episode: the record of a run, in line with what the graph gives, alone and many at once."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from support.fakes import STOP, CountingSegmenter, FunctionPolicy, positive, script

from ibisagent.agent import ImageStore, LoopConfig, RunStore, build_graph, get_policy, nodes
from ibisagent.agent.episode import arun_episode, run_episode
from ibisagent.agent.replay import replay
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.tools.errors import InputError, StoreError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import decode

THREAD = {"configurable": {"thread_id": "1"}}


def timeless(record):
    """The record without what two equal runs do not share."""
    return replace(record, seconds=0.0, steps=tuple(replace(step, seconds={}) for step in record.steps))


def clicks(observation):
    """Two clicks at places that depend on the request, then a stop."""
    x = int(observation.request) / 20
    return [positive(x, 0.3), positive(x, 0.6), STOP][observation.step % 3]


def test_an_episode_is_the_record_of_what_the_graph_ends_with(pixels, truth, tmp_path):
    image = open_image(pixels)
    start = {"image": image, "request": "7"}
    graph = build_graph(FunctionPolicy(clicks), "disk")
    ended = graph.invoke(start)
    record = run_episode(graph, start, truth=truth, folder=tmp_path)
    assert timeless(record) == timeless(build_trajectory(graph, ended, truth=truth, folder=tmp_path))
    assert (record.stop, len(record.steps), record.mask) == ("terminated", 3, ended["mask"])
    assert (decode(record.truth) == truth).all()
    assert replay(record, "disk", image).differences == ()


@pytest.mark.parametrize("runs", [1, 5, 16])
def test_episodes_at_once_are_the_same_as_alone(runs, pixels):
    starts = [{"image": pixels, "request": str(number)} for number in range(runs)]
    graph = build_graph(FunctionPolicy(clicks), "disk", images=ImageStore(), store=RunStore())
    alone = [
        timeless(run_episode(build_graph(FunctionPolicy(clicks), "disk"), start, on_event=lambda _: None))
        for start in starts
    ]
    with ThreadPoolExecutor(runs) as pool:
        threads = list(pool.map(lambda start: run_episode(graph, start), starts))

    async def gather(**options):
        return await asyncio.gather(*(arun_episode(graph, start, **options) for start in starts))

    assert list(map(timeless, threads)) == alone
    assert list(map(timeless, asyncio.run(gather()))) == alone
    assert list(map(timeless, asyncio.run(gather(on_event=lambda _: None)))) == alone
    assert len({record.steps[0].reply for record in alone}) == runs


def test_events_come_as_they_happen(pixels):
    seen, records = [], []
    graph = build_graph(FunctionPolicy(lambda observation: (seen.append("reply"), clicks(observation))[1]), "disk")
    start = {"image": pixels, "request": "3"}
    records.append(run_episode(graph, start, on_event=lambda event: seen.append(event["event"])))
    together, seen[:] = seen[:], []
    records.append(asyncio.run(arun_episode(graph, start, on_event=lambda event: seen.append(event["event"]))))
    assert seen == together
    assert [event for event in together if event in ("reply", "step")] == ["reply", "step"] * 3
    assert timeless(records[0]) == timeless(records[1]) == timeless(run_episode(graph, start))


def failing_policy(observation):
    if observation.step:
        raise ConnectionError("no answer")
    return clicks(observation)


class FailingStore(RunStore):
    """Fails at its second reply."""

    replies = 0

    def put(self, record):
        self.replies += 1
        if self.replies == 2:
            raise StoreError("run store: no space")
        return super().put(record)


@pytest.mark.parametrize(
    ("policy", "segmenter", "store", "stop"),
    [
        (failing_policy, "disk", RunStore, "policy_error"),
        (clicks, CountingSegmenter(fails_at=2), RunStore, "segmenter_error"),
        (clicks, "disk", FailingStore, "store_error"),
    ],
)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_failed_run_still_has_its_record(policy, segmenter, store, stop, asynchronous, pixels):
    if isinstance(segmenter, CountingSegmenter):
        segmenter = CountingSegmenter(fails_at=2)
    graph = build_graph(FunctionPolicy(policy), segmenter, store=store())
    start = {"image": pixels, "request": "9"}
    record = asyncio.run(arun_episode(graph, start)) if asynchronous else run_episode(graph, start)
    assert record.stop == stop
    assert record.error
    assert record.steps[0].action["type"] == "point"
    assert record.mask == record.steps[0].mask
    assert decode(record.mask).any()


def test_a_bug_and_a_wrong_start_raise(pixels, monkeypatch):
    graph = build_graph(FunctionPolicy(clicks), "disk")
    with pytest.raises(InputError, match="mask_"):
        run_episode(graph, {"image": pixels, "request": "1", "mask_": None})
    monkeypatch.setattr(nodes, "terminate", lambda state, components: state["no such key"])
    broken = build_graph(FunctionPolicy(clicks), "disk")
    for options in ({}, {"on_event": lambda _: None}):
        with pytest.raises(KeyError, match="no such key"):
            run_episode(broken, {"image": pixels, "request": "1"}, **options)


def test_a_thread_s_next_request_and_its_result_again(pixels):
    graph = build_graph(FunctionPolicy(clicks), "disk", checkpointer=InMemorySaver())
    first = run_episode(graph, {"image": pixels, "request": "2"}, config=THREAD)
    for again in (run_episode(graph, None, config=THREAD), run_episode(graph, None, config=THREAD, on_event=print)):
        assert again == first
    second = run_episode(graph, {"image": pixels, "request": "15"}, config=THREAD, on_event=lambda _: None)
    assert (second.request, second.request_index, len(second.steps)) == ("15", 2, 3)
    assert second.start == first.mask


def test_options_reach_the_run_and_one_that_waits_has_no_stop(pixels):
    graph = build_graph(script(positive(0.5, 0.5), STOP), "disk", checkpointer=InMemorySaver())
    waiting = run_episode(graph, {"image": pixels, "request": "x"}, config=THREAD, interrupt_before=["segment"])
    assert (waiting.stop, waiting.steps) == (None, ())
    assert run_episode(graph, None, config=THREAD).stop == "terminated"

    class AlwaysSet:
        def is_set(self):
            return True

    ended = run_episode(
        build_graph(get_policy("centre"), "disk", LoopConfig(max_steps=3)),
        {"image": pixels, "request": "x"},
        context={"cancel": AlwaysSet()},
    )
    assert ended.stop == "cancelled"
