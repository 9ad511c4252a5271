"""The bare loop in Studio: what langgraph.json names, its states seen one by one, edited, and forked."""

import asyncio
import base64
import importlib
import io
import json
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from PIL import Image
from support.fakes import STOP, positive, script

from ibisagent.agent import build_graph
from ibisagent.agent.integrations import studio
from ibisagent.agent.integrations.image_catalog import ServerImageCatalog
from ibisagent.tools.errors import InputError
from ibisagent.tools.export import save_mask
from ibisagent.tools.masks.rle import encode

REQUEST = "Segment the bright object."
THREAD = {"configurable": {"thread_id": "1"}}
GRAPHS = json.loads((Path(__file__).parents[3] / "langgraph.json").read_text())["graphs"]


@pytest.fixture
def root(tmp_path, pixels):
    (tmp_path / "pictures").mkdir()
    Image.fromarray(pixels).save(tmp_path / "pictures" / "scan.png")
    Image.fromarray(pixels).save(tmp_path / "secret.png")
    return tmp_path / "pictures"


@pytest.fixture
def opened(root, monkeypatch):
    """The loop as the server has it: by its name, copied with the server's own checkpointer."""
    for name, value in {"POLICY": "centre", "SEGMENTER": "disk", "MAX_STEPS": "9", "ROOT": str(root)}.items():
        monkeypatch.setenv(f"IBISAGENT_{name}", value)
    module, _, name = GRAPHS["loop"]["path"].partition(":")
    studio.loop_from_environment.cache_clear()
    yield lambda: asyncio.run(getattr(importlib.import_module(module), name)()).copy(
        update={"checkpointer": InMemorySaver()}
    )
    studio.loop_from_environment.cache_clear()


def data_url(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def test_every_graph_that_is_named_is_there():
    assert list(GRAPHS) == ["ibisagent", "loop"]
    for graph in GRAPHS.values():
        module, _, name = graph["path"].partition(":")
        assert getattr(importlib.import_module(module), name) is not None


def test_its_states_are_seen_one_by_one(opened, pixels):
    graph = opened()
    ended = graph.invoke({"image": "scan.png", "request": REQUEST}, THREAD)
    assert ended["mask"] == build_graph("centre", "disk").invoke({"image": pixels, "request": REQUEST})["mask"]
    history = list(graph.get_state_history(THREAD))[::-1]
    seen = [state.next for state in history]
    once = [("overlay",), ("reason",), ("parse",)]
    assert seen == [("__start__",), ("load",), *once, ("segment",), *once, ("terminate",), ()]
    assert "base64" not in json.dumps([state.values for state in history], default=str)


def test_it_is_forked_at_a_step(opened, pixels):
    graph = opened()
    graph.invoke({"image": "scan.png", "request": REQUEST}, THREAD)
    before = next(state for state in graph.get_state_history(THREAD) if state.next == ("segment",))
    [waiting] = before.values["queue"]
    elsewhere = waiting | {"action": waiting["action"] | {"x": 0.2, "y": 0.2}}
    branch = graph.update_state(before.config, {"queue": [elsewhere]}, as_node="parse")
    ended = graph.invoke(None, branch)
    direct = build_graph(script(positive(0.2, 0.2), STOP), "disk").invoke({"image": pixels, "request": REQUEST})
    assert ended["mask"] == direct["mask"]
    trunk = [state for state in graph.get_state_history(THREAD) if not state.next]
    assert len(trunk) == 2
    assert trunk[0].values["mask"] != trunk[1].values["mask"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_it_can_be_forked_wherever_it_stood(asynchronous, opened):
    """With nothing changed a branch ends as the trunk does, from each state after its first."""
    graph = opened()
    expected = graph.invoke({"image": "scan.png", "request": REQUEST}, THREAD)["mask"]

    async def forked(state):
        return await graph.ainvoke(None, await graph.aupdate_state(state.config, {"feedback": None}))

    for state in [state for state in graph.get_state_history(THREAD) if "run" in state.values and state.next]:
        if asynchronous:
            ended = asyncio.run(forked(state))
        else:
            ended = graph.invoke(None, graph.update_state(state.config, {"feedback": None}))
        assert (ended["mask"], ended["stop"]) == (expected, "terminated"), state.next


def test_a_request_may_be_edited_before_it_is_loaded(opened, root, pixels):
    graph = opened()
    graph.invoke({"image": "scan.png", "request": REQUEST}, THREAD)
    Image.fromarray(255 - pixels).save(root / "other.png")
    [first] = [state for state in graph.get_state_history(THREAD) if state.next == ("load",)]
    branch = graph.update_state(first.config, {"image": "other.png", "request": "Another."}, as_node="__start__")
    ended = graph.invoke(None, branch)
    assert (ended["image"]["uri"], ended["request"]) == ("other.png", "Another.")


@pytest.mark.parametrize("form", [str, lambda url: {"uri": url}], ids=["text", "reference"])
def test_a_data_url_is_taken_and_not_kept(form, opened, pixels):
    graph = opened()
    ended = graph.invoke({"image": form(data_url(pixels)), "request": REQUEST}, THREAD)
    assert ended["mask"] == build_graph("centre", "disk").invoke({"image": pixels, "request": REQUEST})["mask"]
    assert ended["image"]["uri"] is None
    assert "base64" not in json.dumps([state.values for state in graph.get_state_history(THREAD)], default=str)


@pytest.mark.parametrize("given", ["../secret.png", {"uri": "../secret.png"}, {"uri": "/etc/passwd"}])
def test_nothing_outside_the_root_is_read(given, opened):
    for asked in ({"image": given}, {"image": "scan.png", "initial_mask": given}):
        if isinstance(asked.get("initial_mask"), dict):
            continue  # run lengths, not a name
        with pytest.raises(InputError, match="outside the folders"):
            opened().invoke({"request": REQUEST, **asked}, THREAD)


def test_a_mask_is_run_lengths_or_a_name(opened, root, pixels, truth):
    from ibisagent.tools.imaging.open_image import open_image

    save_mask(root / "rough.png", truth, open_image(root / "scan.png"))
    masks = [
        opened().invoke({"image": "scan.png", "request": REQUEST, "initial_mask": mask}, THREAD)["mask"]
        for mask in ("rough.png", encode(truth))
    ]
    assert masks[0] == masks[1]


def test_without_a_root_no_file_is_read(root, pixels):
    loop = build_graph("centre", "disk", images=ServerImageCatalog(None))
    for name in (str(root / "scan.png"), "scan.png", root / "scan.png"):
        with pytest.raises(InputError, match="no files are read here, expected a data URL"):
            loop.invoke({"image": name, "request": REQUEST})
    with pytest.raises(InputError, match="no files are read here"):
        loop.invoke({"image": data_url(pixels), "request": REQUEST, "initial_mask": str(root / "scan.png")})


def test_a_file_that_is_not_there_is_told_by_its_name_alone(opened, root):
    for asked in ({"image": "none.png"}, {"image": "scan.png", "initial_mask": "none.png"}):
        with pytest.raises(InputError) as told:
            opened().invoke({"request": REQUEST, **asked}, THREAD)
        assert str(told.value).startswith("none.png: got a path with no file")
        assert str(root) not in str(told.value)


def test_a_prompt_file_that_is_not_there_is_told(opened, monkeypatch):
    monkeypatch.setenv("IBISAGENT_PROMPTS", "none.toml")
    with pytest.raises(InputError, match=r"none\.toml"):
        opened()
