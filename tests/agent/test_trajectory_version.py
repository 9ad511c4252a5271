"""Version 2 of the record has room for several targets, a view, instances and an answer: written by hand, read back."""

import json
from dataclasses import replace

import numpy as np
import pytest
from support.fakes import STOP, RecordingPolicy, positive, script
from support.records import with_target

from ibisagent.agent import build_graph
from ibisagent.agent.coordinates import Rectangle
from ibisagent.agent.observation import build_observation
from ibisagent.agent.overlay import overlay
from ibisagent.agent.replay import replay
from ibisagent.agent.state import active_target, update_target
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.agent.trajectory_files import read_trajectories, write_trajectory
from ibisagent.evals.trajectories import trajectory_metrics
from ibisagent.tools.clicks import Click
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import encode


def rectangle(top, left, bottom, right):
    mask = np.zeros((48, 64), np.bool_)
    mask[top:bottom, left:right] = True
    return encode(mask)


LIVER, SPLEEN, NOTHING = rectangle(4, 4, 30, 30), rectangle(10, 40, 20, 60), rectangle(0, 0, 0, 0)


def step(index, action, mask, **fields):
    return {
        "index": index,
        "target": "target",
        "view": None,
        "actor": "policy",
        "origin": "reply",
        "action": action,
        "outcome": "applied",
        "error": None,
        "thought": "There.",
        "reply": "<think>There.</think>",
        "repairs": [],
        "undone": [],
        "mask": mask,
        "score": None,
        "seconds": {"policy": 0.1, "segmenter": 0.2},
        "reverts": None,
        "restores": None,
        "completion": {"finish_reason": "stop"},
    } | fields


def target(name, mask, **fields):
    return {
        "name": name,
        "start": NOTHING,
        "has_initial_mask": False,
        "mask": mask,
        "score": 0.5,
        "prompts": [{"type": "point", "x": 0.2, "y": 0.3, "positive": True, "target": None}],
        "measurements": {"area_px": 7},
        "instances": None,
        "truth": None,
        "proposal": None,
    } | fields


def record(**fields):
    return {
        "version": 2,
        "made_by": "ibisagent 0.1.0",
        "image": {"sha": "0" * 32, "uri": "scan.png", "slice": None, "window": None, "spacing_mm": None},
        "geometry": {"height": 48, "width": 64, "spacing_mm": None},
        "request": "Segment it.",
        "kind": "segment",
        "request_index": 1,
        "seed": 0,
        "policy": "hand",
        "weights": "0123456789ab",
        "sampling": {"temperature": 1.0, "seed": 3},
        "segmenter": "disk-1 radius=0.05",
        "segmenter_name": "disk",
        "config": {"max_steps": 20},
        "targets": [target("target", LIVER)],
        "active": "target",
        "steps": [step(1, POINT, LIVER), step(2, {"type": "terminate", "target": None}, LIVER)],
        "stop": "terminated",
        "error": None,
        "answer": "It is segmented.",
        "seconds": 0.6,
        "tokens": 120,
        "fork_step": None,
    } | fields


POINT = {"type": "point", "x": 0.2, "y": 0.3, "positive": True, "target": None}
TWO_TARGETS = record(
    targets=[target("liver", LIVER, truth=LIVER), target("spleen", SPLEEN, start=LIVER, has_initial_mask=True)],
    active="spleen",
    steps=[
        step(1, POINT | {"target": "liver"}, LIVER, target="liver"),
        step(2, POINT | {"x": 0.8, "target": "spleen"}, SPLEEN, target="spleen", origin="request", actor="person"),
        step(3, None, SPLEEN, target="spleen", outcome="unparseable", error="no action"),
    ],
)
ZOOMED = record(
    steps=[
        step(1, {"type": "zoom", "x0": 0.5, "y0": 0.0, "x1": 1.0, "y1": 0.5, "target": None}, NOTHING),
        step(2, POINT, LIVER, view=[0.5, 0.0, 1.0, 0.5]),
    ]
)
INSTANCES = record(
    targets=[target("nuclei", LIVER, instances=[rectangle(4, 4, 9, 9), rectangle(20, 20, 30, 30)])],
    active="nuclei",
    steps=[step(1, {"type": "similar", "x": 0.2, "y": 0.3, "positive": True, "target": None}, LIVER, target="nuclei")],
)
QUESTION = record(
    kind="question",
    targets=[target("target", NOTHING, prompts=[], score=None)],
    steps=[step(1, {"type": "terminate", "target": None}, NOTHING)],
    stop="answered",
    answer="Two kidneys.",
)
BY_HAND = {"two targets": TWO_TARGETS, "zoomed": ZOOMED, "instances": INSTANCES, "question": QUESTION}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_hand_written_record_is_read_and_written_back_whole(name, tmp_path):
    data = BY_HAND[name]
    (tmp_path / "by-hand.jsonl").write_text(f"{json.dumps(data)}\n")
    (read,) = read_trajectories(tmp_path / "by-hand.jsonl")
    assert read.to_json() == data
    write_trajectory(tmp_path / "again.json", read)
    assert list(read_trajectories(tmp_path / "again.json")) == [read]


def test_a_record_of_several_targets_speaks_of_the_active_one():
    read = Trajectory.from_json(TWO_TARGETS)
    assert (read.target.name, read.mask, read.start, read.has_initial_mask) == ("spleen", SPLEEN, LIVER, True)
    assert (read.truth, read.targets[0].truth) == (None, LIVER)
    assert trajectory_metrics(read).valid_actions == 1  # of two replies


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"active": "heart"}, r"got active on target 'heart', expected one of \['target'\]"),
        ({"steps": [step(1, POINT, LIVER, target="heart")]}, "got step 1 on target 'heart'"),
        ({"targets": [target("target", LIVER)] * 2}, "expected each name once"),
        ({"steps": [step(1, POINT, LIVER, outcome="fine")]}, "got step 1 with outcome 'fine', expected one of applied"),
        ({"steps": [step(1, POINT, LIVER, origin="sky")]}, "got step 1 with origin 'sky', expected one of request"),
        ({"steps": [step(1, POINT, LIVER, view=[0.5, 0, 0.5, 1])]}, "view: got"),
        ({"steps": [step(1, POINT, LIVER, view="all")]}, "view: got 'all'"),
        ({"targets": []}, "got active on target 'target', expected one of"),
        ({"targets": None}, "not a trajectory of version 2"),
        ({"targets": [target([], LIVER)]}, "not a trajectory of version 2|got active"),
        ({"targets": [target("target", None)]}, "not a trajectory of version 2"),
        (
            {"targets": [target("target", encode(np.zeros((4, 4), bool)))]},
            r"of size \[4, 4\], expected",
        ),
        ({"segmenter_name": None}, "segmenter_name is NoneType, expected str"),
        ({"image": "x"}, "image is str, expected dict"),
        ({"config": []}, "config is list, expected dict"),
        ({"seed": 10**400}, "seed is out of range"),
        ({"stop": "nonsense"}, "stop is 'nonsense', expected one of terminated"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused_in_a_line(fields, said):
    with pytest.raises(InputError, match=said) as caught:
        Trajectory.from_json(record(**fields))
    assert "\n" not in str(caught.value)


def test_a_run_records_how_its_policy_samples_and_its_weights(pixels):
    policy = script(positive(0.3, 0.5), STOP)
    policy.sampling, policy.weights_hash = {"temperature": 0.7}, "abc"
    graph = build_graph(policy, "disk")
    made = build_trajectory(graph, graph.invoke({"image": pixels, "request": "x"}))
    assert (made.sampling, made.weights, made.segmenter_name) == ({"temperature": 0.7}, "abc", "disk")
    plain = build_trajectory(graph, graph.invoke({"image": pixels, "request": "x"}))
    assert replace(plain, seconds=0, steps=()) == replace(made, seconds=0, steps=())


def test_what_a_replay_cannot_repeat_it_refuses(pixels):
    image = open_image(pixels)
    with pytest.raises(InputError, match="got 2 targets, expected one target"):
        replay(Trajectory.from_json(TWO_TARGETS), "disk", image)
    with pytest.raises(InputError, match="a part of the picture"):
        replay(Trajectory.from_json(ZOOMED), "disk", image)


def with_first_step(made, **fields):
    return replace(made, steps=(replace(made.steps[0], **fields), *made.steps[1:]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: with_target(made, start=made.mask), "first mask: it differs"),
        (lambda made: with_target(made, prompts=()), "active prompts: they differ"),
        (
            lambda made: replace(made, steps=(replace(made.steps[0], outcome="repeated"), *made.steps[1:])),
            "repeated rec",
        ),
        (lambda made: replace(made, steps=(replace(made.steps[0], score=0.123), *made.steps[1:])), "score 0.123"),
        (
            lambda made: replace(made, segmenter="geocut-1 side=256"),
            "recorded with geocut-1, replayed with geo",
        ),
    ],
)
def test_a_replay_tells_every_difference(change, said, pixels):
    graph = build_graph(script(positive(0.3, 0.5), STOP), "geocut")
    made = build_trajectory(graph, graph.invoke({"image": pixels, "request": "x"}))
    image = open_image(pixels)
    assert replay(made, "geocut", image).differences == ()
    assert any(said in line for line in replay(change(made), "geocut", image).differences)


# A view: what a zoomed state shows, and where its clicks land


def in_view(pixels, policy, view):
    """The state of a run after its start, zoomed."""
    graph = build_graph(policy, "disk")
    started = {"image": pixels, "request": "x", "prompts": [Click(0.1, 0.1)]}
    *_, state = graph.stream(started, stream_mode="values", output_keys=None, interrupt_before=["reason"])
    state = {**state, "kind": "segment", "feedback": None}
    return graph, state | {"run": state["run"] | {"view": view}}


def test_a_view_shows_its_part_of_the_picture_and_reads_clicks_in_it(pixels):
    graph, state = in_view(pixels, RecordingPolicy(script(STOP)), [0.5, 0.25, 1.0, 0.75])
    seen = build_observation(state, graph.components)
    height, width = pixels.shape
    whole = overlay(pixels, graph.components.view.mask(active_target(state)["mask"]))
    assert np.array_equal(seen.picture, whole[height // 4 : 3 * height // 4, width // 2 :])
    assert seen.mask.shape == pixels.shape
    assert seen.frame.view == Rectangle(0.5, 0.25, 1.0, 0.75)
    assert seen.frame.read([0.5, 0.5]) == ((0.75, 0.5), ())
    assert seen.frame.write((0.75, 0.5)) == "(0.5000, 0.5000)"
    assert seen.frame.write((0.1, 0.5)) == "(0.0000, 0.5000)"


def test_a_view_off_the_pixels_edges_reads_what_it_shows(pixels):
    graph, state = in_view(pixels, script(STOP), [0.333, 0.1, 0.337, 0.9])
    seen = build_observation(state, graph.components)
    width = pixels.shape[1]
    left, right = np.floor(0.333 * width), np.ceil(0.337 * width)
    assert seen.picture.shape[1] == right - left
    assert seen.frame.read([0.0, 0.0])[0][0] == left / width
    assert seen.frame.read([1.0, 0.0])[0][0] == right / width


def test_only_the_active_target_changes(pixels):
    _, state = in_view(pixels, script(STOP), None)
    other = state["target_states"][0] | {"name": "other"}
    two = state | {"target_states": [other, *state["target_states"]]}
    changed = two | update_target(two, score=0.25)
    assert [each["score"] for each in changed["target_states"]] == [None, 0.25]
    assert two["target_states"][1]["score"] is None
