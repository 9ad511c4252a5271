"""The server outlives a thousand random calls drawn from the schemas it publishes, half of them against these."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest
from mcp.shared.exceptions import McpError
from PIL import Image
from support.mcp_servers import MCP, call, http_server, over_http, over_stdio, run

JUNK = [
    None,
    True,
    -1,
    0,
    1e308,
    float("nan"),
    10**30,
    "",
    "\0",
    "\ud800",
    "../..",
    "/etc/passwd",
    [],
    {},
    [[[]]],
    "[1",
]
WORDS = ["scan.png", "mask.png", "none.png", "data:image/png;base64,AAAA", "middle", "liver", "40,400", "p1,p99", "x"]


URIS = list(enumerate(["", "file:///etc/passwd", "ibisagent://session/x/mask.png", "ibisagent://session/../x", 7]))


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64), np.uint8)).save(tmp_path / "scan.png")
    Image.fromarray(rng.integers(0, 2, (64, 64), np.uint8) * 255).save(tmp_path / "mask.png")
    return tmp_path


def drawn(rng, schema, known, depth=0):
    """Draw a value of a JSON schema; now and then one of no schema at all."""
    if rng.random() < 0.04 or depth > 4:
        return rng.choice(JUNK)
    if "anyOf" in schema:
        return drawn(rng, rng.choice(schema["anyOf"]), known, depth)
    if "enum" in schema:
        return rng.choice(schema["enum"])
    match schema.get("type"):
        case "object":
            if "properties" not in schema:
                return {"size": rng.choice([[64, 64], [9**6, 9**6]]), "counts": rng.choice(["PPP1", "PP", "", 7])}
            needed = schema.get("required", [])
            chosen = [name for name in schema["properties"] if name in needed or rng.random() < 0.5]
            chosen = [name for name in chosen if rng.random() > 0.02]
            return {name: drawn(rng, schema["properties"][name], known, depth + 1) for name in chosen}
        case "array":
            least, most = schema.get("minItems", 1), schema.get("maxItems", 6)
            items = [schema.get("items", {})] * rng.randint(least, most)
            return sorted((drawn(rng, item, known, depth + 1) for item in items), key=str)
        case "number":
            return rng.choice([rng.random(), rng.random(), 0, 1, 1.5, -0.0])
        case "integer":
            return rng.choice([0, 1, 64, 64, -1, 2**40])
        case "boolean":
            return rng.random() < 0.5
        case "null":
            return None
    return rng.choice([rng.choice(known), rng.choice(known), rng.choice(WORDS)])


def fitted(rng, tool, arguments):
    """Bend a drawn call towards one that works, so that not everything ends at the first check."""
    if isinstance(arguments, dict) and tool == "segment" and rng.random() < 0.7:
        arguments |= {"image": "scan.png", "slice": None, "window": None, "request": "x"}
        if rng.random() < 0.7:
            arguments["mask"] = rng.choice([None, "mask.png"])
    if isinstance(arguments, dict) and tool == "refine" and rng.random() < 0.7:
        corner = [round(rng.random(), 2), round(rng.random(), 2)]
        kept = {"click": corner, "box": [*corner, 1, 1], "undo": True}
        name = rng.choice(list(kept))
        arguments = {"session": arguments.get("session"), name: kept[name], "continue_policy": rng.random() < 0.3}
    if isinstance(arguments, dict) and tool == "export" and rng.random() < 0.7:
        arguments["formats"] = rng.sample(["png", "json", "overlay", "trajectory"], 2)
    return arguments if isinstance(arguments, dict) else {"image": arguments}


async def survived(client, root, number):
    """Make random calls one after another; give how many worked, how many were refused, and what they said."""
    rng, worked, refused, known = random.Random(0), 0, [], ["never"]
    tools = {tool.name: tool.inputSchema for tool in (await client.list_tools()).tools}
    for _ in range(number):
        tool = rng.choice(list(tools)) if rng.random() < 0.97 else "none"
        schema = tools.get(tool, {"type": "object", "properties": {}})
        arguments = fitted(rng, tool, drawn(rng, schema, known[-8:]))
        arguments = json.loads(json.dumps(arguments).replace("NaN", "0.5").replace("\\ud800", "?"))
        try:
            result = await client.call_tool(tool, arguments)
        except McpError as error:
            refused.append(str(error))
            continue
        if result.isError:
            refused.append(result.content[0].text)
            continue
        worked += 1
        known.append(result.structuredContent["session"])
    _, told = await call(client, "segment", image="scan.png", request="x")
    return worked, refused, told


@pytest.mark.slow
def test_a_thousand_random_calls_over_stdio(root, tmp_path):
    async def ask():
        options = ("--policy", "random", "--max-steps", 4, "--segmenter", "disk", "--root", root)
        async with over_stdio(*options, "--out", tmp_path / "out", "--sessions", 6) as client:
            return await survived(client, root, 1000)

    check(*run(ask))


@pytest.mark.slow
def test_a_thousand_random_calls_over_http(root):
    async def ask(url):
        async with over_http(url) as client:
            return await survived(client, root, 1000)

    with http_server("--policy", "random", "--max-steps", 4, "--segmenter", "disk", "--root", root) as url:
        check(*run(ask, url))


@pytest.mark.slow
def test_lines_that_are_no_messages_are_outlived():
    rng = random.Random(0)
    junk = [bytes(rng.randrange(256) for _ in range(60)).replace(b"\n", b"") for _ in range(50)]
    wrong = [
        None,
        [],
        {"name": 7},
        {"name": "segment", "arguments": [1]},
        {"name": "segment", "arguments": {"image": 1}},
    ]
    calls = [{"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": each} for n, each in enumerate(wrong)]
    reads = [{"jsonrpc": "2.0", "id": n + 9, "method": "resources/read", "params": {"uri": each}} for n, each in URIS]
    lines = [*junk, b"[" * 5000, b"{}", b"null", b"", *(json.dumps(each).encode() for each in (*calls, *reads))]
    version = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    first = {"jsonrpc": "2.0", "id": "first", "method": "initialize", "params": version}
    last = {"jsonrpc": "2.0", "id": "last", "method": "ping"}
    everything = [json.dumps(first).encode(), *lines, json.dumps(last).encode(), b""]
    process = subprocess.Popen(
        [sys.executable, *MCP, "--policy", "centre"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        process.stdin.write(b"\n".join(everything))
        process.stdin.flush()
        said = next(line for line in process.stdout if b'"last"' in line)
        process.stdin.close()
        assert process.wait(30) == 0
    assert json.loads(said)["result"] == {}


def check(worked, refused, told):
    assert told["stop"]
    assert worked > 200
    assert len(refused) > 200
    assert not [words for words in refused if "Traceback" in words or "something inside failed" in words]
