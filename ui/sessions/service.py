"""Segmentation sessions of many clients: opened, run, corrected, forked, stopped, read and exported.

The interfaces (MCP, a page) translate their requests into these calls, and values and errors back into their own words.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from langgraph.checkpoint.memory import InMemorySaver

from ibisagent.agent import Action, LoopConfig, Policy, build_graph
from ibisagent.agent.proposers import Proposer
from ibisagent.agent.state import State, current_mask
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.reading import read_mask
from ibisagent.tools.masks.rle import Rle
from ibisagent.tools.segmenters.memo import Memo
from ibisagent.ui.sessions import export, files, running
from ibisagent.ui.sessions.files import ImageSource
from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.running import OnStep
from ibisagent.ui.sessions.session_errors import PromptsRequired, RequestRequired, SessionFull
from ibisagent.ui.sessions.session_store import Durability, Session, Sessions
from ibisagent.ui.sessions.session_values import RunRequest, SessionInfo, SessionStep, describe_session, describe_step

__all__ = ["MARKED_REQUEST", "SessionService"]

MARKED_REQUEST = "Segment what is marked."
"""The request of a session in which a person marks something and says nothing."""

_Work = Callable[[threading.Event], Coroutine[Any, Any, None]]


class _Start(NamedTuple):
    """A request's text, and the mask in force of the session that it refines, None if that is another mask or none."""

    text: str
    earlier_mask: Rle | None


async def _ignore(_step: object) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class SessionService:
    """The sessions of one process; every method takes the owner, and none reveals another owner's sessions.

    ``proposer``: as of `build_graph`.
    ``prompts_required``: the policy adds no prompts, so that it needs some to begin with. ``roots``: resolved folders
    from which images are read. ``durability``: see `ibisagent.ui.sessions.session_store.Session`; a fork needs "sync".
    """

    policy: Policy
    memo: Memo
    config: LoopConfig
    limits: Limits = field(default_factory=Limits)
    roots: tuple[Path, ...] = ()
    prompts_required: bool = False
    proposer: Proposer | str | None = None
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
            opened, cancel = replace(request, slice=None, window=None), threading.Event()
            try:
                await running.finish_when_cancelled(self._run(session, opened, start, on_step, cancel), cancel)
            except BaseException:
                session.end()
                raise
        self.sessions.keep(session, owner)
        return await self._info(session)

    async def run(self, handle: str, owner: str | None, request: RunRequest, on_step: OnStep = _ignore) -> SessionInfo:
        """Run a request in a session, after what already runs there."""
        session = self.sessions.get(handle, owner)
        start = await self._start(request, owner)
        return await self._work(session, owner, partial(self._run, session, request, start, on_step))

    async def resume(self, handle: str, owner: str | None, policy_acts: bool, on_step: OnStep = _ignore) -> SessionInfo:
        """Finish what ran in a session when its process was killed."""
        session = self.sessions.get(handle, owner)

        async def work(cancel: threading.Event) -> None:
            await running.resume_session(session, on_step, cancel, policy_acts=policy_acts)

        return await self._work(session, owner, work)

    async def proceed(self, handle: str, owner: str | None, on_step: OnStep = _ignore) -> SessionInfo:
        """Let the policy continue a session's request, with as many steps as a new one has."""
        session = self.sessions.get(handle, owner)

        async def work(cancel: threading.Event) -> None:
            await _require_request(session)
            self._require_room(session)
            await running.proceed(session, on_step, cancel)

        return await self._work(session, owner, work)

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
            await _require_request(session)
            self._require_room(session)
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
            self._require_room(session)
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
        return current_mask(await _require_request(session))

    async def view(
        self, handle: str, owner: str | None, *, slice: str | None = None, window: str | None = None
    ) -> MedicalImage:
        """Open another slice of a session's image, or the same one in another window, without running anything."""
        return await asyncio.to_thread(_view, self.sessions.get(handle, owner), self.limits, slice, window)

    async def render(self, handle: str, owner: str | None, name: str, truth: Rle | None = None) -> bytes:
        """Render one of a session's files (`ibisagent.ui.sessions.export.FORMATS`); ``truth`` is recorded in them."""
        session = self.sessions.get(handle, owner)
        async with session.lock:
            state = await _require_request(session)
            return await asyncio.to_thread(export.render_file, session.graph, state, name, self.roots, truth)

    async def export(
        self, handle: str, owner: str | None, names: Sequence[str], folder: Path | None
    ) -> dict[str, str | None]:
        """Write some of a session's files under ``folder``; return each one's path relative to it, None without it.

        `InputError`: the mask cannot be written in one of the formats; then none is written.
        """
        session = self.sessions.get(handle, owner)
        async with session.lock:
            state = await _require_request(session)
            return await asyncio.to_thread(export.export_files, session, state, names, folder, self.roots)

    def _open(self, image: ImageSource, slice: str | None, window: str | None) -> Session:
        file = files.find_image(image, self.roots, self.limits)
        try:
            opened = files.open_image_file(file, self.limits, slice=slice, window=window)
        except BaseException:
            file.delete_upload()
            raise
        graph = build_graph(self.policy, self.memo, self.config, proposer=self.proposer, checkpointer=InMemorySaver())
        return Session(graph, opened, file if isinstance(file.place, Path) else None, self.durability)

    async def _start(self, request: RunRequest, owner: str | None) -> _Start:
        """Check what a request lacks, before anything is opened."""
        marked = bool(request.prompts) or request.mask is not None
        if request.policy_acts and self.prompts_required and not marked:
            raise PromptsRequired
        if request.policy_acts and request.text is None and not marked:
            raise RequestRequired
        earlier = self.sessions.find(request.mask, owner) if isinstance(request.mask, str) else None
        mask = current_mask(await _require_request(earlier)) if earlier is not None else None
        return _Start(request.text if request.text is not None else MARKED_REQUEST, mask)

    async def _run(
        self, session: Session, request: RunRequest, start: _Start, on_step: OnStep, cancel: threading.Event
    ) -> None:
        self._require_room(session)
        image = await asyncio.to_thread(_view, session, self.limits, request.slice, request.window)
        mask = await asyncio.to_thread(self._read_mask, request, start, image)
        given = {"image": image, "request": start.text, "kind": request.kind, "prompts": list(request.prompts)}
        given |= {"prompts_actor": request.prompts_actor}
        session.image = image
        await running.run_session(
            session, given | {"initial_mask": mask}, on_step, cancel, policy_acts=request.policy_acts
        )

    def _read_mask(self, request: RunRequest, start: _Start, image: MedicalImage) -> Mask | None:
        if start.earlier_mask is not None:
            return read_mask(start.earlier_mask, image)
        return files.read_given_mask(request.mask, image, self.roots, self.limits)

    def _require_room(self, session: Session) -> None:
        if session.steps >= self.limits.steps:
            raise SessionFull(self.limits.steps)

    async def _work(self, session: Session, owner: str | None, work: _Work) -> SessionInfo:
        """Do a session's work when it is its turn; cancelled while it waits, it is not done."""
        cancel = threading.Event()
        session.cancels.add(cancel)
        try:
            async with session.lock:
                async with self._slots:
                    if not cancel.is_set():
                        await running.finish_when_cancelled(work(cancel), cancel)
                session.cancels.discard(cancel)
                return await self._info(session)
        finally:
            session.cancels.discard(cancel)
            self.sessions.find(session.handle, owner)  # unused from now on, not from its beginning

    async def _info(self, session: Session) -> SessionInfo:
        return await asyncio.to_thread(describe_session, session, await running.current_state(session))


def _view(session: Session, limits: Limits, slice: str | None, window: str | None) -> MedicalImage:
    image = session.image
    if slice in (None, image.slice) and window in (None, image.window):
        return image
    if session.file is None:
        got = "got one, or a window, for a picture that came as a data URL"
        raise InputError(f"slice: {got}, expected none; open it with them")
    chosen = {"slice": slice or image.slice, "window": window or image.window}
    return files.open_image_file(session.file, limits, **chosen)


async def _require_request(session: Session) -> State:
    """Return a session's state; `InputError` before its first request."""
    state = await running.current_state(session)
    if "run" not in state:
        raise InputError("session: got one in which nothing was asked for, expected a request; begin with one")
    return state
