"""Real servers in processes of their own, and clients of them."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager

import httpx
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

MCP = ("-m", "ibisagent.ui", "mcp")


def run(coroutine_function, *arguments):
    """Run a coroutine to its end; a failed assertion is unwrapped from the exception groups of a client's tasks."""
    try:
        return asyncio.run(coroutine_function(*arguments))
    except* AssertionError as group:
        while isinstance(group, BaseExceptionGroup):
            group = group.exceptions[0]
        raise group from None


@asynccontextmanager
async def over_stdio(*options, begin=MCP, program=sys.executable, env=None):
    """Start a server and yield a client of it; ``begin``: the first arguments of the program, Python."""
    parameters = StdioServerParameters(
        command=program, args=[*begin, *map(str, options)], env={**os.environ, **(env or {})}
    )
    async with stdio_client(parameters) as streams, ClientSession(*streams) as client:
        await client.initialize()
        yield client


@contextmanager
def http_server(*options, begin=MCP, program=sys.executable, env=None):
    """Start a server at a free port and yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, *begin, "--http", "--port", str(port), *map(str, options)]
    process = subprocess.Popen(command, env={**os.environ, **(env or {})}, start_new_session=True)
    try:
        until = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < until, "the server does not listen"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # under strace, the server is a child
        process.wait(20)


@asynccontextmanager
async def over_http(url, headers=None):
    """Yield a client with a connection of its own."""
    async with (
        httpx.AsyncClient(headers=headers, timeout=60, trust_env=False) as transport,
        streamable_http_client(url, http_client=transport) as (read, write, _),
        ClientSession(read, write) as client,
    ):
        await client.initialize()
        yield client


async def call(client, tool, progress=None, **arguments):
    """Call a tool that has to succeed and return its text and its values."""
    result = await client.call_tool(tool, arguments, progress_callback=progress)
    assert not result.isError, result.content[0].text
    return result.content[0].text, result.structuredContent


async def call_refused(client, tool, **arguments):
    """Call a tool that has to refuse and return its error."""
    result = await client.call_tool(tool, arguments)
    assert result.isError, result.content
    return result.content[0].text


async def read_resource(client, uri):
    """Read a resource: text, or the bytes of a blob."""
    import base64

    [content] = (await client.read_resource(uri)).contents
    return content.text if hasattr(content, "text") else base64.b64decode(content.blob)
