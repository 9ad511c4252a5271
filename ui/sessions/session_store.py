"""The sessions that are held, each under an unguessable handle and for one owner.

A handle gives access to its session; handles cannot be listed. A session also belongs to an owner, whatever tells a
client's requests from another's, such as a hash of a header or a cookie; None where nothing does.
"""

import asyncio
import hashlib
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from langchain_core.runnables import RunnableConfig

from ibisagent.agent import SegmentationGraph
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.ui.sessions.files import ImageFile, new_handle
from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.session_errors import UnknownSession

__all__ = ["THREAD", "Durability", "Session", "Sessions"]

THREAD = RunnableConfig(configurable={"thread_id": "session"})
"""The one thread of each session's own graph."""

Durability = Literal["exit", "sync"]


@dataclass(slots=True, eq=False, weakref_slot=True)
class Session:
    """A graph with checkpoints and stores of its own, which are freed with the session; the lock serializes runs.

    ``image``: the picture of the next request; ``file``: from which other slices and windows of it are opened, None
    for a data URL's; uploads are deleted with the session. ``durability``: LangGraph's; "exit" keeps the last
    checkpoint of each run only, and "sync" each, so that the session can be forked. ``cancels``: the event of each run
    that is in progress or waits for its turn. ``steps``: that were made in it, on every branch. ``thread``: of the
    graph's checkpointer; ``head``: the checkpoint of another branch than the newest, from which it continues next.
    ``stored``: its data are kept elsewhere, and the end of this object does not delete them.
    """

    graph: SegmentationGraph
    image: MedicalImage
    file: ImageFile | None = None
    durability: Durability = "exit"
    handle: str = field(default_factory=new_handle)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    cancels: set[threading.Event] = field(default_factory=set)
    steps: int = 0
    thread: RunnableConfig = field(default_factory=lambda: THREAD)
    head: RunnableConfig | None = None
    stored: bool = False

    def __post_init__(self) -> None:
        """Have uploads deleted with the session, at the latest when the process exits."""
        if self.file is not None and not self.stored:
            weakref.finalize(self, self.file.delete_upload)

    @property
    def place(self) -> RunnableConfig:
        """The checkpoint from which the session continues."""
        return self.head or self.thread

    @property
    def folder(self) -> str:
        """A folder name from which the handle cannot be derived."""
        return f"session-{hashlib.sha256(self.handle.encode()).hexdigest()[:12]}"

    def stop(self) -> None:
        """Cancel what runs in the session or waits for its turn."""
        for cancel in self.cancels:
            cancel.set()

    def end(self) -> None:
        """Cancel what runs, and delete the uploads, unless they are stored."""
        self.stop()
        if self.file is not None and not self.stored:
            self.file.delete_upload()


class Sessions:
    """The sessions of one process, bounded in number and age; for one event loop."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without sessions; ``clock`` returns seconds."""
        self._limits, self._clock = limits, clock
        self._held: OrderedDict[tuple[str, str | None], tuple[Session, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of sessions that have not ended."""
        self._end_old()
        return len(self._held)

    def keep(self, session: Session, owner: str | None) -> None:
        """Store a session of ``owner``; the least recently used one ends when there are too many.

        One in which something runs ends last, and what runs in it is cancelled.
        """
        self._end_old()
        while len(self._held) >= self._limits.sessions:
            idle = (key for key, (held, _) in self._held.items() if not held.cancels)
            self._end(next(idle, next(iter(self._held))))
        self._held[session.handle, owner] = session, self._clock()

    def get(self, handle: str, owner: str | None) -> Session:
        """Return the session of ``owner`` with a handle; `UnknownSession` for an unknown, ended or foreign one."""
        session = self.find(handle, owner)
        if session is None:
            raise UnknownSession
        return session

    def find(self, handle: str, owner: str | None) -> Session | None:
        """Return the session as `get` does, or None."""
        self._end_old()
        found, _ = self._held.get((handle, owner), (None, None))
        if found is not None:
            self._held[handle, owner] = found, self._clock()
            self._held.move_to_end((handle, owner))
        return found

    def close(self, handle: str, owner: str | None) -> None:
        """End a session; `UnknownSession` as in `get`."""
        self.get(handle, owner)
        self._end((handle, owner))

    def _end_old(self) -> None:
        oldest = self._clock() - self._limits.seconds
        for key, (session, used) in list(self._held.items()):
            if used < oldest and not session.cancels:
                self._end(key)

    def _end(self, key: tuple[str, str | None]) -> None:
        session, _ = self._held.pop(key)
        session.end()
