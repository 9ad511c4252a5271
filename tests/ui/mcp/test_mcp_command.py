"""The command `ibisagent mcp`: what it refuses, who gets in, how it ends, and many calls at once."""

import asyncio
import base64
import io
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from conftest import ellipse
from PIL import Image
from support.mcp_servers import MCP, call, call_refused, http_server, over_http, over_stdio, read_resource, run

from ibisagent.agent import build_graph
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.rle import area
from ibisagent.ui.cli.mcp import ServerOptions, run_mcp


def url_of(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture(scope="module")
def url():
    with http_server("--policy", "centre") as address:
        yield address


def command(*options):
    return subprocess.run(
        [sys.executable, *MCP, *map(str, options)], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize(
    ("serving", "words"),
    [
        (ServerOptions(policy="person"), "acts by itself"),
        (ServerOptions(policy="centre", roots=(Path("/none/such"),)), "--root"),
        (ServerOptions(policy="centre", transport="http", host="0.0.0.0", local_only=True), "--local-only"),
        (ServerOptions(policy="vllm:http://host.example/v1#model", local_only=True), "machine"),
    ],
)
def test_what_cannot_be_served_is_refused(serving, words, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):  # --local-only sets them for good
        monkeypatch.setenv(name, "1")
    with pytest.raises(InputError, match=words):
        run_mcp(serving)


@pytest.mark.slow
def test_another_address_is_warned_of_and_a_port_that_is_taken_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = command("--policy", "centre", "--http", "--host", "0.0.0.0", "--port", port)
    assert (ended.returncode, ended.stdout) == (2, "")
    warned, refusal = ended.stderr.splitlines()
    assert "lets other machines in" in warned
    assert f"--port {port}" in refusal


@pytest.mark.slow
def test_without_a_client_it_ends_quietly():
    ended = command("--policy", "centre")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_browser_led_here_by_another_name_is_turned_away(url):
    asked = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    accepts = {"Accept": "application/json, text/event-stream"}
    with httpx.Client(trust_env=False) as client:
        by_name = client.post(url, json=asked, headers=accepts | {"Host": "pictures.example"})
        by_page = client.post(url, json=asked, headers=accepts | {"Origin": "http://pictures.example"})
        too_much = client.post(url, content=b"x" * (33 * 2**20), headers=accepts | {"Content-Type": "application/json"})
    assert [answer.status_code for answer in (by_name, by_page, too_much)] == [421, 403, 413]


def test_calls_at_once_do_not_mix(url):
    """Twelve pictures, twelve connections; each gets the mask of its own."""
    pictures = [np.where(ellipse(radii=(10 + n, 16)), 160, 60).astype(np.uint8) for n in range(12)]

    async def one(pixels):
        async with over_http(url) as client:
            _, told = await call(client, "segment", image=url_of(pixels), request="x")
            _, later = await call(client, "measure", session=told["session"])
            mask = json.loads(await read_resource(client, f"ibisagent://session/{told['session']}/mask.json"))
            return told["session"], later["measurements"]["area_px"], mask

    async def all_at_once():
        return await asyncio.gather(*map(one, pictures))

    ended = run(all_at_once)
    expected = [build_graph("centre", "geocut").invoke({"image": each, "request": "x"})["mask"] for each in pictures]
    assert [mask for _, _, mask in ended] == expected
    assert [size for _, size, _ in ended] == [area(mask) for mask in expected]
    assert len({session for session, _, _ in ended}) == len({mask["counts"] for mask in expected}) == 12


def test_without_a_policy_the_client_is_the_one_who_clicks(pixels):
    async def ask():
        async with over_stdio("--policy", "none") as client:
            words = await call_refused(client, "segment", image=url_of(pixels), request="x")
            _, begun = await call(client, "segment", image=url_of(pixels), request="x", region=[0.2, 0.1, 0.9, 0.7])
            click = [0.55, 0.42]
            _, refined = await call(client, "refine", session=begun["session"], click=click, continue_policy=True)
            return words, begun, refined

    words, begun, refined = run(ask)
    assert "no clicking model" in words
    assert (begun["found"], begun["stop"]) == (True, "terminated")
    assert (refined["found"], refined["stop"]) == (True, "terminated")


def test_ctrl_c_ends_it_over_stdio():
    process = subprocess.Popen(
        [sys.executable, *MCP, "--policy", "centre"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == 1
        process.send_signal(signal.SIGINT)
        process.wait(5)


@pytest.mark.slow
def test_ctrl_c_ends_it_over_http_with_a_client_there(tmp_path):
    async def ask(url, process):
        async with over_http(url) as client:
            await call(client, "segment", image=url_of(np.zeros((8, 8), np.uint8)), request="x")
            process.send_signal(signal.SIGINT)
            begun = time.monotonic()
            await asyncio.to_thread(process.wait, 15)
            return time.monotonic() - begun

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, *MCP, "--policy", "centre", "--http", "--port", str(port)], stderr=subprocess.PIPE, text=True
    )
    with process:
        assert "MCP at" in process.stderr.readline()
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        assert run(ask, f"http://127.0.0.1:{port}/mcp", process) < 10
