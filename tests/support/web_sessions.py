"""The page's sessions without a server or a browser: policies by script, and waiting until nothing runs."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ibisagent.agent import LoopConfig
from ibisagent.agent.policies import Policy
from ibisagent.tools.segmenters.memo import get_memo
from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.service import SessionService
from ibisagent.ui.sessions.snapshots import Snapshot
from ibisagent.ui.web.web_options import WebOptions
from ibisagent.ui.web.web_sessions import WebSessions

__all__ = ["OWNER", "make_sessions", "raise_failure", "send", "settle", "started"]

OWNER = "o" * 32


def make_sessions(policy: Callable[[], Policy], **options: Any) -> WebSessions:
    """Make sessions in which a new policy acts on a segmenter, by default disk, after a ``proposer`` if any."""
    memo = get_memo(options.pop("segmenter", "disk"))
    limits, proposer = options.pop("limits", Limits()), options.pop("proposer", None)

    def load() -> SessionService:
        settings = LoopConfig()
        return SessionService(policy(), memo, settings, limits=limits, proposer=proposer, durability="sync")

    return WebSessions(WebOptions(limits=limits, **options), load)


def raise_failure(error: BaseException) -> None:
    """Raise an error of loading, which the event loop then reports."""
    raise error


@asynccontextmanager
async def started(sessions: WebSessions, owner: str = OWNER) -> AsyncIterator[str]:
    """Run sessions, and yield the handle of a new one."""
    async with sessions.running(raise_failure):
        yield await sessions.create(owner)


async def settle(sessions: WebSessions, handle: str, owner: str = OWNER) -> Snapshot:
    """Return the snapshot in which nothing runs any more."""
    snapshots = [snapshot async for snapshot in sessions.watch(handle, owner)]
    assert not snapshots[-1]["running"]
    return snapshots[-1]


async def send(
    sessions: WebSessions, handle: str, file: Path | bytes, name: str, kind: Any = "image", owner: str = OWNER
) -> str | None:
    """Upload a file in pieces; return the line of an error."""
    content = file if isinstance(file, bytes) else file.read_bytes()

    async def body() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 100_000):
            yield content[start : start + 100_000]

    return await sessions.receive_file(handle, owner, name, body(), kind, more=False)
