"""Which states of a recorded run are starts, and the file that holds them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from support.fakes import NOT_THERE, STOP, UNDO, negative, positive, script

from ibisagent.agent import LoopConfig, build_graph
from ibisagent.agent.config import Guard
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.rle import decode, encode
from ibisagent.training.corrections.person_actions import accepted_mask
from ibisagent.training.starts import REASONS, MiningRules, mine_starts, read_starts, write_starts
from ibisagent.training.starts.mining import find_states

PIXELS = np.zeros((100, 100, 3), np.uint8)
TRUTH = np.zeros((100, 100), bool)
TRUTH[20:41, 20:41] = True  # the disk of a click at its middle, (0.3, 0.3), covers a part of it
THREAD = {"configurable": {"thread_id": "x"}}
RIGHT, WRONG, USELESS = positive(0.3, 0.3), positive(0.8, 0.8), positive(0.3, 0.31)
ERASING = negative(0.3, 0.3)


def run(*replies, config=None, person=(), **start):
    graph = build_graph(script(*replies), "disk", config or LoopConfig(), checkpointer=InMemorySaver())
    wait = {"interrupt_before": ["reason"]} if person else {}
    graph.invoke({"image": PIXELS, "request": "Segment the square.", **start}, THREAD)
    for action in person:
        intervene(graph, THREAD, action, **wait)
    return build_trajectory(graph, graph.get_state(THREAD).values)


def places(record, why, truth=TRUTH, **rules):
    return list(find_states(record, encode(truth), why, MiningRules(**rules)))


def test_lost_is_before_a_turn_that_lowers_the_iou():
    record = run(RIGHT, WRONG, UNDO, STOP)
    assert places(record, "lost") == [1]
    assert places(record, "lost", loss=0.9) == []
    (start,) = mine_starts(record, encode(TRUTH), "run 7", MiningRules(where=("lost",)))
    assert (start.source, start.step, start.why) == ("run 7", 1, "lost")
    assert (start.record.steps, start.record.mask) == (record.steps[:1], record.steps[0].mask)
    assert np.array_equal(decode(start.record.truth), TRUTH)
    assert places(run(WRONG, STOP), "lost", truth=np.zeros_like(TRUTH)) == [0], "marking what is not there"
    assert places(run(RIGHT, ERASING, STOP), "lost") == [1]
    guarded = run(RIGHT, ERASING, STOP, config=LoopConfig(guard=Guard()))
    assert guarded.steps[2].actor == "guard"
    assert places(guarded, "lost") == [], "the guard's undo belongs to the turn"


def test_stuck_is_before_the_last_of_several_useless_prompts_and_before_the_repetition_that_ended_a_run():
    record = run(RIGHT, USELESS, positive(0.31, 0.3), positive(0.31, 0.31), positive(0.3, 0.32), STOP)
    assert places(record, "stuck", useless=3, gain=0.05) == [3]
    assert places(record, "stuck", useless=1, gain=0.05)[:1] == [1]
    assert places(record, "stuck", useless=5, gain=0.05) == []
    looped = run(negative(0.9, 0.9), negative(0.9, 0.9))
    assert looped.stop == "loop"
    assert places(looped, "stuck") == [1]


def test_undone_is_before_the_undo_by_the_policy_and_before_the_prompt_that_a_guard_undid():
    assert places(run(RIGHT, WRONG, UNDO, STOP), "undone") == [2]
    guarded = run(RIGHT, ERASING, STOP, config=LoopConfig(guard=Guard()))
    assert [step.actor for step in guarded.steps[1:3]] == ["policy", "guard"]
    assert places(guarded, "undone") == [1]


def test_corrected_is_before_a_person_acts_and_before_the_end_that_she_did_not_accept():
    stopped = run(RIGHT, WRONG, STOP, person=["Backtrack", "Positive Point (0.3, 0.2)", "accept"])
    assert [step.origin for step in stopped.steps] == ["reply"] * 3 + ["intervention"] * 3
    assert places(stopped, "corrected") == [2]
    accepted = run(RIGHT, STOP, person=["accept"])
    assert places(accepted, "corrected") == []
    assert accepted_mask(accepted) == accepted.mask


def test_refused_is_before_a_present_target_is_said_to_be_absent():
    refused = run(NOT_THERE)
    assert refused.stop == "target_absent"
    assert places(refused, "refused") == [0]
    assert places(refused, "refused", truth=np.zeros_like(TRUTH)) == []
    assert places(run(RIGHT, UNDO, NOT_THERE), "refused") == [2]
    assert places(run(RIGHT, STOP), "refused") == []
    corrected = run(NOT_THERE, person=["Positive Point (0.3, 0.3)", "accept"])
    starts = mine_starts(corrected, encode(TRUTH), "x", MiningRules())
    assert [(start.step, start.why) for start in starts] == [(0, "corrected")], "one state, one start"


def test_a_run_gives_its_earliest_starts_and_one_that_cannot_be_repeated_none():
    record = run(RIGHT, WRONG, UNDO, WRONG.replace("0.8", "0.7"), STOP)
    found = mine_starts(record, encode(TRUTH), "x", MiningRules(per_run=9))
    assert [(start.step, start.why) for start in found] == [(1, "lost"), (2, "undone"), (3, "lost")]
    assert mine_starts(record, encode(TRUTH), "x", MiningRules()) == found[:2]
    other = replace(record.targets[0], name="other")
    broken = {
        "several targets": replace(record, targets=(*record.targets, other)),
        "a question": replace(record, kind="question"),
        "a person": replace(record, steps=(replace(record.steps[0], actor="person"),)),
    }
    for said, each in broken.items():
        with pytest.raises(InputError, match=said):
            mine_starts(each, encode(TRUTH), "x", MiningRules())


def test_rules_that_find_nothing_are_refused():
    assert MiningRules().where == REASONS
    for rules, said in (({"where": ("bad",)}, "got 'bad', expected one of lost, stuck"), ({"per_run": 0}, "from 1 up")):
        with pytest.raises(InputError, match=said):
            MiningRules(**rules)


def test_a_file_of_starts_is_read_as_it_was_written_and_a_broken_line_is_named(tmp_path):
    starts = mine_starts(run(RIGHT, WRONG, UNDO, STOP), encode(TRUTH), "x", MiningRules())
    file = tmp_path / "starts.jsonl"
    write_starts(file, starts)
    assert read_starts(file) == starts
    lines = file.read_text().splitlines()
    untrue = json.loads(lines[1])
    untrue["record"]["targets"][0]["truth"] = None
    for line, said in (
        ("nothing", "got no JSON"),
        ("{}", "got no start of version 1"),
        (json.dumps(untrue), "got a start without a truth"),
        (json.dumps(json.loads(lines[1]) | {"why": 3}), "got a start without source, step and why"),
        (json.dumps(json.loads(lines[1]) | {"record": []}), "not a trajectory"),
    ):
        file.write_text(f"{lines[0]}\n{line}\n")
        with pytest.raises(InputError, match=f"line 2: {said}"):
            read_starts(file)
    file.write_text("")
    for path, said in ((file, "got no start"), (tmp_path / "gone", "check the path")):
        with pytest.raises(InputError, match=said):
            read_starts(path)
