"""Chat models behind a real server on loopback: the same tokens as in this process, and every fault a typed end."""

import asyncio
import itertools
import json
import os
import random
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support import tiny_vlm
from support.fakes import STOP, UNDO, positive
from support.observations import make_observation, make_picture
from support.openai_server import (
    FAST_RETRIES,
    FAULTS,
    HANG,
    answer_with_model,
    answer_with_script,
    completion_body,
    images_in,
    make_chat_policy,
    serve,
)

from ibisagent.agent import LoopConfig, PolicyOptions, build_graph, get_policy
from ibisagent.agent.actions import KINDS
from ibisagent.agent.coordinates import CoordinateFrame
from ibisagent.agent.grammar import reply_regex
from ibisagent.agent.policies.chat import ChatPolicy, Price
from ibisagent.agent.policies.local import PROFILE
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.rle import area

WORDS = (positive(0.55, 0.42), STOP)


async def closing(graph, awaited):
    """Await, and close the client's connections before their event loop is gone."""
    try:
        return await awaited
    finally:
        await graph.components.policy._model.root_async_client.close()


def test_a_server_s_tokens_are_those_of_the_same_weights_in_this_process(tmp_path):
    folder = tmp_path / "qwen25"
    shutil.copytree(tiny_vlm.qwen25(), folder)
    (folder / PROFILE).unlink()
    local = get_policy(f"hf:{folder}?max_tokens=12&coordinates=unit")
    cut = False
    with serve(answer_with_model(folder)) as server:
        remote = get_policy(f"vllm:{server.url}#tiny?max_tokens=12&coordinates=unit")
        for seed in range(20):
            shown = make_observation("Segment the liver.", make_picture(56 + 28 * (seed % 3), 84, seed))
            here, there = local.act(shown), remote.act(shown)
            assert (here.text, here.finish_reason) == (there.text, there.finish_reason)
            assert here.usage == {key: there.usage[key] for key in here.usage}
            cut = cut or here.finish_reason == "length"
    assert cut


def test_both_ways_to_name_a_server_say_the_same(pixels, monkeypatch):
    with serve(answer_with_script(*WORDS)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        ends = [
            build_graph(name, "disk").invoke({"image": pixels, "request": "Segment it."})
            for name in ("openai:tiny", f"vllm:{server.url}", f"vllm:{server.url}#tiny")
        ]
        bodies = [json.dumps(body["messages"]) for body in server.requests]
    assert [(end["stop"], end["mask"]) for end in ends] == [("terminated", ends[0]["mask"])] * 3
    assert area(ends[0]["mask"]) > 0
    assert len(set(bodies)) == 2  # a first look and a second, whatever the name


def test_the_clean_picture_and_the_system_message_come_first(pixels):
    with serve(answer_with_script(*WORDS)) as server:
        build_graph(f"vllm:{server.url}", "disk").invoke({"image": pixels, "request": "Segment it."})
        first = server.requests[0]["messages"]
    assert [each["role"] for each in first] == ["system", "user"]
    assert [block["type"] for block in first[1]["content"]] == ["image_url", "text"]


ENDS = {
    "500": "policy_error",
    "401": "policy_error",
    "hang": "policy_error",
    "drop": "policy_error",
    "truncated": "policy_error",
    "empty": "policy_error",
    "huge": "parse_failures",
    "language": "parse_failures",
    "tool": "parse_failures",
    "thousand": "parse_failures",
}


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
@pytest.mark.parametrize("fault", ENDS)
def test_a_fault_that_lasts_ends_typed_with_the_mask_in_force(fault, way, pixels):
    with serve(
        answer_with_script(*WORDS), lambda body: None if "Nothing is marked" in json.dumps(body) else fault
    ) as server:
        graph = build_graph(make_chat_policy(server), "disk")
        start = {"image": pixels, "request": "Segment it."}
        ended = graph.invoke(start) if way == "invoke" else asyncio.run(closing(graph, graph.ainvoke(start)))
        tries = len(server.requests) - 1
    assert (ended["stop"], area(ended["mask"]) > 0) == (ENDS[fault], True)
    assert tries == (1 if fault == "401" else 3)
    assert ended["error"]
    assert "\n" not in ended["error"]


@pytest.mark.parametrize("fault", ["500", "429", "drop", "truncated", "empty"])
def test_a_fault_that_passes_costs_nothing_but_time(fault, pixels):
    faults = iter([fault, None, fault, fault, None])
    with serve(answer_with_script(*WORDS), lambda body: next(faults)) as server:
        ended = build_graph(make_chat_policy(server), "disk").invoke({"image": pixels, "request": "Segment it."})
    assert (ended["stop"], len(ended["steps"])) == ("terminated", 2)


@pytest.mark.parametrize(("fault", "place"), [("two", 0.6), ("unclosed", 0.55)])
def test_a_sloppy_reply_is_read(fault, place, pixels):
    faults = iter([fault, None])
    with serve(answer_with_script(*WORDS), lambda body: next(faults)) as server:
        ended = build_graph(make_chat_policy(server), "disk").invoke({"image": pixels, "request": "Segment it."})
    assert ended["steps"][0]["action"]["x"] == place


def test_nobody_listens(pixels):
    with serve(answer_with_script(*WORDS)) as server:
        policy = make_chat_policy(server)
    ended = build_graph(policy, "disk").invoke({"image": pixels, "request": "Segment it."})
    assert (ended["stop"], area(ended["mask"])) == ("policy_error", 0)
    assert "Connection" in ended["error"]


def test_a_server_s_wish_to_be_left_alone_is_heeded(pixels, monkeypatch):
    waited = []
    monkeypatch.setattr("ibisagent.agent.policies.retries.time.sleep", waited.append)
    monkeypatch.setitem(FAULTS, "later", lambda handler, body: handler.raw(429, b"{}", Retry_After=7) or True)
    faults = iter(["later", None, None])
    with serve(answer_with_script(*WORDS), lambda body: next(faults)) as server:
        ended = build_graph(make_chat_policy(server), "disk").invoke({"image": pixels, "request": "Segment it."})
    assert (ended["stop"], waited) == ("terminated", [7.0])


def test_a_wait_past_the_time_for_tries_is_not_begun(pixels, monkeypatch):
    monkeypatch.setitem(FAULTS, "later", lambda handler, body: handler.raw(429, b"{}", Retry_After=900) or True)
    with serve(answer_with_script(*WORDS), lambda body: "later") as server:
        ended = build_graph(make_chat_policy(server), "disk").invoke({"image": pixels, "request": "Segment it."})
    assert (ended["stop"], len(server.requests)) == ("policy_error", 1)


def test_another_model_steps_in(pixels):
    with serve(answer_with_script(*WORDS), lambda body: "500") as broken, serve(answer_with_script(*WORDS)) as sound:
        first, second = (make_chat_policy(each)._model for each in (broken, sound))
        policy = ChatPolicy(first.with_fallbacks([second]), retries=FAST_RETRIES)
        ended = build_graph(policy, "disk").invoke({"image": pixels, "request": "Segment it."})
    assert (policy.name, ended["stop"]) == ("chat:tiny", "terminated")


def test_tokens_and_their_price_lie_on_every_step(pixels):
    with serve(
        lambda body: answer_with_script(*WORDS)(body) | completion_body(WORDS[0], prompt=2000, written=100)
    ) as server:
        graph = build_graph(make_chat_policy(server, price=Price(2.0, 10.0)), "disk", LoopConfig(max_steps=1))
        ended = graph.invoke({"image": pixels, "request": "Segment it."})
    kept = graph.components.store.get(ended["steps"][0]["reply"])
    assert (kept["usage"]["input_tokens"], kept["usage"]["output_tokens"]) == (2000, 100)
    assert kept["cost"] == pytest.approx(2000 * 2e-6 + 100 * 10e-6)
    assert ended["run"]["tokens"] == 2100


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_tokens_stream_through_the_graph(way, pixels):
    async def listen(graph, start):
        return [each async for each in graph.astream(start, stream_mode="messages")]

    with serve(answer_with_script(*WORDS)) as server:
        graph = build_graph(make_chat_policy(server), "disk")
        start = {"image": pixels, "request": "Segment it."}
        if way == "stream":
            told = list(graph.stream(start, stream_mode="messages"))
        else:
            told = asyncio.run(closing(graph, listen(graph, start)))
    assert "".join(str(message.text) for message, _ in told) == "".join(WORDS)
    assert len(told) > 10
    assert {place["langgraph_node"] for _, place in told} == {"reason"}


def test_the_grammar_is_sent_where_it_is_asked_for(pixels):
    with serve(answer_with_script(*WORDS)) as server:
        for name in (f"vllm:{server.url}?grammar=1", f"vllm:{server.url}"):
            build_graph(name, "disk").invoke({"image": pixels, "request": "Segment it."})
        sent = [body.get("structured_outputs") for body in server.requests]
    assert sent == [{"regex": reply_regex(KINDS, CoordinateFrame("unit", 128, 96))}] * 2 + [None] * 2


@pytest.mark.parametrize(
    "name", ["vllm:", "vllm:example", "vllm:http://127.0.0.1:9/v1", "vllm:http://127.0.0.1:9/v1#m?max_tokens=0"]
)
def test_a_wrong_name_is_a_line(name):
    with pytest.raises(InputError, match=r"expected|start it"):
        get_policy(name)


def test_another_machine_is_refused_locally():
    with pytest.raises(InputError, match="--local-only"):
        get_policy("vllm:http://192.0.2.7:8000/v1#m", PolicyOptions(local_only=True))
    with serve(answer_with_script(*WORDS)) as server:
        assert get_policy(f"vllm:{server.url}", PolicyOptions(local_only=True)).name.startswith("vllm:")


@pytest.mark.parametrize("most", [1, 2, 3, 8])
def test_the_pictures_of_a_history_stay_within_their_number(most, pixels):
    points = [positive(x, 0.3 + 0.02 * number) for number, x in enumerate(np.linspace(0.2, 0.8, 19))]
    with serve(lambda body: completion_body(points[min(18, len(body["messages"]) // 2 - 1)])) as server:
        config = LoopConfig(context="history", pictures=most, patience=99)
        build_graph(make_chat_policy(server), "disk", config).invoke({"image": pixels, "request": "Segment it."})
        bodies = [body["messages"] for body in server.requests]
    counts = [json.dumps(body).count('"image_url":') for body in bodies]
    assert counts == [min(most, turn + 1) for turn in range(len(bodies))]
    last = [number for number, each in enumerate(bodies[-1]) if '"image_url":' in json.dumps(each)]
    users = [number for number, each in enumerate(bodies[-1]) if each["role"] == "user"]
    assert last == users[: min(1, most - 1)] + users[len(users) - max(1, most - 1) :]


SNAPSHOT = Path(__file__).parents[2] / "snapshots/messages.json"


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("stateless", LoopConfig()),
        ("history", LoopConfig(context="history")),
        ("history, 2 pictures", LoopConfig(context="history", pictures=2)),
    ],
)
def test_the_messages_are_exactly_those_of_the_snapshot(name, config, pixels):
    """After a change that is meant: write what the assertion shows into the snapshot, and read it once."""
    replies = (positive(0.2, 0.2), UNDO, "I click here.", positive(0.55, 0.42), STOP)
    turns = itertools.count()
    with serve(lambda body: completion_body(replies[next(turns)])) as server:
        build_graph(make_chat_policy(server), "disk", config).invoke({"image": pixels, "request": "Segment the liver."})
        sent = [_outlined(body["messages"]) for body in server.requests]
    assert sent == json.loads(SNAPSHOT.read_text())[name]


def _outlined(messages):
    """Return each message as one line: its role, its pictures by how much of them is green, and its words."""
    return [f"{each['role']}: {_said(each['content'])}" for each in messages]


def _said(content):
    if isinstance(content, str):
        return " ".join(content.split())
    shown = iter(images_in([{"content": content}]))
    return " ".join(
        f"[picture {_green(next(shown)):.3f}]" if block["type"] == "image_url" else " ".join(block["text"].split())
        for block in content
    )


def _green(shown):
    red, green, _ = np.asarray(shown).astype(int).transpose(2, 0, 1)
    return float((green != red).mean())


@pytest.mark.slow
def test_a_thousand_episodes_with_faults_end_typed_and_leave_nothing(pixels):
    draws = random.Random(0)
    kinds = [name for name in FAULTS if name != "later"]
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    with serve(
        answer_with_script(*WORDS), lambda body: draws.choice(kinds) if draws.random() < 0.1 else None
    ) as server:
        graph = build_graph(make_chat_policy(server, timeout=0.2), "disk")
        with ThreadPoolExecutor(8) as pool:
            start = {"image": pixels, "request": "Segment it."}
            ends = list(pool.map(lambda _: graph.invoke(start)["stop"], range(1000)))
        graph.components.policy._model.root_client.close()
    assert set(ends) <= {"terminated", "policy_error", "parse_failures", "target_absent", "loop", "stalled"}
    assert ends.count("terminated") > 900
    until = time.monotonic() + HANG + 2  # a thread of the server may still hang
    while threading.active_count() > threads and time.monotonic() < until:
        time.sleep(0.05)
    assert threading.active_count() <= threads
    assert len(os.listdir("/proc/self/fd")) <= files + 2
