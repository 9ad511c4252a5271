"""A client's handles over the wire: they open its own sessions alone, and the oldest ends for a new one."""

import numpy as np
import pytest
from PIL import Image
from support.mcp_servers import call, call_refused, http_server, over_http, over_stdio, read_resource, run

URI = "ibisagent://session/{}/mask.png"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(folder / "scan.png")
    return folder


async def refusals(client, handle):
    """The words of every tool and resource about a handle that is not the client's."""
    said = [
        await call_refused(client, "refine", session=handle, undo=True),
        await call_refused(client, "measure", session=handle),
        await call_refused(client, "export", session=handle, formats=["png"]),
        await call_refused(client, "segment", image="scan.png", request="x", mask=handle),
    ]
    try:
        await read_resource(client, URI.format(handle))
    except Exception as error:
        said.append(str(error))
    return said


def test_over_http_a_handle_opens_its_owner_s_session_alone(root):
    async def ask(url):
        async with (
            over_http(url, {"Authorization": "Bearer a"}) as mine,
            over_http(url, {"Authorization": "Bearer b"}) as yours,
            over_http(url) as nobody,
        ):
            _, told = await call(mine, "segment", image="scan.png", request="x")
            listed = (await yours.list_resources()).resources
            wrong = await refusals(yours, told["session"]) + await refusals(nobody, told["session"])
            guessed = await refusals(mine, told["session"][:-1] + ("A" if told["session"][-1] != "A" else "B"))
        async with over_http(url, {"Authorization": "Bearer a"}) as later:
            return listed, wrong + guessed, await call(later, "measure", session=told["session"])

    with http_server("--policy", "centre", "--root", root) as url:
        listed, said, (_, measured) = run(ask, url)
    assert listed == []
    assert len(said) == 15
    assert all("unknown handle" in words or "no file" in words for words in said)
    assert measured["found"]


@pytest.mark.slow
def test_over_stdio_each_client_has_a_server_of_its_own(root):
    async def ask():
        options = ("--policy", "centre", "--root", root)
        async with over_stdio(*options) as mine:
            _, told = await call(mine, "segment", image="scan.png", request="x")
            async with over_stdio(*options) as yours:
                return await refusals(yours, told["session"])

    said = run(ask)
    assert len(said) == 5
    assert all("unknown handle" in words or "no file" in words for words in said)


def test_the_oldest_session_ends_for_a_new_one_over_the_wire(root):
    async def ask():
        async with over_stdio("--policy", "centre", "--root", root, "--sessions", 2) as client:
            told = [(await call(client, "segment", image="scan.png", request="x"))[1]["session"] for _ in range(3)]
            return await call_refused(client, "measure", session=told[0]), await call(
                client, "measure", session=told[2]
            )

    words, _ = run(ask)
    assert "ended" in words
