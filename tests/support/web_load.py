"""Load on the page's server: python -m support.web_load [--at-once 20] [--sessions 200].

Each person opens a page of his own, sends a picture and asks `nano` for the spleen, as a browser would. Printed: runs
that failed, the 95th percentile of the time from the request to the first step, and the server's memory after each
round.
"""

import argparse
import asyncio
import io
import json
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx
import numpy as np
from PIL import Image

from ibisagent.ui.example_folder import draw_unseen_phantom
from support.web_server import served_process

__all__ = ["Visit", "make_load", "resident_mib"]

_TIMEOUT = 300.0


class Visit(NamedTuple):
    """One person's visit: seconds from the request to the first step, None where none came, and how it ended."""

    first_step: float | None
    ending: str


async def make_load(address: str, people: int) -> list[Visit]:
    """Have so many people visit at once, each in a browser of his own."""
    buffer = io.BytesIO()
    Image.fromarray(draw_unseen_phantom("spleen")[0]).save(buffer, "PNG")
    return await asyncio.gather(*(_visit(address, buffer.getvalue()) for _ in range(people)))


async def _visit(address: str, picture: bytes) -> Visit:
    headers = {"origin": address}
    async with httpx.AsyncClient(base_url=address, timeout=_TIMEOUT, headers=headers, trust_env=False) as client:
        opened = await client.get("/")
        handle = parse_qs(urlsplit(opened.headers["location"]).query)["s"][0]
        sent = await client.post(f"/s/{handle}/upload", params={"name": "scan.png"}, content=picture)
        sent.raise_for_status()
        functions = await _functions(client, handle)
        asked = time.monotonic()
        async for _ in _call(client, handle, functions["ask"], ["Segment the spleen.", "segment"]):
            pass
        first, ending = None, ""
        async for line in _call(client, handle, functions["watch"], []):
            if first is None and re.search(r"Positive Point|Terminate", line):
                first = time.monotonic() - asked
            for kind in re.findall(r'"stop_kind",?\W+(\w+)', line):
                ending = kind
        return Visit(first, ending)


async def _functions(client: httpx.AsyncClient, handle: str) -> dict[str, int]:
    config = (await client.get("/config", params={"s": handle})).json()
    found: dict[str, int] = {}
    for each in config["dependencies"]:
        found.setdefault(each["api_name"], each["id"])
    return found


async def _call(client: httpx.AsyncClient, handle: str, function: int, data: list[Any]) -> AsyncIterator[str]:
    """Call a function of the page, and yield what the server says until it has ended."""
    query, hashed = {"s": handle}, f"{handle[:8]}{time.monotonic_ns()}"
    body = {"data": data, "fn_index": function, "session_hash": hashed}
    (await client.post("/gradio_api/queue/join", params=query, json=body)).raise_for_status()
    async with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": hashed}) as events:
        async for line in events.aiter_lines():
            yield line
            if '"process_completed"' in line:
                if not json.loads(line.removeprefix("data: "))["success"]:
                    raise RuntimeError(line[:500])
                return


def resident_mib(process: int) -> float:
    """Return the memory that a process holds (Linux)."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1]) / 1024


def _measure(at_once: int, sessions: int) -> None:
    visits: list[Visit] = []
    with tempfile.TemporaryDirectory() as folder, served_process(Path(folder)) as (address, process):
        with suppress(httpx.HTTPError):
            asyncio.run(make_load(address, 1))  # the model wakes up
        _say(f"idle: {resident_mib(process.pid):.0f} MiB")
        while len(visits) < sessions:
            visits += asyncio.run(make_load(address, min(at_once, sessions - len(visits))))
            seconds = [visit.first_step for visit in visits[-at_once:] if visit.first_step is not None]
            late = f"{np.percentile(seconds, 95):.1f} s" if seconds else "none"
            failed = sum(visit.ending != "done" for visit in visits)
            memory = resident_mib(process.pid)
            _say(f"{len(visits)} sessions, {failed} failed; p95 to the first step {late}; {memory:.0f} MiB")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--sessions", type=int, default=200)
    given = parser.parse_args()
    _measure(given.at_once, given.sessions)
