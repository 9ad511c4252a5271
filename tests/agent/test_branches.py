"""Branches: any step replaced, the shared part neither run nor stored twice, every branch its own record."""

import asyncio
import threading

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from support.fakes import STOP, UNDO, CountingSegmenter, RecordingPolicy, negative, positive, script

from ibisagent.agent import Backtrack, Click, ImageStore, LoopConfig, Redo, RunStore, Terminate, build_graph
from ibisagent.agent.branches import abranches, afork, arequests, branches, fork, requests
from ibisagent.agent.checkpoints import aopen_checkpointer, open_checkpointer
from ibisagent.agent.replay import replay
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.agent.trajectory_files import read_trajectories, write_trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image

THREAD = {"configurable": {"thread_id": "1"}}
REPLIES = (positive(0.3, 0.5), positive(0.8, 0.8), UNDO, "hm", negative(0.4, 0.5), STOP, STOP)


def start_run(pixels, segmenter, policy=None, **given):
    policy = policy or RecordingPolicy(script(*REPLIES))
    graph = build_graph(policy, segmenter, checkpointer=InMemorySaver())
    graph.invoke({"image": pixels, "request": "Segment.", **given}, THREAD)
    return graph, branches(graph, THREAD)[0].config, policy


def build_record(graph, config):
    return build_trajectory(graph, graph.get_state(config).values)


def test_every_step_can_be_done_otherwise_at_no_cost_for_what_is_before(pixels, tmp_path):
    segmenter = CountingSegmenter()
    given = [Click(0.1, 0.1), Click(0.9, 0.1)]
    graph, trunk, policy = start_run(pixels, segmenter, prompts=given)
    whole = build_record(graph, trunk)
    assert len(whole.steps) == 8
    for step in range(1, 9):
        calls, replies = segmenter.predictions, len(policy.seen)
        config = fork(graph, trunk, step=step, action=Click(0.5, 0.9 - 0.01 * step))
        assert (segmenter.predictions, len(policy.seen)) == (calls, replies)
        graph.invoke(None, config, interrupt_before=["reason"])
        assert (segmenter.predictions, len(policy.seen)) == (calls + 1, replies)  # the new click, and nothing else
        graph.invoke(None, THREAD)
        record = build_record(graph, THREAD)
        assert [s.action for s in record.steps[: step - 1]] == [s.action for s in whole.steps[: step - 1]]
        assert [s.mask for s in record.steps[: step - 1]] == [s.mask for s in whole.steps[: step - 1]]
        assert (record.fork_step, record.steps[step - 1].actor, record.steps[step - 1].action["x"]) == (
            step,
            "person",
            0.5,
        )
        assert record.stop is not None
        write_trajectory(tmp_path / f"{step}.json", record)
    assert build_record(graph, trunk) == whole
    for path in tmp_path.iterdir():
        (record,) = read_trajectories(path)
        assert replay(record, CountingSegmenter(), open_image(pixels)).differences == ()
    assert replay(whole, CountingSegmenter(), open_image(pixels)).differences == ()


def test_the_tree_is_listed(pixels):
    graph, trunk, _ = start_run(pixels, "disk", script(positive(0.3, 0.5), positive(0.6, 0.5), STOP, STOP, STOP))
    assert [(b.parent, b.first_step, b.steps, b.stop) for b in branches(graph, THREAD)] == [(None, 1, 3, "terminated")]
    graph.invoke(None, fork(graph, trunk, step=2, action=Click(0.5, 0.2)))
    second = branches(graph, THREAD)[1].config
    graph.invoke(None, fork(graph, second, step=3, action=Click(0.5, 0.8)))
    unfinished = fork(graph, trunk, step=1, request="the other one")
    found = branches(graph, THREAD)
    assert [(b.parent, b.first_step, b.steps, b.stop, b.request) for b in found] == [
        (None, 1, 3, "terminated", "Segment."),
        (0, 2, 4, "terminated", "Segment."),
        (1, 3, 5, "terminated", "Segment."),
        (0, 1, 0, None, "the other one"),
    ]
    assert unfinished in [b.config for b in found]
    assert branches(graph, {"configurable": {"thread_id": "unused"}}) == []


def test_another_policy_takes_a_recorded_run_over(pixels):
    graph, trunk, _ = start_run(pixels, "disk")
    other = build_graph(
        script(*[""] * 2, positive(0.5, 0.1), STOP),
        "disk",
        checkpointer=graph.checkpointer,
        images=graph.components.images,
    )
    ended = other.invoke(None, fork(other, trunk, step=3))
    assert [step["action"]["type"] for step in ended["steps"]] == ["point", "point", "point", "terminate"]
    assert (ended["steps"][2]["actor"], ended["steps"][2]["action"]["y"], ended["run"]["fork_step"]) == (
        "policy",
        0.1,
        3,
    )


def test_other_words_from_a_step_on(pixels):
    policy = RecordingPolicy(script(positive(0.3, 0.5), positive(0.6, 0.5), STOP, STOP))
    graph, trunk, _ = start_run(pixels, "disk", policy)
    ended = graph.invoke(None, fork(graph, trunk, step=3, request="And its left part?"))
    assert policy.seen[-1].request == "And its left part?"
    assert (ended["request"], len(ended["steps"])) == ("And its left part?", 3)
    assert graph.get_state(trunk).values["request"] == "Segment."


def test_a_branch_may_undo_redo_or_stop(pixels):
    graph, trunk, _ = start_run(pixels, "disk")
    undone = graph.invoke(None, fork(graph, trunk, step=3, action=Backtrack()), interrupt_before=["reason"])
    assert [step["reverts"] for step in undone["steps"]] == [None, None, 2]
    redone = graph.invoke(None, fork(graph, trunk, step=4, action=Redo()), interrupt_before=["reason"])
    assert redone["steps"][3]["restores"] == 2
    stopped = graph.invoke(None, fork(graph, trunk, step=2, action=Terminate()))
    assert (stopped["stop"], stopped["mask"]) == (
        "terminated",
        graph.components.store.get_mask(stopped["steps"][0]["mask"]),
    )


def test_any_checkpoint_is_a_place_to_branch_from(pixels):
    graph, *_ = start_run(pixels, "disk")
    for snapshot in list(graph.get_state_history(THREAD)):
        if "run" in snapshot.values:
            before = len(snapshot.values["steps"])
            ended = graph.invoke(None, fork(graph, snapshot.config, action=Click(0.2, 0.9)))
            assert ended["steps"][before]["action"] == {"type": "point", "x": 0.2, "y": 0.9, "positive": True}
            assert ended["run"]["fork_step"] == before + 1
    assert {branch.stop for branch in branches(graph, THREAD)} <= {"terminated", "policy_error"}


def test_steps_of_earlier_requests_are_branched_within_their_request(pixels):
    graph = build_graph(
        script(positive(0.3, 0.5), STOP, positive(0.7, 0.5), *[STOP] * 3), "disk", checkpointer=InMemorySaver()
    )
    graph.invoke({"image": pixels, "request": "first"}, THREAD)
    graph.invoke({"request": "second"}, THREAD)
    ended = branches(graph, THREAD)[0].config
    one = graph.invoke(None, fork(graph, ended, step=2, action=Click(0.5, 0.5)), interrupt_before=["reason"])
    assert (one["request"], one["run"]["request_index"], len(one["steps"])) == ("first", 1, 2)
    two = graph.invoke(None, fork(graph, ended, step=3, action=Click(0.5, 0.5)))
    assert (two["request"], two["run"]["request_index"]) == ("second", 2)
    assert [state["request"] for state in requests(graph, ended)] == ["first", "second"]


def test_what_is_no_longer_kept_cannot_be_branched(pixels):
    graph = build_graph(script(*REPLIES), "disk", checkpointer=InMemorySaver())
    graph.invoke({"image": pixels, "request": "x"}, THREAD, durability="exit")
    with pytest.raises(InputError, match="step 2: no checkpoint from before it is left"):
        fork(graph, THREAD, step=2, action=Click(0.5, 0.5))
    for step in (0, 7):
        with pytest.raises(InputError, match=f"step {step}: the thread has steps 1 to 6"):
            fork(graph, THREAD, step=step)
    with pytest.raises(InputError, match="it has no request yet"):
        fork(graph, {"configurable": {"thread_id": "2"}})
    with pytest.raises(InputError, match="has none of that name"):
        fork(graph, {"configurable": {"thread_id": "1", "checkpoint_id": "nope"}})
    graph.invoke(None, fork(graph, THREAD, action=Click(0.5, 0.5)), interrupt_before=["reason"])  # its end is left


def test_branches_of_one_thread_run_at_the_same_time(pixels):
    graph, trunk, _ = start_run(pixels, "geodesic", script(positive(0.3, 0.5), positive(0.7, 0.5), STOP, STOP, STOP))
    configs = [fork(graph, trunk, step=2, action=Click(0.1 * k, 0.5)) for k in range(1, 9)]
    ended = {}

    def work(k):
        ended[k] = graph.invoke(None, configs[k])

    workers = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for k in range(8):
        alone = build_graph(script(positive(0.3, 0.5)), "geodesic", checkpointer=InMemorySaver())
        alone.invoke({"image": pixels, "request": "Segment."}, THREAD, interrupt_before=["reason"])
        alone.invoke(None, THREAD, interrupt_before=["reason"])
        click = intervene(alone, THREAD, Click(0.1 * (k + 1), 0.5), interrupt_before=["reason"])
        assert ended[k]["steps"][1]["mask"] == click["steps"][1]["mask"]
    assert len(branches(graph, THREAD)) == 9


def test_a_branch_is_made_by_another_process_s_graph(pixels, tmp_path):
    def graph_on(saver):
        stores = {"store": RunStore(tmp_path / "store"), "images": ImageStore(tmp_path / "images")}
        return build_graph(script(*REPLIES), "geodesic", LoopConfig(), checkpointer=saver, **stores)

    with open_checkpointer(tmp_path / "runs.db") as saver:
        graph_on(saver).invoke({"image": pixels, "request": "x"}, THREAD)

    async def later():
        async with aopen_checkpointer(tmp_path / "runs.db") as saver:
            graph = graph_on(saver)
            config = await afork(graph, THREAD, step=2, action=Click(0.2, 0.2))
            ended = await graph.ainvoke(None, config)
            found = await abranches(graph, THREAD)
            return ended, [(b.parent, b.first_step) for b in found], len(await arequests(graph, THREAD))

    ended, tree, requests = asyncio.run(later())
    assert ended["steps"][1]["action"]["y"] == 0.2
    assert (tree, requests) == ([(None, 1), (0, 2)], 1)
