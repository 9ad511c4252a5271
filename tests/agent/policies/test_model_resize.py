"""A model that writes pixels counts those that its processor shows it, whatever the size of the picture."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support import scripted_local, tiny_vlm
from support.fakes import STOP, UNDO, RecordingPolicy
from support.observations import make_picture
from support.openai_server import answer_with_script, images_in, serve
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize

from ibisagent.agent import LoopConfig, build_graph, get_policy
from ibisagent.agent.model_resize import SmartResize
from ibisagent.agent.policies.local import LocalPolicy, open_local
from ibisagent.agent.prompting import Message, load_prompts
from ibisagent.agent.replay import replay, replay_config
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.training.samples import Samples
from ibisagent.training.tokenized_samples import tokenize_sample

SHAPES = [(9, 9), (20, 300), (60, 47), (480, 640), (1024, 1024), (2000, 1500), (3000, 90)]
LIMITS = [None, 262144, 9000]


class Pointing(scripted_local.ScriptedModel):
    """Stands in for a model's weights: names the pixel that is brightest in the patches that it is given."""

    def generate(self, *, input_ids, pixel_values, image_grid_thw, **_others):
        _, rows, columns = image_grid_thw[-1].tolist()
        cut = pixel_values[-rows * columns :, :196].reshape(rows // 2, columns // 2, 2, 2, 14, 14)
        seen = cut.permute(0, 2, 4, 1, 3, 5).reshape(14 * rows, 14 * columns).numpy()
        top = np.argwhere(seen >= seen.max() - 1e-3).mean(axis=0)
        row, column = np.floor(top + 0.5).astype(int)
        self.inputs_seen.append((14 * columns, 14 * rows))
        said = f"<think>.</think>\n<action>Positive Point ({column}, {row})</action>"
        return torch.cat([input_ids, torch.tensor([self.inputs.reply_ids(said)])], dim=1)


def landmark(shape):
    """Draw a dark picture with a bright spot right of and below its middle; gives it and the spot's centre (x, y)."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    centre = (round(0.7 * width) + 0.5, round(0.6 * height) + 0.5)
    radius = max(3.0, max(shape) / 60)
    near = ((x + 0.5 - centre[0]) ** 2 + (y + 0.5 - centre[1]) ** 2) / radius**2
    return (20 + 200 * np.exp(-near)).astype(np.uint8), centre


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_click_lies_where_the_model_saw_it(shape, limit):
    pixels, centre = landmark(shape)
    inputs = open_local(tiny_vlm.qwen25_published(), **({"max_pixels": limit} if limit else {})).inputs
    model = Pointing(inputs, [])
    graph = build_graph(LocalPolicy(model, inputs, coordinates="pixels"), "disk", LoopConfig(max_steps=1))
    ended = graph.invoke({"image": pixels, "request": "Segment the spot."})
    click = ended["steps"][0]["action"]
    ((width, height),) = model.inputs_seen
    assert abs(click["x"] - centre[0] / shape[1]) <= 1 / width + 0.5 / shape[1]
    assert abs(click["y"] - centre[1] / shape[0]) <= 1 / height + 0.5 / shape[0]


@pytest.mark.parametrize("limit", LIMITS)
def test_the_frame_is_the_grid_of_the_processor(limit):
    policy = open_local(tiny_vlm.qwen25_published(), max_tokens=1, **({"max_pixels": limit} if limit else {}))
    watched = RecordingPolicy(policy)
    watched.coordinates, watched.smart_resize = policy.coordinates, policy.smart_resize
    assert watched.coordinates == "pixels"
    for shape in SHAPES:
        build_graph(watched, "disk", LoopConfig(max_parse_failures=1)).invoke(
            {"image": make_picture(*shape)[..., 0], "request": "Segment it."}
        )
        seen = watched.seen[-1]
        encoded = policy.inputs.encode(load_prompts().conversation(seen))
        assert (encoded.grid * 14).tolist() == [[14, seen.frame.height, seen.frame.width]]
        assert seen.picture.shape[:2] == (seen.frame.height, seen.frame.width)
        assert f"{seen.frame.width} wide and {seen.frame.height} high" in load_prompts().system(seen)


@pytest.mark.parametrize("limit", [tiny_vlm.PUBLISHED["longest_edge"], SmartResize().max_pixels, 262144])
@given(height=st.integers(1, 5000), width=st.integers(1, 5000))
@settings(database=None, deadline=None)
def test_sizes_are_those_of_the_family_s_own_code(limit, height, width):
    assume(max(height, width) <= 100 * min(height, width))  # it refuses from 200 on
    shown = SmartResize(max_pixels=limit).resized_size(height, width)
    limits = {"min_pixels": 56 * 56, "max_pixels": limit}
    assert shown == smart_resize(*smart_resize(height, width, **limits), **limits)
    assert shown == SmartResize(max_pixels=limit).resized_size(*shown) == smart_resize(*shown, **limits)


@given(
    height=st.integers(1, 900),
    width=st.integers(1, 900),
    least=st.integers(1, 5000),
    most=st.integers(1, 5000),
    step=st.sampled_from([1, 28, 32]),
)
@settings(database=None, deadline=None)
def test_limits_that_no_size_meets_end_with_one_size_all_the_same(height, width, least, most, step):
    smart_resize = SmartResize(step, min(least, most), most)
    shown = smart_resize.resized_size(height, width)
    assert smart_resize.resized_size(*shown) == shown
    assert min(shown) >= step
    assert shown[0] % step == shown[1] % step == 0


def test_a_folder_whose_limits_no_size_meets_sees_what_the_frame_says(tmp_path):
    narrow = {"shortest_edge": 2000, "longest_edge": 2000}
    inputs = open_local(
        tiny_vlm.copy_with_changes(
            tiny_vlm.qwen25_published(), tmp_path / "narrow", "preprocessor_config.json", size=narrow
        )
    ).inputs
    for shape in ((28, 56), (56, 56), (84, 56), (300, 40)):
        _, grid = inputs.patchify(make_picture(*shape))
        assert (grid[0, 1] * 14, grid[0, 2] * 14) == inputs.smart_resize.resized_size(*shape)


def test_what_was_clicked_is_repeated_in_the_same_pixels():
    inputs = open_local(tiny_vlm.qwen25_published(), max_pixels=262144).inputs
    replies = ["<think>.</think>\n<action>Positive Point (300, 200)</action>", UNDO, STOP]
    prompts = scripted_local.open_prompts(tiny_vlm.qwen25())  # which say the last click
    policy = LocalPolicy(scripted_local.ScriptedModel(inputs, replies), inputs, prompts=prompts, coordinates="pixels")
    build_graph(policy, "disk").invoke({"image": make_picture(1024, 1024)[..., 0], "request": "Segment it."})
    _, second, third = (inputs.tokenizer.decode(ids) for ids, _, _ in policy.model.inputs_seen)
    assert "last Positive Point (300, 200)" in second
    assert "Undone: Positive Point (300, 200)" in third


@pytest.mark.parametrize("told", ["", "&max_pixels=262144"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_server_is_sent_what_it_does_not_resize(shape, told):
    limit = {"longest_edge": 262144} if told else {}
    processor = Qwen2VLImageProcessorPil(size=tiny_vlm.PUBLISHED | limit)
    with serve(answer_with_script(STOP)) as server:
        policy = get_policy(f"vllm:{server.url}#Qwen2.5-VL-7B?max_tokens=64{told}")
        build_graph(policy, "disk").invoke({"image": make_picture(*shape)[..., 0], "request": "Segment it."})
        messages = server.requests[-1]["messages"]
    (sent,) = images_in(messages)
    grid = processor(images=[sent], return_tensors="np")["image_grid_thw"]
    assert (grid * 14).tolist() == [[14, sent.height, sent.width]]
    assert f"{sent.width} wide and {sent.height} high" in str(messages[0]["content"])


def test_a_record_holds_the_sizes_for_replay_and_training(tmp_path):
    scripted_local.draw_images(tmp_path, "scan.png", size=(900, 700))
    inputs = open_local(tiny_vlm.qwen25_published(), max_pixels=262144).inputs
    replies = ["<think>.</think>\n<action>Positive Point (500, 400)</action>", STOP]
    policy = LocalPolicy(scripted_local.ScriptedModel(inputs, replies), inputs, coordinates="pixels")
    graph = build_graph(policy, "disk")
    record = build_trajectory(
        graph, graph.invoke({"image": tmp_path / "scan.png", "request": "Segment it."}), folder=tmp_path
    )
    record = Trajectory.from_json(record.to_json())
    assert record.config["smart_resize"] == asdict(SmartResize(max_pixels=262144))
    assert replay_config(record).smart_resize == policy.smart_resize
    assert replay(record, "disk", open_image(tmp_path / "scan.png")).differences == ()
    samples = Samples([scripted_local.write_records(tmp_path, record)], load_prompts())
    for index, (ids, patches, grid) in enumerate(policy.model.inputs_seen):
        sample = tokenize_sample(samples[index], inputs)
        assert (sample.encoded.ids, sample.encoded.grid.tolist()) == (ids, grid)
        assert np.array_equal(sample.encoded.patches, patches)
    with pytest.raises(InputError, match=r"pixels of pictures of 560 x 448, which this model sees at \d+ x \d+; make"):
        tokenize_sample(samples[0], open_local(tiny_vlm.qwen25_published(), max_pixels=90000).inputs)


def test_other_families_that_cannot_tell_the_size_are_refused(tmp_path):
    for each, told in ((tiny_vlm.gemma3, (56, 56)), (tiny_vlm.llava, (28, 28))):
        policy = open_local(each(), coordinates="pixels")
        assert LoopConfig().for_policy(policy).smart_resize.resized_size(90, 70) == told
    policy.inputs._pictures.size = {"longest_edge": 64}
    with pytest.raises(InputError, match="does not state the size that its model sees; choose coordinates=unit"):
        build_graph(policy, "disk")
    policy.coordinates = "unit"
    build_graph(policy, "disk")


def test_llava_sees_the_margins_too():
    inputs = open_local(tiny_vlm.llava()).inputs
    blank = np.zeros((60, 200, 3), np.uint8)
    marked = blank.copy()
    marked[:, :20] = 255
    one, other = (
        inputs.batch([inputs.encode([Message("user", "", each)])])["pixel_values"] for each in (blank, marked)
    )
    assert not torch.equal(one, other)
