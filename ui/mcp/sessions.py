"""Sessions: the segmentations of clients, each under an unguessable handle.

A handle gives access to its session; handles cannot be listed. Clients may open a new connection for every call, so a
handle is not bound to its connection, but to the ``Authorization`` header of its first call, where a proxy or a client
sent one.
"""

import asyncio
import hashlib
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from langchain_core.runnables import RunnableConfig

from ibisagent.agent import SegmentationGraph
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.ui.mcp.limits import Limits

__all__ = ["ENDED", "HANDLE", "THREAD", "Session", "Sessions"]

ENDED = "got an unknown handle, or one whose session has ended"
HANDLE = re.compile(r"[\w-]{32}")
"""The format of a handle."""

THREAD = RunnableConfig(configurable={"thread_id": "session"})
"""The one thread of each session's own graph."""


@dataclass(slots=True, eq=False)
class Session:
    """A graph with checkpoints and stores of its own, which are freed with the session; the lock serializes calls."""

    graph: SegmentationGraph
    image: MedicalImage
    handle: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def folder(self) -> str:
        """A folder name from which the handle cannot be derived."""
        return f"session-{hashlib.sha256(self.handle.encode()).hexdigest()[:12]}"


class Sessions:
    """The sessions of one server, bounded in number and age; for one event loop."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without sessions; ``clock`` returns seconds."""
        self._limits, self._clock = limits, clock
        self._held: OrderedDict[tuple[str, str | None], tuple[Session, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of sessions that have not ended."""
        self._end_old()
        return len(self._held)

    def keep(self, session: Session, owner: str | None) -> None:
        """Store a session of ``owner``; the least recently used one ends when there are too many."""
        self._held[session.handle, owner] = session, self._clock()
        self._end_old()
        while len(self._held) > self._limits.sessions:
            self._held.popitem(last=False)

    def get(self, handle: str, owner: str | None) -> Session:
        """Return the session of ``owner`` with a handle; the same `InputError` for an unknown, ended or foreign one."""
        session = self.find(handle, owner)
        if session is None:
            raise InputError(f"session: {ENDED}; begin one with segment")
        return session

    def find(self, handle: str, owner: str | None) -> Session | None:
        """Return the session as `get` does, or None."""
        self._end_old()
        found, _ = self._held.get((handle, owner), (None, None))
        if found is not None:
            self._held[handle, owner] = found, self._clock()
            self._held.move_to_end((handle, owner))
        return found

    def _end_old(self) -> None:
        oldest = self._clock() - self._limits.seconds
        for key in [key for key, (_, used) in self._held.items() if used < oldest]:
            del self._held[key]
