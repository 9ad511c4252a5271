"""The graph, the ways to run it, and the contents of its state."""

import asyncio
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from conftest import ellipse
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from PIL import Image
from support.fakes import STOP, UNDO, CountingSegmenter, positive, script
from typing_extensions import TypedDict

from ibisagent.agent import Box, Click, ImageStore, LoopConfig, build_graph
from ibisagent.agent.policies import OraclePolicy
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import decode
from ibisagent.tools.segmenters import get_segmenter

ROOT = Path(__file__).parents[2]
REQUEST = "Segment the ellipse."
CASES = 32


def test_the_drawing_is_the_committed_one_and_the_readme_s():
    drawing = build_graph("centre", "disk").get_graph().draw_mermaid()
    assert drawing == (ROOT / "tests/snapshots/graph.mmd").read_text()
    assert drawing.strip() in (ROOT / "docs/concepts.md").read_text()


def cases():
    """32 different pictures with their true masks, and one oracle that knows them all."""
    rng = np.random.default_rng(7)
    starts, truths = [], {}
    for _ in range(CASES):
        truth = ellipse((64, 80), rng.uniform(20, 40, 2), rng.uniform(8, 18, 2))
        image = open_image(np.clip(60 + 80 * truth + rng.normal(0, 8, truth.shape), 0, 255).astype(np.uint8))
        truths[image.sha] = truth
        starts.append({"image": image, "request": REQUEST})
    return starts, OraclePolicy(truths, target_iou=0.99)


def configs(name):
    return [{"configurable": {"thread_id": f"{name} {k}"}} for k in range(CASES)]


def by_invoke(graph):
    starts, _ = cases()
    return [graph.invoke(start, config) for start, config in zip(starts, configs("invoke"), strict=True)]


def by_stream(graph):
    pairs = zip(cases()[0], configs("stream"), strict=True)
    return [list(graph.stream(start, config, stream_mode="values"))[-1] for start, config in pairs]


async def by_ainvoke(graph):
    starts, _ = cases()
    return [await graph.ainvoke(start, config) for start, config in zip(starts, configs("ainvoke"), strict=True)]


async def by_astream(graph):
    starts, _ = cases()
    pairs = zip(starts, configs("astream"), strict=True)
    return [[chunk async for chunk in graph.astream(start, c, stream_mode="values")][-1] for start, c in pairs]


async def by_abatch(graph):
    starts, _ = cases()
    return await graph.abatch(starts, configs("abatch"))


@pytest.fixture(scope="module")
def expected():
    """The masks of plain, sequential runs."""
    _, oracle = cases()
    ends = by_invoke(build_graph(oracle, "geodesic", LoopConfig(max_steps=4)))
    assert len({end["mask"]["counts"] for end in ends}) == CASES
    return [end["mask"] for end in ends]


@pytest.mark.parametrize("way", [by_invoke, by_stream])
@pytest.mark.parametrize("saver", ["none", "memory", "sqlite"])
def test_every_way_gives_the_same_masks(way, saver, expected, tmp_path):
    graph = build_graph(cases()[1], "geodesic", LoopConfig(max_steps=4))
    if saver == "sqlite":
        with SqliteSaver.from_conn_string(str(tmp_path / "runs.db")) as keeper:
            ends = way(graph.copy({"checkpointer": keeper}))
    else:
        ends = way(graph.copy({"checkpointer": InMemorySaver() if saver == "memory" else None}))
    assert [end["mask"] for end in ends] == expected


@pytest.mark.parametrize("way", [by_ainvoke, by_astream, by_abatch])
@pytest.mark.parametrize("saver", ["none", "memory", "sqlite"])
def test_every_async_way_gives_the_same_masks(way, saver, expected, tmp_path):
    async def ends():
        graph = build_graph(cases()[1], "geodesic", LoopConfig(max_steps=4))
        if saver != "sqlite":
            return await way(graph.copy({"checkpointer": InMemorySaver() if saver == "memory" else None}))
        async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "runs.db")) as keeper:
            return await way(graph.copy({"checkpointer": keeper}))

    assert [end["mask"] for end in asyncio.run(ends())] == expected


def test_images_come_in_every_form(pixels, tmp_path):
    picture = Image.fromarray(pixels)
    path = tmp_path / "scan.png"
    picture.save(path)
    graph = build_graph(script(positive(0.5, 0.5), STOP), "geodesic")
    forms = [pixels, picture, path, str(path), path.as_uri(), open_image(path), {"uri": str(path)}]
    ends = [graph.invoke({"image": form, "request": REQUEST}) for form in forms]
    assert all(end["mask"] == ends[0]["mask"] for end in ends)
    assert len({end["image"]["sha"] for end in ends}) == 1


def test_a_person_s_prompts_and_initial_mask_come_first(pixels, truth):
    graph = build_graph(script(STOP), "disk")
    given = [Box(0.1, 0.1, 0.2, 0.2), Click(0.9, 0.9)]
    ended = graph.invoke({"image": pixels, "request": REQUEST, "prompts": given, "initial_mask": truth})
    mask = decode(ended["mask"])
    assert [step["actor"] for step in ended["steps"]] == ["person", "person", "policy"]
    assert mask[truth].all()
    assert mask[15, 20]
    assert mask[86, 115]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"request": REQUEST}, "image"),
        ({"image": np.zeros((8, 8), np.uint8)}, "request"),
        ({"image": np.zeros((8, 8), np.uint8), "request": " "}, "request"),
        ({"image": "no/such/file.png", "request": REQUEST}, "file.png"),
        ({"image": np.zeros((8, 8), np.uint8), "request": REQUEST, "initial_mask": np.ones((4, 4), bool)}, "(4, 4)"),
        ({"image": np.zeros((8, 8), np.uint8), "request": REQUEST, "prompts": [(0.5, 0.5)]}, "Click"),
    ],
)
def test_what_a_caller_gets_wrong_is_an_input_error(given, said):
    with pytest.raises(InputError) as caught:
        build_graph("centre", "disk").invoke(given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def walk(value):
    """Every leaf of plain data; anything else is an error."""
    if isinstance(value, dict):
        for key, item in value.items():
            assert type(key) is str
            yield from walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item)
    else:
        yield value


@pytest.mark.parametrize("form", ["array", "picture", "data url", "file"])
def test_no_picture_array_or_base64_is_ever_in_a_checkpoint(form, pixels, truth, tmp_path):
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "scan.png")
    import base64

    url = "data:image/png;base64," + base64.b64encode((tmp_path / "scan.png").read_bytes()).decode()
    given = {"array": pixels, "picture": picture, "data url": url, "file": tmp_path / "scan.png"}[form]
    with SqliteSaver.from_conn_string(str(tmp_path / "runs.db")) as keeper:
        graph = build_graph(script(positive(0.5, 0.5), UNDO, positive(0.4, 0.5), STOP), "disk", checkpointer=keeper)
        graph.invoke({"image": given, "request": REQUEST, "initial_mask": truth}, {"configurable": {"thread_id": "1"}})
    serde = JsonPlusSerializer()
    with sqlite3.connect(tmp_path / "runs.db") as database:
        rows = database.execute("select type, checkpoint from checkpoints union all select type, value from writes")
        leaves = []
        for kind, blob in rows.fetchall():
            loaded = serde.loads_typed((kind, blob))
            leaves += walk(loaded.get("channel_values", loaded) if isinstance(loaded, dict) else loaded)
    database.close()
    assert leaves
    assert {type(leaf) for leaf in leaves} <= {str, int, float, bool, type(None)}
    assert all(len(leaf) < 2000 and "base64" not in leaf for leaf in leaves if isinstance(leaf, str))


def test_a_second_request_on_a_thread_begins_with_the_mask_in_force(pixels):
    policy = script(positive(0.3, 0.5), STOP, positive(0.7, 0.5), STOP)
    graph = build_graph(policy, "disk", checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    first = graph.invoke({"image": pixels, "request": REQUEST}, thread)
    second = graph.invoke({"request": "And the one beside it."}, thread)
    assert (second["run"]["request_index"], second["run"]["first_step"], len(second["steps"])) == (2, 2, 4)
    assert (decode(second["mask"]) & decode(first["mask"])).sum() == decode(first["mask"]).sum()
    other = graph.invoke({"image": 255 - pixels, "request": REQUEST}, thread)
    assert (other["run"]["request_index"], len(other["steps"])) == (1, 2)


def test_events_of_a_nested_run_reach_the_parent_s_stream(pixels):
    class StreamingParent(TypedDict, total=False):
        image: object
        request: str
        mask: dict

    inner = build_graph(script(positive(0.5, 0.5), STOP), "disk")
    parent = StateGraph(StreamingParent)
    parent.add_node("segment", inner)
    parent.add_edge(START, "segment")
    parent.add_edge("segment", END)
    given = {"image": inner.components.images.to_reference(pixels), "request": REQUEST}
    events = [event for _, event in parent.compile().stream(given, stream_mode="custom", subgraphs=True)]
    assert [event["event"] for event in events] == ["overlay", "step", "overlay", "step", "end"]


def test_another_segmenter_is_refused_at_resume(pixels):
    keeper, thread = InMemorySaver(), {"configurable": {"thread_id": "1"}}
    images = ImageStore()
    begun = build_graph(script(positive(0.5, 0.5), STOP), "disk", checkpointer=keeper, images=images)
    begun.invoke({"image": pixels, "request": REQUEST}, thread, interrupt_before=["segment"])
    other = build_graph(script(positive(0.5, 0.5), STOP), "geodesic", checkpointer=keeper, images=images)
    with pytest.raises(InputError, match="disk-1"):
        other.invoke(None, thread)


def test_longest_runs_stay_under_the_graph_s_own_recursion_limit(pixels):
    replies = []
    for k in range(20):
        replies += ["hm", "hm", positive(0.04 * k, 0.5)]
    ended = build_graph(script(*replies), "disk").invoke({"image": pixels, "request": REQUEST})
    assert ended["stop"] == "max_steps"
    assert len(ended["steps"]) == 60


def test_an_image_is_encoded_once_and_no_prediction_is_computed_twice(pixels):
    segmenter = CountingSegmenter()
    graph = build_graph(script(positive(0.3, 0.5), positive(0.7, 0.5), UNDO, positive(0.6, 0.5), STOP), segmenter)
    ends = [graph.invoke({"image": pixels, "request": REQUEST}) for _ in range(3)]
    assert (segmenter.embeds, segmenter.predictions) == (1, 3)
    assert all(end["mask"] == ends[0]["mask"] for end in ends)


def test_schemas_are_published_for_whoever_embeds_the_graph():
    graph = build_graph("centre", "disk")
    keys = {"image", "request", "kind", "initial_mask", "prompts", "prompts_actor", "seed"}
    assert set(graph.get_input_jsonschema()["properties"]) == keys
    assert {"mask", "answer", "stop", "steps", "measurements"} <= set(graph.get_output_jsonschema()["properties"])


@pytest.mark.parametrize("way", ["batch", "configs", "completed", "abatch", "acompleted"])
def test_runs_of_a_batch_are_as_long_as_single_ones(way, pixels):
    clicks = [positive(0.3 + 0.02 * number, 0.5) for number in range(12)]
    graph = build_graph(script(*clicks, STOP), "disk", LoopConfig(max_steps=20))
    given = {"image": pixels, "request": REQUEST}

    async def completed():
        return [ended async for _, ended in graph.abatch_as_completed([given])]

    ways = {
        "batch": lambda: graph.batch([given]),
        "configs": lambda: graph.batch([given], [{"tags": ["x"]}]),
        "completed": lambda: [ended for _, ended in graph.batch_as_completed([given], {"max_concurrency": 2})],
        "abatch": lambda: asyncio.run(graph.abatch([given])),
        "acompleted": lambda: asyncio.run(completed()),
    }
    (ended,) = ways[way]()
    assert (ended["stop"], len(ended["steps"])) == ("terminated", 13)
    (cut,) = graph.batch([given], {"recursion_limit": 25})  # asked for
    assert cut["stop"] == "budget"


def test_copies_keep_the_door_and_the_recursion_limit(pixels):
    graph = build_graph("centre", "disk").with_config(tags=["copied"])
    assert graph.config["recursion_limit"] == LoopConfig().recursion_limit
    assert graph.invoke({"image": pixels, "request": REQUEST})["stop"] == "terminated"


def test_graphs_of_one_segmenter_share_what_it_computed(pixels):
    segmenter = CountingSegmenter()
    for _ in range(2):
        graph = build_graph(script(positive(0.3, 0.5), STOP), segmenter)
        graph.invoke({"image": pixels, "request": REQUEST})
    other = build_graph(script(positive(0.7, 0.5), STOP), segmenter)
    other.invoke({"image": pixels, "request": REQUEST})
    assert (segmenter.embeds, segmenter.predictions) == (1, 2)
    assert build_graph("centre", "disk").components.memo is build_graph("random", "disk").components.memo


def test_get_segmenter_names_what_there_is():
    with pytest.raises(InputError, match="geocut, geonet, geodesic, disk"):
        get_segmenter("u-net")
