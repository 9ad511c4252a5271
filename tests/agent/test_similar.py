"""Examples, "all like this": in a run, its record and its replay, and refused where a segmenter takes none."""

from dataclasses import replace

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from support.blobs import COUNT, blob_picture, blobs, example
from support.fakes import STOP, UNDO, CountingSegmenter, RecordingPolicy, negative, positive, script

from ibisagent.agent import Box, Click, LoopConfig, PersonPolicy, Redo, Similar, build_graph
from ibisagent.agent.actions import KINDS, POLICY_KINDS, write_reply
from ibisagent.agent.branches import fork
from ibisagent.agent.config import PRESETS, preset
from ibisagent.agent.integrations import fan_out, segmentation_node, shared_state_graph, summarize
from ibisagent.agent.prompting import load_prompts
from ibisagent.agent.replay import replay
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.evals.trajectories import trajectory_metrics
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import area, decode

THREAD = {"configurable": {"thread_id": "1"}}
WAIT = {"interrupt_before": ["reason"]}
ON = LoopConfig(actions=POLICY_KINDS)
REFUSAL = "segmenter 'disk': got Similar (all like this), expected a point or a box"
ALL = write_reply("All of them.", example(5))
NOT_ALL = write_reply("Not the background.", Similar(0.02, 0.02, False))


@pytest.fixture(scope="module")
def picture():
    return blob_picture()


def run(picture, *replies, segmenter="geocut", config=ON, **given):
    graph = build_graph(script(*replies), segmenter, config)
    return graph, graph.invoke({"image": picture, "request": "Segment the nuclei.", **given})


def test_a_person_s_example_marks_everything_like_it_and_is_replayed_bit_for_bit(picture):
    graph, ended = run(picture, STOP, config=LoopConfig(), prompts=[example(5), Similar(0.02, 0.02, False)])
    assert iou(decode(ended["mask"]), blobs()) > 0.8
    record = Trajectory.from_json(build_trajectory(graph, ended, truth=blobs()).to_json())
    assert record.version == 2
    plain = {"type": "similar", "x": example(5).x, "y": example(5).y, "positive": True}
    assert record.steps[0].action == record.target.prompts[0] == plain
    assert [step.actor for step in record.steps] == ["person", "person", "policy"]
    assert replay(record, "geocut", open_image(picture)).differences == ()


def test_a_policy_that_is_offered_examples_gives_them(picture):
    graph, ended = run(picture, ALL, NOT_ALL, UNDO, positive(0.5, 0.5), STOP)
    assert [step["outcome"] for step in ended["steps"]] == ["applied"] * 5
    assert [step["reverts"] for step in ended["steps"]] == [None, None, 2, None, None]
    assert ended["steps"][2]["mask"] == ended["steps"][0]["mask"]
    record = build_trajectory(graph, ended, truth=blobs())
    assert replay(record, "geocut", open_image(picture)).differences == ()
    figures = trajectory_metrics(record)
    assert (figures.prompts, figures.fit.hits, figures.fit.first_click_hit) == (3, 2, True)  # the point hits nothing


def test_the_same_example_on_the_same_mask_is_a_repetition_and_a_point_there_is_not(picture):
    point = write_reply("Here.", Click(example(5).x, example(5).y))
    ended = run(picture, ALL, UNDO, point, STOP)[1]
    assert ended["steps"][0]["mask"] != ended["steps"][2]["mask"]
    assert run(picture, ALL, ALL, ALL, STOP, segmenter=TakesAll())[1]["stop"] == "loop"
    assert run(picture, ALL, ALL, point, STOP, segmenter=TakesAll())[1]["stop"] == "terminated"
    assert run(picture, point, point, ALL, STOP, segmenter=TakesAll())[1]["stop"] == "terminated"


def test_what_was_undone_is_said_in_its_spelling(picture):
    policy = RecordingPolicy(script(ALL, UNDO, STOP.replace("There it is.", "Unknown.")))
    build_graph(policy, "geocut", ON).invoke({"image": picture, "request": "Segment the nuclei."})
    spelling = ALL.partition("<action>")[2].partition("</action>")[0]
    assert f"Undone: {spelling}. Choose differently." in load_prompts().user(policy.seen[2])


def test_it_is_off_unless_switched_on(picture):
    assert "similar" not in {kind for config in PRESETS.values() for kind in config.actions}
    policy = RecordingPolicy(script(ALL, STOP))
    ended = build_graph(policy, "geocut").invoke({"image": picture, "request": "Segment the nuclei."})
    assert ended["steps"][0]["outcome"] == "unparseable"
    assert ended["steps"][0]["error"].startswith("similar is switched off, expected one of: ")
    assert "similar" not in load_prompts().system(policy.seen[0]).lower()
    told = load_prompts().system(replace(policy.seen[0], actions=POLICY_KINDS))
    assert "- Similar (x, y): an example; everything in the picture that looks like this place" in told
    lines = "".join(f"- {line}\n" for line in load_prompts().actions["similar"].splitlines())
    assert told.replace(lines, "") == load_prompts().system(replace(policy.seen[0], actions=KINDS))


def test_a_prompt_file_without_it_switches_it_off(tmp_path, picture):
    chats = pytest.importorskip("ibisagent.agent.policies.chat")
    models = pytest.importorskip("langchain_core.language_models.fake_chat_models")
    ours = load_prompts()
    lines = [f'{key} = "{key} $actions"' for key in ours.texts]
    lines += ["[actions]", *[f'{kind} = "may {kind}"' for kind in KINDS]]
    file = tmp_path / "prompts.toml"
    file.write_text("\n".join([*lines, "[coordinates]", *[f'{name} = "{name}"' for name in ours.coordinates]]))
    outcomes = []
    for prompts in (load_prompts(file), ours):
        policy = chats.ChatPolicy(models.FakeListChatModel(responses=[ALL, STOP]), prompts=prompts)
        graph = build_graph(policy, "geocut", ON)
        outcomes.append(graph.invoke({"image": picture, "request": "Segment the nuclei."})["steps"][0]["outcome"])
    assert outcomes == ["unparseable", "applied"]


@pytest.mark.parametrize("segmenter", ["disk", "geodesic"])
def test_a_policy_is_not_offered_what_the_segmenter_does_not_take_and_its_run_goes_on(segmenter, picture):
    policy = RecordingPolicy(script(ALL, positive(0.5, 0.5), STOP))
    graph = build_graph(policy, segmenter, ON)
    ended = graph.invoke({"image": picture, "request": "Segment the nuclei."})
    assert policy.seen[0].actions == KINDS
    assert [step["outcome"] for step in ended["steps"]] == ["unparseable", "applied", "applied"]
    assert ended["stop"] == "terminated"
    assert build_trajectory(graph, ended).config["actions"] == list(KINDS)


def test_a_box_is_not_offered_where_a_segmenter_takes_points_alone(picture):
    class PointSegmenter(CountingSegmenter):
        prompts = ("point",)

    policy = RecordingPolicy(script(positive(0.5, 0.5), STOP))
    graph = build_graph(policy, PointSegmenter())
    graph.invoke({"image": picture, "request": "Segment the nuclei."})
    assert "box" not in policy.seen[0].actions
    with pytest.raises(InputError, match="got a box, expected a point; give those"):
        graph.invoke({"image": picture, "request": "Segment.", "prompts": [Box(0.1, 0.1, 0.9, 0.9)]})


def test_a_person_s_example_is_refused_before_anything_runs(picture):
    segmenter, policy = CountingSegmenter(), RecordingPolicy(script(positive(0.5, 0.5), STOP, STOP))
    graph = build_graph(policy, segmenter, checkpointer=InMemorySaver())
    ask = {"image": picture, "request": "Segment."}
    with pytest.raises(InputError) as caught:
        graph.invoke(ask | {"prompts": [Click(0.5, 0.5), example(5)]}, THREAD)
    assert str(caught.value).startswith(REFUSAL)
    assert "\n" not in str(caught.value)
    assert (segmenter.predictions, policy.seen, graph.get_state(THREAD).values) == (0, [], {})
    graph.invoke(ask, THREAD)
    for refused in (example(5), "Similar (0.5, 0.5)", {"type": "similar", "x": 0.5, "y": 0.5}):
        with pytest.raises(InputError, match="got Similar"):
            intervene(graph, THREAD, refused)
    with pytest.raises(InputError, match="got Similar"):
        fork(graph, THREAD, step=1, action=example(5))
    assert len(graph.get_state(THREAD).values["steps"]) == 2


def test_a_review_and_a_person_as_policy_ask_again(picture):
    graph = build_graph(script(positive(0.5, 0.5), STOP), "disk", LoopConfig(review=True), checkpointer=InMemorySaver())
    graph.invoke({"image": picture, "request": "Segment."}, THREAD)
    asked = graph.invoke(Command(resume="Similar (0.5, 0.5)"), THREAD)["__interrupt__"][0].value
    assert asked["error"].startswith(REFUSAL)
    person = build_graph(PersonPolicy(), "disk", checkpointer=InMemorySaver())
    person.invoke({"image": picture, "request": "Segment."}, THREAD)
    asked = person.invoke(Command(resume="Similar (0.5, 0.5)"), THREAD)["__interrupt__"][0].value
    assert asked["feedback"].startswith(REFUSAL)


def test_a_person_s_examples_between_a_policy_s_steps(picture):
    """Undo, redo, a fork; the policy may have none of its own."""
    replies = (positive(example(5).x, example(5).y), STOP, STOP, STOP)
    graph = build_graph(script(*replies), "geocut", checkpointer=InMemorySaver())
    graph.invoke({"image": picture, "request": "Segment the nuclei."}, THREAD)
    after = intervene(graph, THREAD, example(0), **WAIT)
    assert summarize(graph, after).instances == COUNT
    undone = intervene(graph, THREAD, "Backtrack", **WAIT)
    assert (undone["steps"][-1]["mask"], undone["steps"][-1]["reverts"]) == (undone["steps"][0]["mask"], 3)
    assert summarize(graph, undone).instances is None
    redone = intervene(graph, THREAD, Redo(), **WAIT)
    assert redone["steps"][-1]["mask"] == after["steps"][-1]["mask"]
    ended = graph.invoke(None, THREAD)
    assert f"The mask has {COUNT} separate objects." in summarize(graph, ended).text
    assert replay(build_trajectory(graph, ended), "geocut", open_image(picture)).differences == ()
    graph.invoke(None, fork(graph, THREAD, step=1, action=example(3)))
    other = build_trajectory(graph, graph.get_state(THREAD).values)
    assert other.steps[0].action["type"] == "similar"
    assert replay(other, "geocut", open_image(picture)).differences == ()


def test_the_clicked_pixel_of_a_person_s_example_is_protected(picture):
    him, not_there = example(5), Similar(0.02, 0.02, False)
    taken_out = negative(him.x, him.y)
    filled = "<think>All.</think>\n<action>Box (0.0000, 0.0000, 1.0000, 1.0000)</action>"
    for reply in (taken_out, filled):
        graph = build_graph(script(reply, STOP), TakesAll())
        start = {"image": picture, "request": "Segment.", "prompts": [him, not_there]}
        ended = graph.invoke(start)
        assert [step["actor"] for step in ended["steps"]] == ["person", "person", "policy", "protection", "policy"]
        mask = decode(ended["mask"])
        assert mask[int(him.y * 96), int(him.x * 128)]
        assert not mask[int(0.02 * 96), int(0.02 * 128)]
    free = build_graph(script(negative(0.9, 0.9), STOP), TakesAll()).invoke(start)  # another of what looked alike
    assert [step["actor"] for step in free["steps"]] == ["person", "person", "policy", "policy"]
    kept = build_graph(script(UNDO, STOP), TakesAll()).invoke(start)
    assert "a person's and stays" in kept["steps"][2]["error"]


class TakesAll(CountingSegmenter):
    """Paints a disc for an example as for a click, and takes every kind of prompt."""

    prompts = ("point", "box", "similar")


def test_a_parent_s_prompts_may_be_examples(picture):
    from langgraph.graph import START, StateGraph

    from ibisagent.agent.state import State

    graph = build_graph(script(STOP), "geocut")
    start = {"image": picture, "request": "Segment the nuclei.", "prompts": [example(5)]}
    expected = graph.invoke(start)["mask"]
    parent = StateGraph(State)
    parent.add_node("inner", shared_state_graph(graph))
    parent.add_edge(START, "inner")
    given = {**start, "image": graph.components.images.to_reference(picture)}
    assert parent.compile().invoke(given)["mask"] == expected
    node = StateGraph(dict)
    node.add_node("inner", segmentation_node(graph))
    node.add_edge(START, "inner")
    told = node.compile().invoke(given)["segmentation"]
    assert (told["rle"], told["instances"]) == (expected, COUNT)
    fan = fan_out(graph).invoke({"image": picture, "targets": {"nuclei": {"prompts": [example(5)]}}})
    assert fan["segmentations"]["nuclei"]["rle"] == expected
    segmenter = CountingSegmenter()
    with pytest.raises(InputError, match="got Similar"):
        fan_out(build_graph(script(STOP), segmenter)).invoke(
            {"image": picture, "targets": {"a": {"prompts": [Click(0.5, 0.5)]}, "b": {"prompts": [example(5)]}}}
        )
    assert segmenter.predictions == 0


def test_no_prompt_of_another_kind_reaches_a_segmenter(picture):
    """Not by a record of another segmenter either."""
    graph, ended = run(picture, STOP, config=LoopConfig(), prompts=[example(5)])
    with pytest.raises(InputError, match="got Similar"):
        replay(build_trajectory(graph, ended), "disk", open_image(picture))
    memo = build_graph(script(STOP), "disk").components.memo
    with pytest.raises(InputError, match="got Similar"):
        memo.predict(open_image(picture), None, (example(5),))
    assert area(memo.predict(open_image(picture), None, (Click(0.5, 0.5),)).rle) > 0


def test_the_preset_of_the_released_weights_never_has_it(picture):
    config = replace(preset("ibis"), max_parse_failures=1)
    assert run(picture, ALL, config=config)[1]["stop"] == "parse_failures"
    assert np.array_equal(decode(run(picture, ALL, config=config)[1]["mask"]), np.zeros((96, 128), bool))
