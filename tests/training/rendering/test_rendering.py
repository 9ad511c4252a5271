"""Recorded states as they were shown, for any kind of training: from files that may be opened, and from memory."""

import numpy as np
import pytest
from conftest import ellipse
from PIL import Image
from support.fakes import STOP, UNDO, RecordingPolicy, positive, script

from ibisagent.agent import ImageStore, LoopConfig, Similar, build_graph
from ibisagent.agent.actions import POLICY_KINDS, write_reply
from ibisagent.agent.prompting import load_prompts
from ibisagent.agent.record_images import find_recorded_image
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.tools.errors import InputError
from ibisagent.training.rendering import StateRenderer

REPLIES = (positive(0.2, 0.2), UNDO, "I would rather not.", positive(0.6, 0.5), STOP)


def run(image, folder=None, **settings):
    """A run's record, and what its policy was shown before each reply."""
    policy = RecordingPolicy(script(*REPLIES))
    graph = build_graph(policy, "disk", LoopConfig(**settings))
    ended = graph.invoke({"image": image, "request": "Segment it.", "initial_mask": ellipse()})
    return Trajectory.from_json(build_trajectory(graph, ended, folder=folder).to_json()), policy.seen


def shown(conversation):
    """Text and pixels of a conversation."""
    return [(each.role, each.text, None if each.picture is None else each.picture.tobytes()) for each in conversation]


def test_examples_are_offered_in_a_rendering_where_they_were(pixels):
    replies = (write_reply("All like this.", Similar(0.55, 0.42)), UNDO, positive(0.55, 0.42), STOP)
    policy = RecordingPolicy(script(*replies))
    graph = build_graph(policy, "geocut", LoopConfig(actions=POLICY_KINDS))
    record = build_trajectory(graph, graph.invoke({"image": pixels, "request": "Segment it."}))
    images, prompts = ImageStore(), load_prompts()
    rendered = list(StateRenderer(prompts, images).render(record, images.to_reference(pixels)))
    seen = [shown(prompts.conversation(each)) for each in policy.seen]
    assert [shown(each.conversation) for each in rendered] == seen
    assert "Similar (x, y)" in rendered[0].conversation[0].text
    assert "Undone: Similar (0.5500, 0.4200)" in rendered[2].conversation[-1].text


@pytest.mark.parametrize("context", ["stateless", "history"])
def test_each_state_is_rendered_as_the_loop_showed_it(context, pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    record, seen = run(tmp_path / "scan.png", tmp_path, context=context)
    prompts = load_prompts()
    renderer, image = StateRenderer(prompts), find_recorded_image(record.image, tmp_path)
    rendered = list(renderer.render(record, image))
    assert [shown(each.conversation) for each in rendered] == [shown(prompts.conversation(each)) for each in seen]
    assert [each.step.reply for each in rendered] == list(REPLIES)
    for index, each in enumerate(rendered):
        alone = renderer.render_state(record, image, index)
        assert shown(alone.conversation) == shown(each.conversation)
        assert np.array_equal(alone.observation.mask, seen[index].mask)
    with pytest.raises(IndexError):
        renderer.render_state(record, image, len(REPLIES))


def test_a_picture_without_a_file_is_rendered_from_the_store_that_holds_it(pixels):
    record, seen = run(pixels)
    assert record.image["uri"] is None
    images, prompts = ImageStore(), load_prompts()
    rendered = StateRenderer(prompts, images).render(record, images.to_reference(pixels))
    assert [shown(each.conversation) for each in rendered] == [shown(prompts.conversation(each)) for each in seen]
    with pytest.raises(InputError, match="it was passed without a file and is no longer in memory"):
        list(StateRenderer(prompts).render(record, record.image))


def test_another_picture_than_the_recorded_one_is_not_shown(pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    record, _ = run(tmp_path / "scan.png", tmp_path)
    Image.fromarray(255 - pixels).save(tmp_path / "scan.png")
    with pytest.raises(InputError, match=r"scan\.png: its pixels have changed"):
        list(StateRenderer(load_prompts()).render(record, find_recorded_image(record.image, tmp_path)))
