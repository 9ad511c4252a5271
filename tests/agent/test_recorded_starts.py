"""Episodes from recorded states: the same graph repeats a record's steps to the very state, and goes on from it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from support.fakes import STOP, UNDO, FixedProposer, FunctionPolicy, negative, positive, script

from ibisagent.agent import LoopConfig, build_graph
from ibisagent.agent.config import Guard
from ibisagent.agent.episode import run_episode
from ibisagent.agent.observation import build_observation
from ibisagent.agent.record_parts import first_steps, later_steps
from ibisagent.agent.recorded_starts import branch_from, replay_start
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image

HERE, OTHER = ({"configurable": {"thread_id": name}} for name in ("here", "other"))
WAIT = {"interrupt_before": ["reason"]}
TIMED = ("seconds", "last_call_seconds", "request_hash", "fork_step")


@pytest.fixture(scope="module")
def image():
    return open_image((np.random.default_rng(4).random((48, 64, 3)) * 255).astype(np.uint8))


def graph_of(policy, config=None, segmenter="disk", **options):
    return build_graph(policy, segmenter, config or LoopConfig(), checkpointer=InMemorySaver(), **options)


def timeless(value):
    if isinstance(value, dict):
        return {name: timeless(each) for name, each in value.items() if name not in TIMED}
    return [timeless(each) for each in value] if isinstance(value, list | tuple) else value


def shown(graph, state):
    seen = build_observation(state, graph.components)
    arrays = [seen.picture.tobytes(), seen.mask.tobytes(), *(turn.picture.tobytes() for turn in seen.turns)]
    others = [seen.prompts, seen.undone, seen.feedback, seen.score, seen.initial_mask_by, seen.step, seen.frame]
    return arrays, [turn.reply for turn in seen.turns], others


def corrected_thread(image, config, **options):
    """A run with a click, rubbish, an undo and a wrong end; then a person's clicks and undo, and the policy again."""
    replies = (positive(0.3, 0.3), "rubbish", positive(0.7, 0.6), UNDO, positive(0.5, 0.5), STOP, negative(0.4, 0.4))
    graph = graph_of(script(*replies, positive(0.9, 0.9), STOP), config, **options)
    graph.invoke({"image": image, "request": "Segment it.", "seed": 3}, HERE)
    intervene(graph, HERE, "Positive Point (0.2, 0.8)", **WAIT)
    intervene(graph, HERE, "Negative Point (0.6, 0.1)", **WAIT)
    intervene(graph, HERE, "Backtrack")
    return graph


STARTS = {
    "plain": {},
    "history": {"config": LoopConfig(context="history")},
    "proposed": {"proposer": FixedProposer(np.eye(48, 64, dtype=bool))},
}


@pytest.mark.parametrize("kind", STARTS)
def test_every_state_in_which_the_policy_replied_is_reached_again(image, kind):
    options = dict(STARTS[kind])
    config = options.pop("config", LoopConfig())
    graph = corrected_thread(image, config, **options)
    record = build_trajectory(graph, graph.get_state(HERE).values)
    waited = {
        len(snapshot.values["steps"]): snapshot.values
        for snapshot in graph.get_state_history(HERE)
        if snapshot.next == ("reason",)
    }
    assert [step.outcome for step in record.steps].count("unparseable") == 1
    assert {step.origin for step in record.steps} == {"reply", "intervention"}
    assert sorted(waited) == [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    for count in (0, 2, 4, 8, 11):
        before = waited[count]
        again = graph_of(script(), config, proposer="none")
        state = replay_start(again, first_steps(record, count), image, HERE)
        assert json.dumps(timeless(state), sort_keys=True) == json.dumps(timeless(before), sort_keys=True)
        assert shown(again, state) == shown(graph, before)


def test_rollouts_branch_from_one_state_and_their_records_say_where(image):
    graph = corrected_thread(image, LoopConfig())
    start = first_steps(build_trajectory(graph, graph.get_state(HERE).values), 3)
    policy = FunctionPolicy(lambda seen: STOP if seen.seed == 1 else positive(0.1, 0.1 + seen.step / 20))
    graph = graph_of(policy, LoopConfig(max_steps=5), proposer="none")
    state = replay_start(graph, start, image, HERE)
    for seed, kinds in ((1, ["terminate"]), (2, ["point"] * 3)):
        thread = {"configurable": {"thread_id": str(seed)}}
        branch_from(graph, state, thread, seed)
        record = run_episode(graph, None, config=thread)
        assert (record.seed, record.fork_step) == (seed, 4)
        assert [step.mask for step in record.steps[:3]] == [step.mask for step in start.steps]
        assert [step.action["type"] for step in later_steps(record, 3).steps] == kinds
    assert graph.get_state(HERE).values["steps"] == state["steps"]


def test_what_a_guard_undid_is_undone_again(image):
    config = LoopConfig(guard=Guard(flood=0.01))
    graph = graph_of(script(positive(0.3, 0.3), positive(0.5, 0.5), STOP), config)
    graph.invoke({"image": image, "request": "Segment it."}, HERE)
    record = build_trajectory(graph, graph.get_state(HERE).values)
    assert [step.origin for step in record.steps[:2]] == ["reply", "automatic"]
    state = replay_start(graph_of(script(), config), first_steps(record, 2), image, HERE)
    assert [step["actor"] for step in state["steps"]] == ["policy", "guard"]
    with pytest.raises(InputError, match="start: it is not as recorded"):
        replay_start(graph_of(script()), first_steps(record, 2), image, HERE)


def test_a_start_that_comes_out_otherwise_is_refused_in_a_line(image):
    graph = corrected_thread(image, LoopConfig())
    record = build_trajectory(graph, graph.get_state(HERE).values)
    with pytest.raises(InputError, match=r"^start: its 6 steps end a run here \(terminated\); leave it out$"):
        replay_start(graph_of(script()), first_steps(record, 6), image, HERE)
    with pytest.raises(InputError, match=r"^start: it is not as recorded \(segmenter: recorded with disk-1"):
        replay_start(graph_of(script(), segmenter="geodesic"), first_steps(record, 3), image, HERE)
    state = replay_start(graph_of(script(), segmenter="geodesic"), first_steps(record, 3), image, HERE, exact=False)
    assert [step["action"] for step in state["steps"]] == [step.action for step in record.steps[:3]]
    thousands = graph_of(script(), LoopConfig(coordinates="thousand"))
    with pytest.raises(InputError, match=r"start: it is not as recorded \(actions "):
        replay_start(thousands, first_steps(record, 1), image, OTHER, exact=False)
    foreign = replace(record.steps[0], completion={"colour": "red"})
    with pytest.raises(InputError, match="got step 1 with a reply that cannot be read"):
        replay_start(graph_of(script()), replace(first_steps(record, 1), steps=(foreign,)), image, HERE)


def test_the_later_steps_begin_with_the_mask_that_the_first_led_to(image):
    graph = corrected_thread(image, LoopConfig())
    record = build_trajectory(graph, graph.get_state(HERE).values)
    later = later_steps(record, 4)
    assert (later.start, later.has_initial_mask) == (record.steps[3].mask, True)
    assert (later.steps, later.mask) == (record.steps[4:], record.mask)
    assert later_steps(record, 0) is record
    waiting = first_steps(record, 4)
    assert (waiting.mask, waiting.stop, waiting.target.prompts) == (
        record.steps[3].mask,
        None,
        (record.steps[0].action,),
    )
