"""Several targets in one label map: who gets a pixel does not depend on who came first."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from support.fakes import STOP, FunctionPolicy, positive

from ibisagent.agent import Box, Click, build_graph
from ibisagent.agent.integrations import FanOutState, ImageCatalog, fan_out, merge_labels, render_label_map
from ibisagent.agent.integrations.multi_target import merge_by_target
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.rle import decode, encode


def one(mask, confidence=None):
    return {"rle": encode(np.asarray(mask, bool)), "confidence": confidence}


MASKS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(arrays(bool, (4, 5)), st.sampled_from([None, 0.2, 0.9])),
    min_size=1,
    max_size=5,
)


@settings(max_examples=100, deadline=None)
@given(MASKS, st.randoms())
def test_a_label_map_is_the_same_in_any_order_and_a_partition_of_the_union(masks, chance):
    names = list(masks)
    labels = merge_labels({name: one(*masks[name]) for name in names})
    chance.shuffle(names)
    assert merge_labels({name: one(*masks[name]) for name in names}) == labels
    painted = render_label_map(labels)
    assert np.array_equal(painted > 0, np.any([mask for mask, _ in masks.values()], axis=0))
    for name, (mask, _) in masks.items():
        owned = painted == labels["values"][name]
        assert np.array_equal(owned, decode(labels["rles"][name]))
        assert not (owned & ~mask).any()
        assert labels["lost_pixels"][name] == (mask & ~owned).sum()


def test_the_rule_for_overlaps():
    organ, lesion = np.ones((4, 4), bool), np.zeros((4, 4), bool)
    lesion[1, 1] = True
    inside = merge_labels({"liver": one(organ, 0.99), "lesion": one(lesion, 0.1)})
    assert render_label_map(inside)[1, 1] == inside["values"]["lesion"] == 1
    assert inside["lost_pixels"] == {"lesion": 0, "liver": 1}
    same_size = merge_labels({"a": one(lesion, 0.1), "b": one(lesion, 0.9)})
    assert render_label_map(same_size)[1, 1] == same_size["values"]["b"]
    no_confidence = merge_labels({"b": one(lesion), "a": one(lesion)})
    assert render_label_map(no_confidence)[1, 1] == no_confidence["values"]["a"]


def test_more_labels_than_a_byte_holds():
    many = {f"{number:03}": one(np.arange(300).reshape(20, 15) == number) for number in range(300)}
    painted = render_label_map(merge_labels(many))
    assert painted.dtype == np.uint16
    assert np.array_equal(painted.ravel(), np.arange(1, 301))


@pytest.mark.parametrize("masks", [{}, {"a": one([[1]]), "b": one([[1, 1]])}])
def test_masks_that_do_not_belong_together_are_refused(masks):
    with pytest.raises(InputError, match=r"label map: got masks of [02] sizes"):
        merge_labels(masks)


def test_the_reducer_joins_in_any_order_and_begins_anew():
    parts = [{"c": 1}, {"a": 2}, {"b": 3}]
    for order in itertools.permutations(parts):
        known = merge_by_target({"old": 0}, None)
        for part in order:
            known = merge_by_target(known, part)
        assert list(known.items()) == [("a", 2), ("b", 3), ("c", 1)]


PLACES = {"liver": (0.3, 0.3), "spleen": (0.7, 0.6), "vessel": (0.72, 0.62)}
BY_NAME = FunctionPolicy(
    lambda look: STOP if look.prompts else positive(*next(at for name, at in PLACES.items() if name in look.request))
)


@pytest.fixture
def fan(pixels):
    return fan_out(build_graph(BY_NAME, "disk", images=ImageCatalog({"scan": pixels})))


def test_targets_are_runs_of_their_own_in_one_map(fan):
    ended = fan.invoke({"image": "scan", "targets": list(PLACES)})
    for names in itertools.permutations(PLACES):
        assert fan.invoke({"image": "scan", "targets": list(names)}) == ended
    painted = render_label_map(ended["labels"])
    assert sorted(ended["segmentations"]) == list(ended["labels"]["values"]) == sorted(PLACES)
    assert painted[28, 38] == ended["labels"]["values"]["liver"]
    assert ended["labels"]["lost_pixels"]["vessel"] + ended["labels"]["lost_pixels"]["spleen"] > 0


def test_a_second_fan_out_on_a_thread_takes_the_place_of_the_first(pixels):
    thread = {"configurable": {"thread_id": "1"}}
    loop = build_graph(BY_NAME, "disk", images=ImageCatalog({"scan": pixels, "next": pixels[:50]}))
    parent = StateGraph(FanOutState).add_node("segment", fan_out(loop)).add_edge(START, "segment")
    for graph in (fan_out(loop, checkpointer=InMemorySaver()), parent.compile(checkpointer=InMemorySaver())):
        graph.invoke({"image": "scan", "targets": ["liver", "vessel"]}, thread)
        ended = graph.invoke({"image": "next", "targets": ["spleen"]}, thread)
        assert list(ended["segmentations"]) == list(ended["labels"]["values"]) == ["spleen"]
        assert ended["labels"]["size"] == [50, 128]


def test_a_target_may_bring_its_request_prompts_and_mask(fan, pixels, truth):
    targets = {
        "by words": "Segment the liver.",
        "by a click": {"prompts": [Click(0.1, 0.9)]},
        "by a box": {
            "request": "Segment it.",
            "prompts": [{"type": "box", "x0": 0.5, "y0": 0.5, "x1": 0.7, "y1": 0.8}],
        },
        "by a mask": {"request": "Segment the spleen.", "initial_mask": encode(truth)},
    }
    found = fan.invoke({"image": "scan", "targets": targets})["segmentations"]
    assert {name: one["request"] for name, one in found.items()}["by a click"] == "Segment the by a click."
    assert decode(found["by a click"]["rle"])[86, 12]
    assert decode(found["by a box"]["rle"])[60, 76]
    assert decode(found["by a mask"]["rle"])[truth].all()


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ([], "got no list of them"),
        (None, "got no list of them"),
        ("liver", "got no list of them"),
        (["liver", "liver"], "got a name twice"),
        ({"liver": {"click": Box(0, 0, 1, 1)}}, "got 'click' for 'liver'"),
        ({"liver": {"prompts": ["here"]}}, "prompt 'here'"),
    ],
)
def test_targets_that_cannot_be_read_are_refused_before_anything_runs(fan, targets, words):
    with pytest.raises(InputError, match=words):
        fan.invoke({"image": "scan", "targets": targets})
