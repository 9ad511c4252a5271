"""A person's corrections as labels: what stands, what it replaces, and in which state it is learned."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import ellipse
from support import corrected_runs, scripted_local
from support.corrected_runs import GO_ON
from support.fakes import NOT_THERE, STOP, UNDO, FixedProposer, RecordingPolicy, negative, positive, script
from support.records import with_target

from ibisagent.agent import Click, LoopConfig
from ibisagent.agent.actions import from_plain
from ibisagent.agent.config import Guard
from ibisagent.agent.prompting import load_prompts
from ibisagent.agent.reply_parser import parse_reply
from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.rle import area, decode
from ibisagent.training.corrections.person_actions import accepted_mask
from ibisagent.training.corrections.wording import name_target, snap_action
from ibisagent.training.samples import Samples, replaces_reply

WRONG, WORSE, RIGHT, MORE = positive(0.2, 0.2), positive(0.8, 0.2), positive(0.6, 0.5), negative(0.7, 0.8)
CLICK, OTHER, OUT = "Positive Point (0.61, 0.51)", "Positive Point (0.3, 0.7)", "Negative Point (0.1, 0.9)"
RUBBISH = "I would rather not."
FLOOD = "<think>All.</think>\n<action>Box (0, 0, 1, 1)</action>"

# name: the policy's replies, what the person then does, the labels of the steps, and what is left out
STORIES = {
    "undone and clicked": (
        [WRONG, STOP],
        ["Backtrack", CLICK, "Terminate"],
        [CLICK, "Backtrack", "Backtrack", CLICK, "Terminate"],
        {},
    ),
    "accepted as it is": ([RIGHT, STOP], ["Terminate"], ["", "", "Terminate"], {}),
    "a click added": ([RIGHT, STOP], [OUT, "Terminate"], ["", OUT, OUT, "Terminate"], {}),
    "two undone": (
        [WRONG, WORSE, STOP],
        ["Backtrack", "Backtrack", CLICK],
        [CLICK, "Backtrack", "Backtrack", "Backtrack", "Backtrack", CLICK],
        {},
    ),
    "undone and redone": (
        [RIGHT, STOP],
        ["Backtrack", "Redo", OUT],
        ["", OUT, None, None, OUT],
        {},
    ),
    "own click taken back": (
        [WRONG, STOP],
        ["Backtrack", OTHER, "Backtrack", CLICK],
        [CLICK, "Backtrack", "Backtrack", None, None, CLICK],
        {},
    ),
    "undone, then the policy's turn": (
        [WRONG, STOP, RIGHT, STOP],
        ["Backtrack", GO_ON],
        ["", "Backtrack", "Backtrack", "", ""],
        {"undone, and nothing done in the same state": 1},
    ),
    "the policy's own undo": ([WRONG, UNDO, RIGHT, STOP], ["Terminate"], ["", "", "", "", "Terminate"], {}),
    "a refusal overridden": ([NOT_THERE], [CLICK, "Terminate"], [CLICK, CLICK, "Terminate"], {}),
    "a click where nothing is": (
        [WRONG, STOP],
        ["Backtrack", "Terminate"],
        ["Terminate", "Backtrack", "Backtrack", "Terminate"],
        {},
    ),
    "rubbish": (
        [RUBBISH] * 3,
        [CLICK],
        ["", "", "", CLICK],
        {"the reply could not be read": 3},
    ),
    "the same click": (
        [WRONG, STOP],
        ["Backtrack", "Positive Point (0.2, 0.2)"],
        ["", "Backtrack", "Backtrack", "Positive Point (0.2, 0.2)"],
        {"the same action as the policy's": 1},
    ),
    "accepted too early": ([RIGHT, STOP], ["Terminate", OUT], ["", OUT, None, OUT], {}),
}


@pytest.fixture
def folder(tmp_path):
    scripted_local.draw_images(tmp_path, "scan.png")
    return tmp_path


def action_of(text):
    return parse_reply(f"{text}\n").action if text else text


def labels_of(record):
    """The labeled actions by step, None where a step has no label, "" where it has an empty one."""
    given = [step.completion.get("label") for step in record.steps]
    return [parse_reply(each, strict=True).action if each else each for each in given]


@pytest.mark.parametrize("story", STORIES)
def test_a_run_is_labeled_with_what_the_person_did(story, folder):
    replies, said, expected, left_out = STORIES[story]
    record = corrected_runs.correct(folder, replies, said)
    run = corrected_runs.label(record, folder)
    assert labels_of(run.record) == [action_of(each) for each in expected]
    assert run.left_out == left_out
    assert run.learned.total() == sum(bool(each) for each in expected)
    pairs = corrected_runs.label(record, folder, "dpo")
    both = [bool(text) and step.origin == "reply" for text, step in zip(expected, record.steps, strict=True)]
    if not any(both):
        assert pairs.record is None
        return
    assert [replaces_reply(step) for step in pairs.record.steps] == both
    assert [step.reply for step in pairs.record.steps] == [step.reply for step in record.steps]
    assert not any(step.completion.get("label") for step in pairs.record.steps if step.origin != "reply")
    assert pairs.learned.total() == sum(both)


def test_clicks_by_hand_before_the_policy_and_in_its_place_are_learned(folder):
    record = corrected_runs.correct(folder, [STOP], ["Terminate"], prompts=[Click(0.5, 0.4)])
    assert labels_of(corrected_runs.label(record, folder).record) == [
        Click(0.5, 0.4),
        "",
        action_of("Terminate"),
    ]
    record = corrected_runs.correct(folder, [RIGHT, STOP], [])
    typed = [replace(step, actor="person") for step in record.steps]  # as of the policy "person"
    record = replace(record, steps=tuple(typed))
    assert labels_of(corrected_runs.label(record, folder).record) == [action_of(RIGHT), action_of("Terminate")]


def test_what_an_experiment_or_a_guard_did_is_not_a_person_s(folder):
    config = LoopConfig(guard=Guard())
    given = {"prompts": [Click(0.5, 0.4)], "prompts_actor": "experiment"}
    record = corrected_runs.correct(folder, [FLOOD, STOP], [CLICK], config, **given)
    actors = [step.actor for step in record.steps]
    assert actors[:3] == ["experiment", "policy", "guard"]
    run = corrected_runs.label(record, folder)
    assert [step.actor for step in run.record.steps if step.completion.get("label")] == ["policy", "person"]
    assert run.left_out == {"undone by the loop, not by the person": 1}


def test_an_undone_proposal_is_a_lesson_and_the_person_s_own_mask_is_not(folder):
    mask = ellipse((80, 64), (60, 50), (9, 9))
    own = corrected_runs.correct(folder, [STOP], ["Backtrack", CLICK], initial_mask=mask)
    assert labels_of(corrected_runs.label(own, folder).record) == ["", None, action_of(CLICK)]
    proposed = corrected_runs.correct(folder, [STOP], ["Backtrack", CLICK], proposer=FixedProposer(mask))
    run = corrected_runs.label(proposed, folder)
    assert labels_of(run.record) == [action_of("Backtrack"), action_of("Backtrack"), action_of(CLICK)]
    assert "something else" in run.record.steps[1].completion["label"]


def test_an_action_that_the_policy_was_not_offered_is_left_out(folder):
    config = LoopConfig(actions=("point", "terminate"))
    record = corrected_runs.correct(folder, [WRONG, STOP], ["Backtrack", CLICK], config)
    run = corrected_runs.label(record, folder)
    assert labels_of(run.record) == [action_of(CLICK), "", None, action_of(CLICK)]
    assert run.left_out == {"the policy was not offered the action backtrack": 2}


def test_a_reply_that_no_model_made_is_no_rejected_one(folder):
    """As where nano's list of targets declined in its place."""
    declined = "<think>Unknown.</think>\n<action>Decline</action>\n<answer>I never learned it.</answer>"
    record = corrected_runs.correct(folder, [declined], [CLICK])
    assert corrected_runs.label(record, folder, "dpo").learned == {"point in place of decline": 1}
    record = replace(record, weights="0123456789abcdef")
    run = corrected_runs.label(record, folder, "dpo")
    assert run.record is None
    assert run.left_out == {"no model made the reply": 1}
    assert labels_of(corrected_runs.label(record, folder).record) == [action_of(CLICK), action_of(CLICK)]
    counted = replace(record.steps[0], completion=record.steps[0].completion | {"usage": {"output_tokens": 9}})
    record = replace(record, steps=(counted, *record.steps[1:]))
    assert corrected_runs.label(record, folder, "dpo").learned == {"point in place of decline": 1}


def test_a_person_s_accepted_mask_is_the_truth_where_none_is_known(folder):
    accepted = corrected_runs.correct(folder, [RIGHT, STOP], [OUT, "Terminate"])
    assert accepted.truth is None
    assert corrected_runs.label(accepted, folder).record.truth == accepted.mask == accepted_mask(accepted)
    refused = corrected_runs.correct(folder, [NOT_THERE], ["Terminate"])
    assert area(corrected_runs.label(refused, folder).record.truth) == 0
    known = with_target(accepted, truth=accepted.start)
    assert corrected_runs.label(known, folder).record.truth == accepted.start
    for said in ([OUT], ["Terminate", OUT], ["Decline"]):
        record = corrected_runs.correct(folder, [RIGHT, STOP], said)
        assert accepted_mask(record) is None
        assert corrected_runs.label(record, folder).record.truth is None
    assert accepted_mask(replace(accepted, kind="question")) is None


def test_an_accepted_stop_keeps_the_policy_s_words_and_another_answer_is_the_person_s(folder):
    record = corrected_runs.correct(folder, [RIGHT, STOP], ["Terminate"])
    assert corrected_runs.label(record, folder).record.steps[-1].completion["label"] == STOP
    other = replace(record, answer="Only half of it.")
    text = corrected_runs.label(other, folder).record.steps[-1].completion["label"]
    assert "<answer>Only half of it.</answer>" in text
    question = replace(corrected_runs.correct(folder, [NOT_THERE], ["Terminate"]), kind="question", answer="No.")
    run = corrected_runs.label(question, folder)
    assert run.record is None
    assert run.left_out == {"a question without an answer": 1}


def test_thoughts_name_the_target_and_clicks_are_written_in_bins(folder):
    record = corrected_runs.correct(folder, [NOT_THERE], [CLICK], request="Where is the liver lesion?")
    (_, step) = corrected_runs.label(record, folder, snap=0.01).record.steps
    assert step.completion["label"] == (
        "<think>Nothing is marked yet. The liver lesion is at the middle centre.</think>\n"
        "<action>Positive Point (0.6150, 0.5150)</action>"
    )
    assert from_plain(step.action) == Click(0.61, 0.51)
    assert name_target("Segment it.") == "target"
    truth = np.zeros((100, 100), np.bool_)
    truth[:, :50] = True
    assert snap_action(Click(0.491, 0.2), 0.1, truth) == Click(0.45, 0.25)
    assert snap_action(Click(0.499, 0.2), 0.02, None) == Click(0.49, 0.21)
    narrow = np.zeros((1000, 1000), np.bool_)
    narrow[300, 301] = True
    assert snap_action(Click(0.3015, 0.3005), 0.1, narrow) == Click(0.3015, 0.3005)


# In training


def write(folder, *records):
    return Samples([scripted_local.write_records(folder, *records)], load_prompts())


@pytest.mark.parametrize("context", ["stateless", "history"])
def test_a_sample_is_what_the_policy_would_have_been_shown_there(context, folder):
    """The same run again, but there the policy is asked instead."""
    config, replies, said = LoopConfig(context=context), [WRONG, STOP], ["Backtrack", CLICK, OUT]
    record = corrected_runs.correct(folder, replies, said, config)
    run = corrected_runs.label(Trajectory.from_json(json.loads(json.dumps(record.to_json()))), folder)
    samples = write(folder, run.record)
    got = [samples[index] for index in range(len(samples))]
    learned = [CLICK, "Backtrack", "Backtrack", CLICK, OUT]
    assert [parse_reply(each.reply).action for each in got] == [action_of(text) for text in learned]
    seen = RecordingPolicy(script(*replies))
    corrected_runs.correct(folder, seen, [], config)
    shown = seen.seen
    for count in (1, 2):
        recording = RecordingPolicy(script(*replies, STOP, STOP, STOP))
        corrected_runs.correct(folder, recording, [*said[:count], GO_ON], config)
        shown.append(recording.seen[len(replies)])
    for sample, observation in zip([*got[:2], *got[3:]], shown, strict=True):
        conversation = load_prompts().conversation(observation)
        assert [each.text for each in sample.conversation] == [each.text for each in conversation]
        for ours, its in zip(sample.conversation, conversation, strict=True):
            assert np.array_equal(ours.picture, its.picture)
        assert np.array_equal(sample.mask, observation.mask)
        assert sample.truth is None


def test_of_other_replies_nothing_is_learned(folder):
    run = corrected_runs.label(corrected_runs.correct(folder, [RIGHT, MORE, STOP], ["Terminate"]), folder)
    samples = write(folder, run.record)
    assert [samples[index].reply for index in range(len(samples))] == [STOP]
    assert np.array_equal(samples[0].truth, decode(run.record.mask))
    assert samples[0].rejected is None


def test_a_person_s_actions_have_no_thought_to_learn_alone(folder):
    run = corrected_runs.label(corrected_runs.correct(folder, [RIGHT, STOP], [OUT]), folder)
    with pytest.raises(InputError, match=r"got a person's action .* mistakes = 'mask', expected 'correct'"):
        Samples([scripted_local.write_records(folder, run.record)], load_prompts(), mistakes="mask")
