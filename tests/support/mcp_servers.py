"""Real servers in processes of their own, and clients of them."""

import asyncio
import base64
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import httpx
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.session import ProgressFnT
from mcp.types import CallToolResult, TextContent, TextResourceContents
from pydantic import AnyUrl

MCP = ("-m", "ibisagent.ui", "mcp")
Result = TypeVar("Result")


def run(coroutine_function: Callable[..., Coroutine[Any, Any, Result]], *arguments: Any) -> Result:
    """Run a coroutine to its end; a failed assertion is unwrapped from the exception groups of a client's tasks."""
    try:
        return asyncio.run(coroutine_function(*arguments))
    except* AssertionError as group:
        failed: BaseException = group
        while isinstance(failed, BaseExceptionGroup):
            failed = failed.exceptions[0]
        raise failed from None


@asynccontextmanager
async def over_stdio(
    *options: object, begin: Sequence[str] = MCP, program: str = sys.executable, env: Mapping[str, str] | None = None
) -> AsyncIterator[ClientSession]:
    """Start a server and yield a client of it; ``begin``: the first arguments of the program, Python."""
    parameters = StdioServerParameters(
        command=program, args=[*begin, *map(str, options)], env={**os.environ, **(env or {})}
    )
    async with stdio_client(parameters) as streams, ClientSession(*streams) as client:
        await client.initialize()
        yield client


@contextmanager
def http_server(
    *options: object, begin: Sequence[str] = MCP, program: str = sys.executable, env: Mapping[str, str] | None = None
) -> Iterator[str]:
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
async def over_http(url: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[ClientSession]:
    """Yield a client with a connection of its own."""
    async with (
        httpx.AsyncClient(headers=headers, timeout=60, trust_env=False) as transport,
        streamable_http_client(url, http_client=transport) as (read, write, _),
        ClientSession(read, write) as client,
    ):
        await client.initialize()
        yield client


async def call(
    client: ClientSession, tool: str, progress: ProgressFnT | None = None, **arguments: Any
) -> tuple[str, Any]:
    """Call a tool that has to succeed and return its text and its values."""
    result = await client.call_tool(tool, arguments, progress_callback=progress)
    assert not result.isError, _first_text(result)
    return _first_text(result), result.structuredContent


async def call_refused(client: ClientSession, tool: str, **arguments: Any) -> str:
    """Call a tool that has to refuse and return its error."""
    result = await client.call_tool(tool, arguments)
    assert result.isError, result.content
    return _first_text(result)


def _first_text(result: CallToolResult) -> str:
    first = result.content[0]
    assert isinstance(first, TextContent)
    return first.text


async def read_resource(client: ClientSession, uri: str) -> str | bytes:
    """Read a resource: text, or the bytes of a blob."""
    [content] = (await client.read_resource(AnyUrl(uri))).contents
    return content.text if isinstance(content, TextResourceContents) else base64.b64decode(content.blob)
