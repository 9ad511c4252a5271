"""A thread resumed, corrected by a person, and given a second request: nothing is done twice, and all is recorded."""

import asyncio

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from support.fakes import (
    NOT_THERE,
    STOP,
    UNDO,
    CountingSegmenter,
    FunctionPolicy,
    RecordingPolicy,
    negative,
    positive,
    script,
)

from ibisagent.agent import Backtrack, Box, Click, ImageStore, LoopConfig, Redo, RunStore, Terminate, build_graph
from ibisagent.agent.branches import requests
from ibisagent.agent.checkpoints import aopen_checkpointer, open_checkpointer
from ibisagent.agent.policies import Completion
from ibisagent.agent.replay import replay
from ibisagent.agent.state import active_target, current_mask
from ibisagent.agent.threads import aintervene, aresume_or_start, intervene, resume_or_start
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.evals.contact_sheets import contact_sheet_of
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import area, decode
from ibisagent.tools.segmenters.geocut import GeocutSegmenter

THREAD = {"configurable": {"thread_id": "1"}}
WAIT = {"interrupt_before": ["reason"]}


def step_kinds(ended):
    """Return the actor and kind of each step, and which step it undid or restored."""
    kinds = [(step["actor"], step["action"]["type"] if step["action"] else None) for step in ended["steps"]]
    moved = [step["reverts"] if step["restores"] is None else step["restores"] for step in ended["steps"]]
    return [(*kind, *([number] if number is not None else [])) for kind, number in zip(kinds, moved, strict=True)]


def test_a_person_s_story_is_told_truly(pixels, truth):
    """Run, click, undo, redo, a second request, accept."""
    policy = RecordingPolicy(script(positive(0.3, 0.5), STOP, STOP, positive(0.9, 0.9), STOP, STOP))
    graph = build_graph(policy, "geodesic", LoopConfig(review=True), checkpointer=InMemorySaver())
    first = graph.invoke({"image": pixels, "request": "Segment the organ."}, THREAD)
    assert first["__interrupt__"][0].value["stop"] == "terminated"

    clicked = intervene(graph, THREAD, Click(0.6, 0.4))  # the policy looks at it and stops again
    undone = intervene(graph, THREAD, Backtrack(), **WAIT)
    redone = intervene(graph, THREAD, "Redo", **WAIT)
    seen = [each["__interrupt__"][0].value["mask"] for each in (first, clicked)]
    assert [undone["mask"], redone["mask"]] == [None, None]  # no result while it waits
    assert [current_mask(undone), current_mask(redone)] == seen
    assert area(seen[0]) != area(seen[1])

    second = graph.invoke({"request": "Leave out the vessel."}, THREAD)
    asked = second["__interrupt__"][0].value
    assert (asked["request"], asked["stop"]) == ("Leave out the vessel.", "terminated")
    ended = intervene(graph, THREAD, {"answer": "The organ without its vessel."})
    assert step_kinds(ended) == [
        ("policy", "point"),
        ("policy", "terminate"),
        ("person", "point"),
        ("policy", "terminate"),
        ("person", "backtrack", 3),
        ("person", "redo", 3),
        ("policy", "point"),
        ("policy", "terminate"),
        ("person", "terminate"),
    ]
    assert (ended["stop"], ended["answer"]) == ("terminated", "The organ without its vessel.")

    records = [build_trajectory(graph, state, truth=truth) for state in requests(graph, THREAD)]
    assert [(record.request_index, record.request, len(record.steps)) for record in records] == [
        (1, "Segment the organ.", 6),
        (2, "Leave out the vessel.", 3),
    ]
    assert records[1].start == records[0].mask
    for record in records:
        assert replay(record, "geodesic", open_image(pixels)).differences == ()
        assert contact_sheet_of(record, open_image(pixels)).height > 100


def test_undo_and_redo_walk_the_whole_history_without_a_call(pixels, truth):
    segmenter = CountingSegmenter()
    graph = build_graph(script(positive(0.3, 0.5), positive(0.7, 0.5)), segmenter, checkpointer=InMemorySaver())
    graph.invoke({"image": pixels, "request": "x", "initial_mask": truth}, THREAD)
    calls, actions = segmenter.predictions, (*[Backtrack()] * 3, *[Redo()] * 3)
    seen = [current_mask(intervene(graph, THREAD, action, **WAIT)) for action in actions]
    two, one, none = seen[5], seen[0], seen[1]
    assert seen == [one, none, seen[2], none, one, two]
    assert not decode(seen[2]).any()
    assert np.array_equal(decode(none), truth)
    assert segmenter.predictions == calls
    state = graph.get_state(THREAD).values
    assert step_kinds(state)[2:] == [
        *[("person", "backtrack", number) for number in (2, 1, 0)],
        *[("person", "redo", number) for number in (0, 1, 2)],
    ]
    assert (len(active_target(state)["prompts"]), active_target(state)["undone"]) == (2, [])
    record = build_trajectory(graph, state)
    assert replay(record, CountingSegmenter(), open_image(pixels)).differences == ()


def test_a_redo_takes_its_undo_notice_back(pixels):
    policy = RecordingPolicy(script(positive(0.3, 0.5), STOP, NOT_THERE, STOP))
    graph = build_graph(policy, "disk", checkpointer=InMemorySaver())
    graph.invoke({"image": pixels, "request": "x"}, THREAD)
    intervene(graph, THREAD, "Backtrack")
    assert [len(seen.undone) for seen in policy.seen] == [0, 0, 1]
    intervene(graph, THREAD, "Redo", **WAIT)
    record = build_trajectory(graph, graph.get_state(THREAD).values)
    intervene(graph, THREAD, "Backtrack", **WAIT)
    again = build_trajectory(graph, graph.get_state(THREAD).values)
    assert [len(step.undone) for step in again.steps] == [0, 0, 0, 1, 1, 0]
    assert [len(step.undone) for step in record.steps] == [0, 0, 0, 1, 1]
    assert len(active_target(graph.get_state(THREAD).values)["undone"]) == 1


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("Redo", "nothing to redo"),
        ("Backtrack", "nothing to undo"),
        ("what?", "expected one of"),
        ({"type": "point", "x": 3, "y": 0}, "x=3"),
        ({"type": "circle"}, "circle"),
        (7, "expected 'accept'"),
        ("Positive Point (1.5, 0.5)", "1.5"),
    ],
)
def test_what_a_person_cannot_mean_is_said_in_a_line_and_changes_nothing(pixels, action, said):
    graph = build_graph(script(STOP), "disk", checkpointer=InMemorySaver())
    graph.invoke({"image": pixels, "request": "x"}, THREAD)
    before = graph.get_state(THREAD)
    with pytest.raises(InputError, match=said):
        intervene(graph, THREAD, action)
    assert graph.get_state(THREAD) == before


def test_new_prompts_leave_nothing_to_bring_back(pixels):
    graph = build_graph(
        script(positive(0.3, 0.5), UNDO, positive(0.7, 0.5), STOP), "disk", checkpointer=InMemorySaver()
    )
    graph.invoke({"image": pixels, "request": "x"}, THREAD)
    with pytest.raises(InputError, match="nothing to redo"):
        intervene(graph, THREAD, Redo())


def test_boxes_negatives_and_stops_are_put_in_as_well(pixels):
    graph = build_graph(script(positive(0.3, 0.5), STOP), "disk", checkpointer=InMemorySaver())
    graph.invoke({"image": pixels, "request": "x"}, THREAD)
    intervene(graph, THREAD, Box(0.6, 0.6, 0.8, 0.8), **WAIT)
    intervene(graph, THREAD, negative(0.3, 0.5), **WAIT)
    ended = intervene(graph, THREAD, Terminate())
    assert step_kinds(ended)[2:] == [("person", "box"), ("person", "point"), ("person", "terminate")]
    assert decode(ended["mask"])[67, 90]
    assert not decode(ended["mask"])[48, 38]
    assert ended["measurements"]["area_px"] == decode(ended["mask"]).sum()


def test_an_unknown_thread_cannot_be_corrected_or_gone_on_with(pixels):
    graph = build_graph(script(STOP), "disk", checkpointer=InMemorySaver())
    with pytest.raises(InputError, match="'1': it has no request yet"):
        intervene(graph, THREAD, Click(0.5, 0.5))
    with pytest.raises(InputError, match="'1': it has no request yet"):
        resume_or_start(graph, None, THREAD)


def test_the_same_request_is_done_once(pixels):
    policy = RecordingPolicy(script(positive(0.3, 0.5), STOP))
    graph = build_graph(policy, "disk", checkpointer=InMemorySaver())
    start = {"image": pixels, "request": "x", "prompts": [Click(0.1, 0.1)]}
    ended = graph.invoke(*resume_or_start(graph, start, THREAD))
    assert graph.invoke(*resume_or_start(graph, start, THREAD)) == ended
    assert graph.invoke(*resume_or_start(graph, None, THREAD)) == ended
    assert len(policy.seen) == 2


@pytest.mark.parametrize("node", ["load", "overlay", "reason", "parse", "segment", "terminate"])
def test_a_run_that_stands_before_any_node_goes_on(node, pixels, tmp_path):
    replies = (positive(0.3, 0.5), UNDO, positive(0.6, 0.4), STOP)
    whole = build_graph(script(*replies), "geodesic").invoke({"image": pixels, "request": "x"})
    start = {"image": pixels, "request": "x"}
    with open_checkpointer(tmp_path / "runs.db") as saver:
        stores = {"store": RunStore(tmp_path / "store"), "images": ImageStore(tmp_path / "images")}
        graph = build_graph(script(*replies), "geodesic", checkpointer=saver, **stores)
        graph.invoke(start, THREAD, interrupt_before=[node])
    with open_checkpointer(tmp_path / "runs.db") as saver:
        stores = {"store": RunStore(tmp_path / "store"), "images": ImageStore(tmp_path / "images")}
        graph = build_graph(script(*replies), "geodesic", checkpointer=saver, **stores)
        ended = graph.invoke(*resume_or_start(graph, start, THREAD))
    assert (ended["mask"], ended["stop"]) == (whole["mask"], whole["stop"])
    assert step_kinds(ended) == step_kinds(whole)


def test_seconds_and_tokens_go_on_counting(pixels):
    slow = FunctionPolicy(
        lambda seen: Completion(positive(0.1 + 0.1 * seen.step, 0.5), seconds=10.0, usage={"total_tokens": 5})
    )
    graph = build_graph(slow, "disk", LoopConfig(max_seconds=35.0), checkpointer=InMemorySaver())
    start = {"image": pixels, "request": "x"}
    graph.invoke(start, THREAD, interrupt_before=["parse"])
    for _ in range(2):
        graph.invoke(*resume_or_start(graph, start, THREAD), interrupt_before=["parse"])
    ended = graph.invoke(*resume_or_start(graph, start, THREAD))
    assert (ended["stop"], ended["run"]["tokens"], len(ended["steps"])) == ("budget", 20, 4)
    assert 40.0 <= ended["run"]["seconds"] < 41.0


def test_another_request_waits_until_this_one_is_finished(pixels):
    graph = build_graph(script(positive(0.3, 0.5), STOP, STOP), "disk", checkpointer=InMemorySaver())
    graph.invoke({"image": pixels, "request": "the liver"}, THREAD, interrupt_before=["segment"])
    with pytest.raises(InputError, match="'the liver' is not finished"):
        resume_or_start(graph, {"image": pixels, "request": "the spleen"}, THREAD)
    graph.invoke(*resume_or_start(graph, {"image": pixels, "request": "the liver"}, THREAD))
    ended = graph.invoke(*resume_or_start(graph, {"image": pixels, "request": "the spleen"}, THREAD))
    assert (ended["run"]["request_index"], ended["request"]) == (2, "the spleen")


def test_another_segmenter_is_refused_at_once(pixels):
    keeper, images = InMemorySaver(), ImageStore()
    start = {"image": pixels, "request": "x"}
    begun = build_graph(script(positive(0.5, 0.5), STOP), "disk", checkpointer=keeper, images=images)
    begun.invoke(start, THREAD, interrupt_before=["terminate"])
    other = build_graph(script(STOP), "geodesic", checkpointer=keeper, images=images)
    with pytest.raises(InputError, match="the run began with 'disk-1"):
        resume_or_start(other, start, THREAD)


class EarlierGeocut(GeocutSegmenter):
    """Geocut under the fingerprint of the version before."""

    @property
    def fingerprint(self):
        return super().fingerprint.replace("geocut-3", "geocut-2")


def test_an_earlier_version_of_the_segmenter_is_refused(pixels):
    keeper, images = InMemorySaver(), ImageStore()
    start = {"image": pixels, "request": "x"}
    begun = build_graph(script(positive(0.5, 0.5), STOP), EarlierGeocut(), checkpointer=keeper, images=images)
    begun.invoke(start, THREAD, interrupt_before=["segment"])
    now = build_graph(script(STOP), "geocut", checkpointer=keeper, images=images)
    with pytest.raises(InputError, match=r"segmenter 'geocut-3 .*the run began with 'geocut-2 .*resume it with that"):
        resume_or_start(now, start, THREAD)
    with pytest.raises(InputError, match="the run began with 'geocut-2 "):
        now.invoke(None, THREAD)


def test_what_ended_from_outside_goes_on_after_it(pixels):
    segmenter = CountingSegmenter(fails_at=2)
    replies = (positive(0.3, 0.5), positive(0.7, 0.5), positive(0.6, 0.5), STOP)
    graph = build_graph(script(*replies), segmenter, checkpointer=InMemorySaver())
    start = {"image": pixels, "request": "x"}
    assert graph.invoke(*resume_or_start(graph, start, THREAD))["stop"] == "segmenter_error"
    ended = graph.invoke(*resume_or_start(graph, start, THREAD))
    assert (ended["stop"], ended["error"]) == ("terminated", None)
    assert [bool(step["error"]) for step in ended["steps"]] == [False, True, False, False]
    record = build_trajectory(graph, graph.get_state(THREAD).values)
    assert replay(record, CountingSegmenter(), open_image(pixels)).differences == ()


def test_random_and_sampling_policies_resumed_equal_the_unbroken(pixels):
    def sampling(seen):
        rng = np.random.default_rng([7, seen.step])
        return STOP if seen.step == 5 else positive(*rng.uniform(0, 1, 2))

    for policy in ("random", FunctionPolicy(sampling)):
        whole = build_graph(policy, "geodesic").invoke({"image": pixels, "request": "x"})
        graph = build_graph(policy, "geodesic", checkpointer=InMemorySaver())
        graph.invoke({"image": pixels, "request": "x"}, THREAD, interrupt_before=["reason"])
        while graph.get_state(THREAD).next:
            graph.invoke(None, THREAD, interrupt_before=["reason"])
        values = graph.get_state(THREAD).values
        assert (values["mask"], step_kinds(values)) == (whole["mask"], step_kinds(whole))


def test_the_async_twins_do_the_same(pixels, tmp_path):
    async def story():
        async with aopen_checkpointer(tmp_path / "runs.db") as saver:
            graph = build_graph(script(positive(0.3, 0.5), STOP, STOP), "disk", checkpointer=saver)
            start = {"image": pixels, "request": "x"}
            first = await graph.ainvoke(*await aresume_or_start(graph, start, THREAD))
            assert await graph.ainvoke(*await aresume_or_start(graph, start, THREAD)) == first
            return await aintervene(graph, THREAD, "Positive Point (0.7, 0.5)")

    ended = asyncio.run(story())
    assert step_kinds(ended) == [
        ("policy", "point"),
        ("policy", "terminate"),
        ("person", "point"),
        ("policy", "terminate"),
    ]
