"""The servers reach for no other machine; what would tell if they did is tried on something that does."""

import subprocess

import pytest
from support.mcp_servers import MCP, call, http_server, over_http, over_stdio, read_resource, run
from support.offline import NetworkWatch

from ibisagent.ui.example_image import draw_example_image

REACH = """
import socket
for way in ("connect", "getaddrinfo"):
    try:
        if way == "connect":
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.1", 9))
        else:
            socket.getaddrinfo("host.invalid", 443)
    except OSError:
        pass
"""
BELOW = """
import _socket
_socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM).connect(("192.0.2.1", 9))
"""


@pytest.fixture
def root(tmp_path):
    from PIL import Image

    Image.fromarray(draw_example_image()[0]).save(tmp_path / "scan.png")
    return tmp_path


def test_the_guard_tells_of_names_and_addresses(tmp_path):
    watch = NetworkWatch(tmp_path)
    subprocess.run([watch.command[-1], "-c", REACH], env=watch.env, check=True)
    assert watch.outside() == ["192.0.2.1", "host.invalid"]


def test_strace_tells_of_what_goes_past_python(tmp_path):
    watch = NetworkWatch(tmp_path)
    if len(watch.command) == 1:
        pytest.skip("no strace here")
    subprocess.run([*watch.command, "-c", BELOW], env=watch.env, check=False, capture_output=True)
    assert watch.outside() == ["192.0.2.1:9"]


async def everything(client):
    """Use every tool and some resources."""
    _, told = await call(client, "segment", image="scan.png", request="Segment the liver lesion.")
    session = told["session"]
    await call(client, "refine", session=session, click=[0.3, 0.4], continue_policy=True)
    await call(client, "measure", session=session)
    _, exported = await call(client, "export", session=session, formats=["png", "overlay", "json", "trajectory"])
    for uri in exported["resources"].values():
        await read_resource(client, uri)


@pytest.mark.slow
def test_the_server_over_stdio_stays_on_this_machine(root, tmp_path):
    watch = NetworkWatch(tmp_path / "watch")

    async def ask():
        begin = (*watch.command[1:], *MCP) if len(watch.command) > 1 else MCP
        async with over_stdio("--root", root, begin=begin, program=watch.command[0], env=watch.env) as client:
            await everything(client)

    run(ask)
    assert watch.outside() == []


@pytest.mark.slow
def test_the_server_over_http_stays_on_this_machine(root, tmp_path):
    watch = NetworkWatch(tmp_path / "watch")

    async def ask(url):
        async with over_http(url) as client:
            await everything(client)

    begin = (*watch.command[1:], *MCP) if len(watch.command) > 1 else MCP
    with http_server("--root", root, begin=begin, program=watch.command[0], env=watch.env) as url:
        run(ask, url)
    assert watch.outside() == []
