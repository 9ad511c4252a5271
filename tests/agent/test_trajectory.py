"""Trajectory records: versioned, complete, readable, and replayed bit for bit."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fakes import STOP, UNDO, CountingSegmenter, negative, positive, script

from ibisagent.agent import Box, Click, Guard, ImageStore, LoopConfig, OraclePolicy, RunStore, build_graph
from ibisagent.agent.replay import replay
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.agent.trajectory_files import read_trajectories, write_trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import decode, encode


def build_record(policy, pixels, segmenter="disk", config=None, truth=None, **given):
    graph = build_graph(policy, segmenter, config)
    return build_trajectory(graph, graph.invoke({"image": pixels, "request": "Segment.", **given}), truth=truth)


REPLIES = {
    "click": (positive(0.5, 0.5), STOP),
    "undo": (positive(0.2, 0.2), UNDO, positive(0.5, 0.5), STOP),
    "unparseable": ("hm", positive(0.5, 0.5), "hm", negative(0.1, 0.1), STOP),
    "loop": (positive(0.5, 0.5), positive(0.5, 0.5), positive(0.5, 0.5)),
    "absent": (STOP,),
    "failed": (positive(0.5, 0.5),),
    "odd": ("Positive Point (1.03, 0.5) \ud800 \u20ac", STOP),
}


@pytest.mark.parametrize("segmenter", ["disk", "geodesic", "geocut"])
@pytest.mark.parametrize("replies", REPLIES.values(), ids=REPLIES)
def test_every_mask_is_reproduced_after_the_way_through_a_file(replies, segmenter, pixels, tmp_path):
    record = build_record(script(*replies), pixels, segmenter)
    write_trajectory(tmp_path / "t.json", record)
    (read,) = read_trajectories(tmp_path / "t.json")
    assert read == record
    replayed = replay(read, segmenter, open_image(pixels))
    assert replayed.differences == ()
    assert (replayed.run.stop, replayed.run.mask) == (record.stop, record.mask)


def test_prompts_initial_mask_and_guard_are_replayed(pixels, truth):
    given = {"prompts": [Click(1 / 3, 2 / 7), Box(0.1, 0.1, 0.4, 0.4)], "initial_mask": truth}
    config = LoopConfig(guard=Guard(collapse=0.5), protect=False)
    record = build_record(script(negative(0.5, 0.5), STOP), pixels, CountingSegmenter(radius=1.0), config, **given)
    assert [step.actor for step in record.steps] == ["person", "person", "policy", "guard", "policy"]
    assert replay(record, CountingSegmenter(radius=1.0), open_image(pixels)).differences == ()


def test_a_difference_is_told(pixels):
    record = build_record(script(positive(0.5, 0.5), STOP), pixels)
    (first, *_) = replay(record, CountingSegmenter(radius=0.3), open_image(pixels)).differences
    assert first.startswith("segmenter: ")


def test_the_record_says_all_that_happened(pixels, truth):
    record = build_record(OraclePolicy(truth), pixels, "geodesic", truth=truth)
    assert record.version == 2
    assert record.segmenter.startswith("geodesic-")
    assert record.geometry == {"height": 96, "width": 128, "spacing_mm": None}
    assert np.array_equal(decode(record.truth), truth)
    assert record.steps[0].thought == "Nothing is marked yet; the target is here."
    assert record.steps[0].reply.startswith("<think>")
    assert record.steps[0].repairs == ()
    assert record.measurements["area_px"] == decode(record.mask).sum()
    assert set(record.steps[0].seconds) == {"policy", "segmenter"}
    json.dumps(record.to_json(), allow_nan=False)


def test_repairs_are_listed(pixels):
    record = build_record(script("Positive Point (1.03, 0.5)", STOP), pixels)
    assert any("clamped" in repair for repair in record.steps[0].repairs)
    assert record.steps[0].action["x"] == 1.0


def test_jsonl_holds_one_record_a_line(pixels, tmp_path):
    records = [build_record(script(*replies), pixels) for replies in (REPLIES["click"], REPLIES["undo"])]
    lines = [json.dumps(record.to_json()) for record in records]
    (tmp_path / "t.jsonl").write_text("\n".join(lines) + "\n\n")
    assert list(read_trajectories(tmp_path / "t.jsonl")) == records


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a readable"),
        ("[1]", "not a trajectory"),
        ("{}", "not a trajectory"),
        ('{"version": 99, "steps": []}', "version 99"),
        ('{"version": 1, "steps": []}', "version 1: this package reads version 2"),
        ('{"version": 2, "steps": [{}]}', "not a trajectory of version 2"),
        ('{"version": 2, "steps": []}', "not a trajectory of version 2"),
        ('{"version": 2, "steps": [], "targets": [7]}', "not a trajectory of version 2"),
        ("[" * 100_000, "not a readable"),
        ("\x00\xff", "not a"),
    ],
)
def test_what_is_no_record_is_told_in_one_line(text, said, tmp_path):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        list(read_trajectories(tmp_path / "t.json"))
    assert str(caught.value).startswith("t.json")
    assert "\n" not in str(caught.value)


ANY_REPLY = (positive(0.3, 0.4), positive(0.6, 0.5), negative(0.5, 0.5), UNDO, "hm", STOP)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from([positive(0.3, 0.4), positive(0.6, 0.5), negative(0.5, 0.5), UNDO, "hm", STOP]), max_size=9
    )
)
def test_any_run_replays(pixels, replies):
    record = build_record(script(*replies), pixels)
    assert replay(record, "disk", open_image(pixels)).differences == ()
    assert Trajectory.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_a_run_can_be_recorded_from_a_folder_by_another_process(pixels, truth, tmp_path):
    graph = build_graph(OraclePolicy(truth), "disk", store=RunStore(tmp_path / "s"), images=ImageStore(tmp_path / "i"))
    ended = graph.invoke({"image": pixels, "request": "Segment."})
    here = build_trajectory(graph, ended)
    fresh = build_graph(OraclePolicy(truth), "disk", store=RunStore(tmp_path / "s"), images=ImageStore(tmp_path / "i"))
    assert build_trajectory(fresh, ended) == here


def test_stores_tell_what_they_do_not_hold(pixels, tmp_path):
    with pytest.raises(InputError, match="ImageStore a folder"):
        ImageStore().open({"sha": "0" * 32, "uri": None})
    path = tmp_path / "scan.png"
    from PIL import Image

    Image.fromarray(pixels).save(path)
    reference = {"sha": "0" * 32, "uri": str(path)}
    with pytest.raises(InputError, match="changed since"):
        ImageStore().open(reference)


def test_no_path_of_this_machine_is_in_a_record(pixels, tmp_path):
    from PIL import Image

    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in/scan.png")
    graph = build_graph(script(STOP), "disk")
    ended = graph.invoke({"image": tmp_path / "in/scan.png", "request": "Segment."})
    record = build_trajectory(graph, ended, folder=tmp_path / "out")
    assert record.image["uri"] == "../in/scan.png"
    assert str(tmp_path) not in json.dumps(record.to_json())


def test_masks_in_a_record_are_coco(pixels):
    record = build_record(script(positive(0.5, 0.5), STOP), pixels)
    assert encode(decode(record.mask)) == record.mask
