"""`langgraph dev` with our langgraph.json: the mask over its HTTP API and its A2A face, and nothing sent elsewhere.

Without proposals, so that there is a click to see and to fork at.
"""

import base64
import contextlib
import io
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from PIL import Image
from support.offline import NetworkWatch

from ibisagent.agent import build_graph
from ibisagent.tools.masks.rle import area
from ibisagent.ui.example_image import draw_example_image

ROOT = Path(__file__).parents[3]
REQUEST = "Segment the liver."
SWITCHES = {
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGGRAPH_NO_VERSION_CHECK": "true",
    "IBISAGENT_PROPOSE": "none",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pixels():
    return draw_example_image()[0]


@pytest.fixture(scope="module")
def served(tmp_path_factory, pixels):
    """The server's address, and what watches it."""
    folder = tmp_path_factory.mktemp("studio")
    shutil.copy(ROOT / "langgraph.json", folder)
    (folder / "pictures").mkdir()
    Image.fromarray(pixels).save(folder / "pictures/scan.png")
    watch = NetworkWatch(folder / "watch")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--no-browser", "--no-reload", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*watch.command, "-m", "langgraph_cli", "dev", *options],
            cwd=folder,
            env={**os.environ, **SWITCHES, **watch.env, "IBISAGENT_ROOT": str(folder / "pictures")},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as client:
        try:
            until = time.monotonic() + 180
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if client.get("/ok").status_code == 200:
                        break
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until, (folder / "log").read_text()
                time.sleep(0.2)
            yield client, watch
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


@pytest.fixture(scope="module")
def expected(pixels):
    graph = build_graph("nano", "geocut", proposer="none")
    mask = graph.invoke({"image": pixels, "request": REQUEST})["mask"]
    assert area(mask) > 0
    return mask


def encoded(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def ran(client, block, path="/runs/wait", words=REQUEST):
    content = [{"type": "text", "text": words}, *([block] if block else [])]
    asked = {"assistant_id": "ibisagent", "input": {"messages": [{"role": "user", "content": content}]}}
    answer = client.post(path, json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_http_api_gives_the_mask_of_a_direct_call(served, pixels, expected):
    client, _ = served
    url = f"data:image/png;base64,{encoded(pixels)}"
    for block in ({"type": "image_url", "image_url": {"url": url}}, {"type": "image", "url": "scan.png"}):
        state = ran(client, block)
        assert state["segmentation"]["rle"] == expected
        assert state["messages"][-1]["content"].startswith("Found")


def test_a_thread_of_the_http_api_goes_on(served):
    client, _ = served
    thread = client.post("/threads", json={}).json()["thread_id"]
    first = ran(client, {"type": "image", "url": "scan.png"}, f"/threads/{thread}/runs/wait")
    then = ran(client, None, f"/threads/{thread}/runs/wait", "Once more.")
    assert len(then["messages"]) == 4
    assert then["segmentation"]["image_message_id"] == first["segmentation"]["image_message_id"]
    assert then["segmentation"]["request"] == "Once more."


def test_the_a2a_face_answers_in_words(served, pixels, expected):
    client, _ = served
    [assistant] = client.post("/assistants/search", json={"graph_id": "ibisagent"}).json()
    picture = {"bytes": encoded(pixels), "mimeType": "image/png"}
    message = {
        "role": "user",
        "messageId": "1",
        "parts": [{"kind": "text", "text": REQUEST}, {"kind": "file", "file": picture}],
    }
    asked = {"jsonrpc": "2.0", "id": "1", "method": "message/send", "params": {"message": message}}
    answer = client.post(f"/a2a/{assistant['assistant_id']}", json=asked, headers={"Accept": "application/json"}).json()
    said = answer["result"]["artifacts"][0]["parts"][0]["text"]
    assert said.startswith("Found")
    task = client.get(f"/threads/{answer['result']['contextId']}/state").json()
    assert task["values"]["segmentation"]["rle"] == expected


def test_the_bare_loop_s_states_are_seen_and_forked(served, expected):
    client, _ = served
    ids = {one["graph_id"] for one in client.post("/assistants/search", json={}).json()}
    assert ids == {"ibisagent", "loop"}
    thread = client.post("/threads", json={}).json()["thread_id"]
    run = f"/threads/{thread}/runs/wait"
    asked = {"assistant_id": "loop", "input": {"image": "scan.png", "request": REQUEST}}
    ended = client.post(run, json=asked).json()
    assert ended["mask"] == expected
    history = client.post(f"/threads/{thread}/history", json={"limit": 100}).json()
    seen = {state["next"][0] for state in history if state["next"]}
    assert {"load", "overlay", "reason", "parse", "segment", "terminate"} <= seen

    before = [state for state in history if state["next"] == ["segment"]][-1]
    [waiting] = before["values"]["queue"]
    edited = {"queue": [waiting | {"action": waiting["action"] | {"x": 0.9, "y": 0.1}}]}
    update = {"values": edited, "as_node": "parse", "checkpoint": before["checkpoint"]}
    branch = client.post(f"/threads/{thread}/state", json=update).json()["checkpoint"]
    other = client.post(run, json={"assistant_id": "loop", "input": None, "checkpoint": branch}).json()
    assert other["steps"][0]["action"]["x"] == 0.9
    assert other["steps"][0]["mask"] != ended["steps"][0]["mask"]


def test_the_bare_loop_says_what_it_needs(served):
    client, _ = served
    asked = {"assistant_id": "loop", "input": {"messages": [{"role": "user", "content": REQUEST}]}}
    answer = client.post("/runs/wait", json=asked).json()
    assert "got a state without image and request (keys: messages)" in answer["__error__"]["message"]


def test_nothing_was_sent_to_another_machine(served):
    """Last: after everything above, and after the server has had time for what it does in the background."""
    client, watch = served
    ran(client, {"type": "image", "url": "scan.png"})
    time.sleep(5)
    assert watch.outside() == []
