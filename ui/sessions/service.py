"""Segmentation sessions of many clients: opened, run, corrected, forked, stopped, read and exported.

The interfaces (MCP, a page) translate their requests into these calls, and values and errors back into their own words.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from langgraph.checkpoint.memory import InMemorySaver

from ibisagent.agent import Action, LoopConfig, Policy, build_graph
from ibisagent.agent.integrations.summary import summarize
from ibisagent.agent.state import State
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.rle import Rle
from ibisagent.tools.segmenters.memo import Memo
from ibisagent.ui.sessions import export, files, running
from ibisagent.ui.sessions.files import Upload
from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.running import OnStep
from ibisagent.ui.sessions.session_errors import PromptsRequired, RequestRequired, SessionFull
from ibisagent.ui.sessions.session_store import Durability, Session, Sessions, make_upload_folder
from ibisagent.ui.sessions.session_values import SessionInfo, SessionStep, describe_step

__all__ = ["ImageSource", "RunRequest", "SessionService"]

ImageSource = str | Sequence[Upload]
"""A data URL, a path below a root, or uploads: one file, or the files of a series."""

_MARKED_REQUEST = "Segment what is marked."
_Work = Callable[[threading.Event], Coroutine[Any, Any, None]]


async def _ignore(_step: SessionStep) -> None: ...


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A request on a session's image: a text, prompts, or both.

    ``mask``: to refine; a path, COCO run lengths, an upload, or the handle of another session. Without one, a later
    request on the same picture refines the mask in force. ``slice``, ``window``: of the picture, unchanged with None.
    ``policy_acts``: False applies the prompts and waits for a person; the text may then be left out.
    """

    text: str | None = None
    prompts: Sequence[Prompt] = ()
    mask: str | Mapping[str, Any] | Upload | None = None
    kind: Literal["segment", "question"] = "segment"
    slice: str | None = None
    window: str | None = None
    policy_acts: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class SessionService:
    """The sessions of one process; every method takes the owner, and none reveals another owner's sessions.

    ``prompts_required``: the policy adds no prompts, so that it needs some to begin with. ``roots``: resolved folders
    from which images are read. ``durability``: see `ibisagent.ui.sessions.session_store.Session`; a fork needs "sync".
    """

    policy: Policy
    memo: Memo
    config: LoopConfig
    limits: Limits = field(default_factory=Limits)
    roots: tuple[Path, ...] = ()
    prompts_required: bool = False
    durability: Durability = "exit"
    sessions: Sessions = field(init=False)
    _slots: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        """Start without sessions."""
        object.__setattr__(self, "sessions", Sessions(self.limits))
        object.__setattr__(self, "_slots", asyncio.Semaphore(self.limits.runs))

    async def open(
        self, image: ImageSource, owner: str | None, *, slice: str | None = None, window: str | None = None
    ) -> SessionInfo:
        """Open a session on an image, in which nothing has run yet."""
        session = await asyncio.to_thread(self._open, image, slice, window)
        self.sessions.keep(session, owner)
        return await self._info(session)

    async def segment(
        self, image: ImageSource, owner: str | None, request: RunRequest, on_step: OnStep = _ignore
    ) -> SessionInfo:
        """Run a request in a new session, which is held once the run has ended; nothing is left of a failed one."""
        start = await self._start(request, owner)
        async with self._slots:
            session = await asyncio.to_thread(self._open, image, request.slice, request.window)
            try:
                await _finish(session, lambda cancel: self._run(session, request, start, on_step, cancel))
            except BaseException:
                session.end()
                raise
        self.sessions.keep(session, owner)
        return await self._info(session)

    async def run(
        self, handle: str, owner: str | None, request: RunRequest, on_step: OnStep = _ignore
    ) -> SessionInfo:
        """Run a request in a session, after what already runs there."""
        session = self.sessions.get(handle, owner)
        start = await self._start(request, owner)
        return await self._work(session, owner, partial(self._run, session, request, start, on_step))

    async def act(
        self,
        handle: str,
        owner: str | None,
        action: Action,
        on_step: OnStep = _ignore,
        *,
        policy_acts: bool = False,
    ) -> SessionInfo:
        """Apply a person's click, box, undo, redo or acceptance; with ``policy_acts`` the policy then continues."""
        session = self.sessions.get(handle, owner)

        async def work(cancel: threading.Event) -> None:
            await self._require_room(session)
            await running.apply_action(session, action, on_step, cancel)
            if policy_acts:
                await running.run_session(session, None, on_step, cancel)

        return await self._work(session, owner, work)

    async def fork(
        self,
        handle: str,
        owner: str | None,
        step: int,
        action: Action | None = None,
        on_step: OnStep = _ignore,
        *,
        policy_acts: bool = True,
    ) -> SessionInfo:
        """Continue from before a step on a new branch, with a person's action or the policy's in its place."""
        session = self.sessions.get(handle, owner)

        async def work(cancel: threading.Event) -> None:
            await _require_request(session)
            await running.fork_session(session, step, action, on_step, cancel, policy_acts=policy_acts)

        return await self._work(session, owner, work)

    def stop(self, handle: str, owner: str | None) -> None:
        """Cancel what runs in a session, or waits for its turn; its run ends with the mask in force."""
        self.sessions.get(handle, owner).stop()

    def close(self, handle: str, owner: str | None) -> None:
        """End a session; what runs in it is cancelled, and its data is freed."""
        self.sessions.close(handle, owner)

    async def info(self, handle: str, owner: str | None, *, wait: bool = True) -> SessionInfo:
        """Return a session's state; with ``wait`` after what runs there, else as its last checkpoint has it."""
        session = self.sessions.get(handle, owner)
        if not wait:
            return await self._info(session)
        async with session.lock:
            return await self._info(session)

    async def steps(self, handle: str, owner: str | None) -> list[SessionStep]:
        """Return a session's steps up to its last checkpoint, oldest first."""
        session = self.sessions.get(handle, owner)
        records = (await running.current_state(session)).get("steps", [])
        return [describe_step(session.graph, record) for record in records]

    async def mask(self, handle: str, owner: str | None, key: str | None = None) -> Rle:
        """Return the mask after a step by its key, or the mask in force; `StoreError` for a key of no such mask."""
        session = self.sessions.get(handle, owner)
        if key is not None:
            return session.graph.components.store.get_mask(key)
        return running.current_mask(await _require_request(session))

    async def view(
        self, handle: str, owner: str | None, *, slice: str | None = None, window: str | None = None
    ) -> MedicalImage:
        """Open another slice of a session's image, or the same one in another window, without running anything."""
        return await asyncio.to_thread(self._view, self.sessions.get(handle, owner), slice, window)

    async def render(self, handle: str, owner: str | None, name: str) -> bytes:
        """Render one of a session's files (`ibisagent.ui.sessions.export.FORMATS`)."""
        session = self.sessions.get(handle, owner)
        async with session.lock:
            state = await _require_request(session)
            return await asyncio.to_thread(export.render_file, session.graph, state, name, self.roots)

    async def export(
        self, handle: str, owner: str | None, names: Sequence[str], folder: Path | None
    ) -> dict[str, str | None]:
        """Write some of a session's files under ``folder``; return each one's path relative to it, None without it.

        `InputError`: the mask cannot be written in one of the formats; then none is written.
        """
        session = self.sessions.get(handle, owner)
        async with session.lock:
            return await asyncio.to_thread(self._export, session, await _require_request(session), names, folder)

    def _export(
        self, session: Session, state: State, names: Sequence[str], folder: Path | None
    ) -> dict[str, str | None]:
        for name in names:
            export.require_format(session.graph, state, name)
        if folder is None:
            return dict.fromkeys(names)
        made = {name: export.render_file(session.graph, state, name, self.roots) for name in names}
        for name, content in made.items():
            export.write_file(folder / session.folder, name, content)
        return {name: f"{session.folder}/{name}" for name in made}
