"""Twenty people at once with nano: none fails; the time to the first step is printed, not promised."""

import asyncio
import sys
import time

import numpy as np
import pytest
from support.web_sessions import raise_failure, settle

from ibisagent.agent import LoopConfig, get_policy
from ibisagent.tools.segmenters.memo import get_memo
from ibisagent.ui.sessions.service import SessionService
from ibisagent.ui.web.web_options import WebOptions
from ibisagent.ui.web.web_sessions import WebSessions

PEOPLE = 20


async def first_step(sessions, owner):
    """Ask in a new session; return the seconds to its first step, and the last snapshot."""
    handle = await sessions.create(owner)
    await sessions.open_example(handle, owner, "spleen")
    await settle(sessions, handle, owner)
    began, first = time.monotonic(), None
    await sessions.ask(handle, owner, "Segment the spleen.")
    async for snapshot in sessions.watch(handle, owner):
        if snapshot["steps"] and first is None:
            first = time.monotonic() - began
    return first, snapshot


@pytest.mark.slow
def test_twenty_sessions_at_once(tmp_path):
    def load():
        return SessionService(get_policy("nano"), get_memo("geocut"), LoopConfig(12), durability="sync")

    async def story():
        sessions = WebSessions(WebOptions(database=tmp_path / "web.db"), load)
        async with sessions.running(raise_failure):
            await first_step(sessions, "w" * 32)
            return await asyncio.gather(*(first_step(sessions, f"{number:032}") for number in range(PEOPLE)))

    ended = asyncio.run(story())
    assert [(last["stop_kind"], last["error"]) for _, last in ended] == [("done", False)] * PEOPLE
    assert len({str(last["mask"]) for _, last in ended}) == 1
    seconds = np.percentile([first for first, _ in ended], 95)
    sys.stderr.write(f"\n{PEOPLE} sessions at once: p95 to the first step {seconds:.1f} s\n")
