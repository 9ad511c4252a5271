"""The policies that ship, and a real LangChain chat model class in the loop."""

import asyncio
import base64
import io
import sys

import numpy as np
import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from PIL import Image
from support.fakes import STOP, UNDO, RecordingPolicy, positive, script

from ibisagent.agent import Click, LoopConfig, OraclePolicy, PolicyOptions, RandomPolicy, build_graph, get_policy
from ibisagent.agent.overlay import overlay
from ibisagent.agent.policies import POLICIES, find_policy
from ibisagent.agent.policies.chat import ChatPolicy
from ibisagent.agent.prompting import load_prompts
from ibisagent.tools.clicks import click_to_pixel
from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import area, decode
from ibisagent.tools.registry import constructor_arguments
from ibisagent.tools.segmenters import SEGMENTERS


def run(policy, pixels, segmenter="disk", config=None, **given):
    return build_graph(policy, segmenter, config).invoke({"image": pixels, "request": "Segment the ellipse.", **given})


def test_the_oracle_reaches_its_target_and_stops(pixels, truth):
    ended = run(OraclePolicy(truth, target_iou=0.95), pixels, "geodesic")
    assert ended["stop"] == "terminated"
    assert iou(decode(ended["mask"]), truth) >= 0.95


def test_the_oracle_never_clicks_a_pixel_twice(pixels, truth):
    policy = RecordingPolicy(OraclePolicy(truth, target_iou=1.0))
    run(policy, pixels, "disk", LoopConfig(patience=20))
    clicked = [click_to_pixel(click, truth.shape) for click in policy.seen[-1].prompts]
    assert len(clicked) == len(set(clicked)) > 5


def test_the_oracle_drops_a_mask_of_what_is_not_there(pixels, truth):
    ended = run(OraclePolicy(np.zeros_like(truth)), pixels, initial_mask=truth)
    assert (ended["stop"], [s["reverts"] for s in ended["steps"]]) == ("target_absent", [0, None])


def test_one_oracle_knows_many_images(pixels, truth):
    image = open_image(pixels)
    oracle = OraclePolicy({image.sha: truth})
    assert run(oracle, image, "geodesic")["stop"] == "terminated"
    with pytest.raises(InputError, match="no true mask"):
        run(oracle, 255 - pixels)
    with pytest.raises(InputError, match="true mask of"):
        run(OraclePolicy(truth[:5]), pixels)


def test_centre_clicks_once(pixels):
    ended = run("centre", pixels)
    assert [step["action"]["type"] for step in ended["steps"]] == ["point", "terminate"]


def test_random_is_a_function_of_seed_and_step(pixels):
    def actions(seed):
        return [step["action"] for step in run(RandomPolicy(seed), pixels)["steps"]]

    assert actions(1) == actions(1) != actions(2)


@pytest.mark.parametrize("coordinates", ["unit", "thousand", "thousand_yx", "pixels"])
def test_every_policy_writes_in_the_configured_coordinates(coordinates, pixels, truth):
    ended = run(OraclePolicy(truth, target_iou=0.9), pixels, "geodesic", LoopConfig(coordinates=coordinates))
    assert ended["stop"] == "terminated"
    assert iou(decode(ended["mask"]), truth) >= 0.9


def test_a_script_that_is_over_is_a_policy_error(pixels):
    ended = run(script(positive(0.5, 0.5)), pixels)
    assert ended["stop"] == "policy_error"
    assert ended["error"] == "IndexError: the script has 1 replies, step 2 was asked for"


def test_names():
    assert get_policy("random", PolicyOptions(seed=3)).name == "random"
    with pytest.raises(InputError, match=r"nano, hf:FOLDER_OR_ID, .* oracle.*, or package\.module:Class"):
        get_policy("nonsense")
    with pytest.raises(InputError, match="true mask"):
        get_policy("oracle")
    assert get_policy("oracle", PolicyOptions(truth=np.ones((2, 2), bool))).name == "oracle"
    with pytest.raises(InputError, match="--local-only"):
        get_policy("openai:gpt-4o", PolicyOptions(local_only=True))


def test_the_table_agrees_with_the_classes_that_it_names():
    classes = [(entry, entry.load_factory()) for entry in POLICIES.entries if not entry.needs_source]
    classes = [(entry, factory) for entry, factory in classes if isinstance(factory, type)]
    assert {entry.form for entry, _ in classes} == {"person", "none", "centre", "random", "oracle"}
    for entry, found in classes:
        takes = constructor_arguments(found)
        assert entry.needs_truth == takes.get("truth", False)
        assert entry.per_case == bool(takes.keys() & {"truth", "seed"})
        assert entry.uses_prompts == ("prompts" in takes)
        assert entry.is_person == getattr(found, "is_person", False)
        made = get_policy(entry.form, PolicyOptions(truth=np.ones((2, 2), bool)))
        assert (made.name, find_policy(made).is_person) == (entry.form, entry.is_person)


@pytest.mark.parametrize("entry", [*POLICIES.entries, *SEGMENTERS.entries], ids=lambda entry: entry.form)
def test_every_factory_is_there_and_every_name_is_its_entry_s(entry):
    assert callable(entry.load_factory())
    name = f"{entry.prefix}:some/source?a=b" if entry.needs_source else entry.form
    table = POLICIES if entry in POLICIES.entries else SEGMENTERS
    assert table.find(name) is entry
    assert not table.is_third_party(name)


def test_none_stops_with_the_prompts_and_asserts_nothing_without(pixels, truth):
    graph = build_graph("none", "disk", checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "t"}}
    start = {"image": pixels, "request": "Segment the ellipse."}
    for turn in range(3):
        ended = graph.invoke(start | {"prompts": [Click(0.3 + turn / 10, 0.4)]}, thread)
        assert (ended["stop"], ended["answer"]) == ("terminated", "Segmented as prompted.")
    assert area(ended["mask"]) > 0
    assert run("none", pixels, initial_mask=truth)["stop"] == "terminated"
    assert [run("none", pixels, prompts=given)["stop"] for given in ([], [Click(0.1, 0.1, False)])] == ["declined"] * 2
    points = LoopConfig(actions=("point", "terminate"))
    assert run("none", pixels, config=points)["stop"] == "parse_failures"  # still no word on the target


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)
    with pytest.raises(MissingExtra, match=r"pip install -e '\.\[chat\]'"):
        get_policy("openai:gpt-4o")


class Heard(GenericFakeChatModel):
    """A LangChain chat model that keeps what it was sent."""

    heard: list = []  # noqa: RUF012

    def _generate(self, messages, *args, **kwargs):
        self.heard.append(messages)
        return super()._generate(messages, *args, **kwargs)


def chat(*replies):
    usage = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
    return Heard(messages=iter([AIMessage(reply, usage_metadata=usage) for reply in replies]), heard=[])


def picture_of(message):
    (block,) = [block for block in message.content if block["type"] == "image"]
    assert block["mime_type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(block["base64"]))))


def text_of(message):
    return " ".join(block["text"] for block in message.content if block["type"] == "text")


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_a_chat_model_sees_the_overlay_the_request_and_the_notice(way, pixels):
    model = chat(positive(0.2, 0.2), UNDO, "I click here.", positive(0.5, 0.5), STOP)
    graph = build_graph(ChatPolicy(model), "disk")
    start = {"image": pixels, "request": "Segment the ellipse."}
    ended = graph.invoke(start) if way == "invoke" else asyncio.run(graph.ainvoke(start))
    assert (ended["stop"], ended["run"]["tokens"]) == ("terminated", 600)
    system, first = model.heard[0]
    assert "Negative Point (x, y)" in system.content
    assert "Segment the ellipse." in text_of(first)
    assert np.array_equal(picture_of(first), overlay(pixels, np.zeros_like(pixels, bool)))
    assert "Undone: Positive Point (0.2000, 0.2000). Choose differently." in text_of(model.heard[2][1])
    assert "could not be used" in text_of(model.heard[3][1])
    assert all(len(messages) == 2 for messages in model.heard)


def test_the_history_context_holds_all_turns(pixels):
    model = chat(positive(0.2, 0.2), positive(0.5, 0.5), STOP)
    run(ChatPolicy(model), pixels, config=LoopConfig(context="history"))
    kinds = [message.type for message in model.heard[2]]
    assert kinds == ["system", "human", "ai", "human", "ai", "human"]
    assert model.heard[2][2].content == positive(0.2, 0.2)
    shown = [picture_of(model.heard[2][index]) for index in (1, 3, 5)]
    assert np.array_equal(shown[0], picture_of(model.heard[0][1]))
    assert np.array_equal(shown[1], picture_of(model.heard[1][3]))
    assert not np.array_equal(shown[1], shown[2])


def test_a_model_that_fails_is_a_policy_error(pixels):
    ended = run(ChatPolicy(chat()), pixels)
    assert ended["stop"] == "policy_error"


def test_switched_off_actions_are_not_offered_and_not_taken(pixels):
    model = chat("<think>a</think>\n<action>Box (0.1, 0.1, 0.5, 0.5)</action>", STOP)
    config = LoopConfig(actions=("point", "terminate"))
    ended = build_graph(ChatPolicy(model), "disk", config).invoke({"image": pixels, "request": "Segment."})
    assert "Box" not in model.heard[0][0].content
    assert "Box" not in str(ended["steps"][0]["action"])
    assert ended["steps"][0]["error"]


def test_a_user_s_prompt_file_replaces_ours(tmp_path, pixels):
    ours = load_prompts()
    lines = [f'{key} = "mine: {key} $request $actions $undone $feedback"' for key in ours.texts]
    lines += ["[actions]", *[f'{kind} = "mine {kind}"' for kind in ours.actions]]
    lines += ["[coordinates]", *[f'{name} = "mine {name} $width"' for name in ours.coordinates]]
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(lines))
    model = chat(STOP)
    build_graph(ChatPolicy(model, prompts=load_prompts(path)), "disk").invoke({"image": pixels, "request": "liver"})
    assert model.heard[0][0].content.startswith("mine: system")
    assert "mine: first liver" in text_of(model.heard[0][1])


@pytest.mark.parametrize(
    ("text", "said"), [("system = ", "TOML"), ("system = 'x'", "no text for first"), (None, "TOML")]
)
def test_a_wrong_prompt_file_is_told(text, said, tmp_path):
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=said):
        load_prompts(path)
