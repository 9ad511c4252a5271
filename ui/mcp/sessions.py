"""Sessions: what a client has segmented, under a handle that nobody can guess.

Whoever holds a handle holds the session; there is no list of them. Clients may open a new connection for every call, so
that a handle is not bound to its connection; it is bound to the ``Authorization`` that came with its first call, where
a proxy or a client sent one.
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

ENDED = "this handle opens none of yours, or it has ended"
HANDLE = re.compile(r"[\w-]{32}")
"""What a handle looks like."""

THREAD = RunnableConfig(configurable={"thread_id": "session"})
"""The one thread of each session's own graph."""


@dataclass(slots=True, eq=False)
class Session:
    """A graph with checkpoints and stores of its own, which go when the session goes; one call at a time has it."""

    graph: SegmentationGraph
    image: MedicalImage
    handle: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def folder(self) -> str:
        """A name for files on disk that does not give the handle away."""
        return f"session-{hashlib.sha256(self.handle.encode()).hexdigest()[:12]}"


class Sessions:
    """The sessions of one server, bounded in number and age; for one event loop."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none; ``clock`` gives seconds."""
        self._limits, self._clock = limits, clock
        self._held: OrderedDict[tuple[str, str | None], tuple[Session, float]] = OrderedDict()

    def __len__(self) -> int:
        """Count those that have not ended."""
        self._end_old()
        return len(self._held)

    def keep(self, session: Session, owner: str | None) -> None:
        """Keep a session of ``owner``; the one used least recently ends where there are too many."""
        self._held[session.handle, owner] = session, self._clock()
        self._end_old()
        while len(self._held) > self._limits.sessions:
            self._held.popitem(last=False)

    def get(self, handle: str, owner: str | None) -> Session:
        """Give the session of ``owner`` under a handle; `InputError` in the same words for all that is none."""
        session = self.find(handle, owner)
        if session is None:
            raise InputError(f"session: {ENDED}; begin one with segment")
        return session

    def find(self, handle: str, owner: str | None) -> Session | None:
        """Do what `get` does; None where there is none."""
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
