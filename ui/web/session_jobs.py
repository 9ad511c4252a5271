"""Jobs of the page's sessions: found by handle and owner, restored from what is stored, run one at a time, resumed."""

import asyncio
import hmac
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from ibisagent.agent.integrations.error_messages import user_message
from ibisagent.tools.errors import IbisError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.ui.sessions.files import ImageFile, new_handle, open_image_file
from ibisagent.ui.sessions.recorded_runs import RecordList, list_records
from ibisagent.ui.sessions.running import OnStep
from ibisagent.ui.sessions.service import SessionService
from ibisagent.ui.sessions.session_errors import UnknownSession
from ibisagent.ui.sessions.session_store import Session
from ibisagent.ui.sessions.session_values import SessionStart, SessionStep
from ibisagent.ui.sessions.session_view import list_downloads, read_view, view_step
from ibisagent.ui.sessions.start_view import view_start
from ibisagent.ui.sessions.storage import SessionStorage, hash_secret, open_storage
from ibisagent.ui.web.live_session import LiveSession
from ibisagent.ui.web.web_case import PendingJob, WebCase
from ibisagent.ui.web.web_examples import view_examples
from ibisagent.ui.web.web_options import WebOptions

__all__ = ["SessionJobs", "Work"]

_MOST_STORED = 1000
_SWEEP_SECONDS = 60.0
_LOG = logging.getLogger(__name__)
Work = Callable[[LiveSession, SessionService], Awaitable[None]]


class SessionJobs:
    """The sessions of one server and the jobs in them; use it inside `running`."""

    def __init__(self, options: WebOptions, load: Callable[[], SessionService]) -> None:
        """Take the options and a function that loads policy and segmenter, called in a thread."""
        self.options = options
        self._load_service = load
        self._held: OrderedDict[str, LiveSession] = OrderedDict()
        self._examples = view_examples()
        self._storage: SessionStorage | None = None
        self._loading: asyncio.Task[SessionService] | None = None

    @asynccontextmanager
    async def running(self, on_failure: Callable[[BaseException], None]) -> AsyncIterator[None]:
        """Open the storage and load the policy beside it; ``on_failure`` gets the error if that fails.

        At the end jobs are left as they are; with a database they go on in the next process.
        """
        async with open_storage(self.options.database) as storage:
            self._storage = storage
            self._loading = asyncio.create_task(asyncio.to_thread(self._load_service))
            self._loading.add_done_callback(lambda task: _report_failure(task, on_failure))
            sweeper = asyncio.create_task(self._sweep())
            try:
                yield
            finally:
                sweeper.cancel()
                self._loading.cancel()
                tasks = [task for live in self._held.values() for task in live.tasks]
                for live in self._held.values():
                    self._cancel(live)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(sweeper, self._loading, *tasks, return_exceptions=True)

    @property
    def storage(self) -> SessionStorage:
        """The open storage."""
        assert self._storage is not None, "the sessions are not running"
        return self._storage

    @property
    def loaded(self) -> SessionService | None:
        """The service, None until the policy is loaded."""
        task = self._loading
        return task.result() if task and task.done() and not task.cancelled() and task.exception() is None else None

    async def service(self) -> SessionService:
        """Return the service when the policy is loaded."""
        assert self._loading is not None, "the sessions are not running"
        return await asyncio.shield(self._loading)

    async def create(self, owner: str) -> str:
        """Create a session for an owner, and return its handle."""
        handle = new_handle()
        await self.storage.ledger.add(hash_secret(handle), hash_secret(owner))
        return handle

    async def owns(self, handle: str, owner: str) -> bool:
        """Whether an owner has a session of that handle."""
        row = await self.storage.ledger.find(hash_secret(handle))
        return row is not None and hmac.compare_digest(row.owner, hash_secret(owner))

    async def find(self, handle: str, owner: str) -> LiveSession:
        """Return a session, restored if need be; `UnknownSession` where the owner has none of that handle."""
        thread = hash_secret(handle)
        row = await self.storage.ledger.find(thread)
        if row is None and (held := self._held.pop(thread, None)) is not None:
            await self._drop(held)  # it was forgotten by another process
        if row is None or not owner or not hmac.compare_digest(row.owner, hash_secret(owner)):
            raise UnknownSession
        await self.storage.ledger.touch(thread)
        live = self._held.get(thread)
        if live is None:
            new = WebCase(served=True, chosen=0) if self.options.runs is not None else WebCase()
            live = self._hold(handle, owner, thread, WebCase.from_json(row.case) if row.case else new)
            if live.case.place or live.case.reads:
                live.start(self._guard(live, self._restore))
        self._held.move_to_end(thread)
        return live

    def _hold(self, handle: str, owner: str, thread: str, case: WebCase) -> LiveSession:
        for key in [key for key, live in self._held.items() if not live.pending and not live.incoming]:
            if len(self._held) < 2 * self.options.limits.sessions:
                break
            del self._held[key]
        live = LiveSession(handle, owner, thread, case, self._examples, self.options.keep is not None)
        self._held[thread] = live
        return live

    def begin(self, live: LiveSession, work: Work, job: PendingJob | None = None) -> "asyncio.Task[None]":
        """Start a job of a session; ``job``: what is to be resumed of it in another process."""

        async def recorded(live: LiveSession, service: SessionService) -> None:
            if job is not None:
                newest = await self.storage.newest_checkpoint(live.thread)
                await self.save(live, job=replace(job, newest=newest))
            await work(live, service)

        return live.start(self._guard(live, recorded))

    async def _guard(self, live: LiveSession, work: Work) -> None:
        """Do a job in its turn; an error becomes the session's line, and cancelled with the server it stays to do."""
        try:
            if self.loaded is None:
                live.say("The model is waking up.")
                live.bump()
            service = await self.service()
            async with live.lock:
                if live.gone:
                    return
                live.say("")
                try:
                    if work != self._restore:
                        await self._require_session(live, service)
                    await work(live, service)
                except IbisError as error:
                    live.say(user_message(error, "the file").removeprefix("Error: "), error=True)
                except Exception as error:
                    _LOG.error("a job of a session failed", exc_info=error)
                    live.say(user_message(error).removeprefix("Error: "), error=True)
                await self._refresh(live, service)
                await self.save(live, job=None)
        finally:
            live.finish()

    async def save(self, live: LiveSession, **changes: object) -> None:
        """Change a session's case, and store it."""
        live.case = replace(live.case, **changes)  # type: ignore[arg-type]
        await self.storage.ledger.update(live.thread, live.case.to_json())

    async def _refresh(self, live: LiveSession, service: SessionService) -> None:
        """Read the view anew from what is stored."""
        session = service.sessions.find(live.handle, live.owner)
        if session is None or live.gone:
            return
        live.view = await read_view(session, live.case.truth_of)
        if live.view.sha and live.downloads[0] != live.view.sha:
            live.downloads = live.view.sha, await list_downloads(session)
        head = session.head["configurable"]["checkpoint_id"] if session.head is not None else None
        if head != live.case.head:
            await self.save(live, head=head, newest=await self.storage.newest_checkpoint(live.thread) if head else None)

    async def _require_session(self, live: LiveSession, service: SessionService) -> None:
        """Build the session of a case again, if there is one that is not in memory."""
        if live.case.place and service.sessions.find(live.handle, live.owner) is None:
            await self.adopt(live, service)

    async def adopt(self, live: LiveSession, service: SessionService) -> Session:
        """Build a session over what is stored, and have the service hold it."""
        case, file = live.case, live.file
        assert file is not None
        image = live.image
        if image is None:
            image = await asyncio.to_thread(self._open, file, case.slice, case.window)
        newest = await self.storage.newest_checkpoint(live.thread) if case.head else None
        head = case.head if newest == case.newest else None  # else the session went on from there
        session = await self.storage.make_session(service, live.handle, image, file, head)
        service.sessions.keep(session, live.owner)
        return session

    def _open(self, file: ImageFile, slice: str | None = None, window: str | None = None) -> MedicalImage:
        return open_image_file(file, self.options.limits, slice=slice, window=window)

    async def _restore(self, live: LiveSession, service: SessionService) -> None:
        """Open a stored session's picture and continue what was in progress."""
        case, folder = live.case, self.storage.folder_of(live.thread)
        if case.reads:
            live.records = self.options.runs if case.served else await self.list_records(folder / case.records)
            if live.records is not None and case.chosen is not None:
                live.show_record(await asyncio.to_thread(live.records.open, case.chosen))
            return
        place = folder / case.place
        live.file = ImageFile(place, "the picture", place if place.is_dir() else place.parent)
        live.opened = await asyncio.to_thread(self._open, live.file)
        live.image = await asyncio.to_thread(self._open, live.file, case.slice, case.window)
        await self.adopt(live, service)
        await self._refresh(live, service)
        if case.job is not None:
            live.bump()
            await self._resume(live, service, case.job)

    async def list_records(self, place: Path) -> RecordList:
        """List the recorded runs of a file or a folder that a session holds."""
        roots = [place, *self.options.roots] if place.is_dir() else self.options.roots
        return await asyncio.to_thread(list_records, place, roots)

    async def _resume(self, live: LiveSession, service: SessionService, job: PendingJob) -> None:
        begun = await self.storage.newest_checkpoint(live.thread) != job.newest
        if begun:
            await service.resume(live.handle, live.owner, job.policy_acts, self.reporter(live, service))
        elif job.text is not None:
            await self.run_request(live, service, job.text, job.kind)

    async def run_request(self, live: LiveSession, service: SessionService, text: str, kind: str) -> None:
        """Run a request on the shown picture; a first one with the mask or the prompts that the case begins with."""
        raise NotImplementedError

    def reporter(self, live: LiveSession, service: SessionService) -> OnStep:
        """Return what shows a proposal, and each step, as it happens."""

        async def report(step: SessionStart | SessionStep) -> None:
            view, mask = live.view, await service.mask(live.handle, live.owner, step.mask)
            truth = live.case.truth_of(view.slice)
            if isinstance(step, SessionStep):
                live.mark_step(view.with_step(view_step(step, mask, view.spacing, truth)))
            else:
                initial = mask if step.proposal["outcome"] == "proposed" else live.case.mask
                live.mark_step(view.with_start(view_start(step.proposal, initial, view.spacing, truth)))

        return report

    def _cancel(self, live: LiveSession) -> None:
        service = self.loaded
        if service is not None and (session := service.sessions.find(live.handle, live.owner)) is not None:
            session.stop()

    async def _drop(self, live: LiveSession) -> None:
        """End all that runs in a session, and let go of it."""
        live.gone = True
        self._cancel(live)
        await asyncio.gather(*live.tasks, return_exceptions=True)
        service = self.loaded
        if service is not None and service.sessions.find(live.handle, live.owner) is not None:
            service.close(live.handle, live.owner)
        live.bump()

    async def delete(self, thread: str) -> None:
        """Delete a session with all its data."""
        if (live := self._held.pop(thread, None)) is not None:
            await self._drop(live)
        if (row := await self.storage.ledger.find(thread)) is not None:
            await self.storage.delete(row)

    async def _sweep(self) -> None:
        while True:
            await self.delete_expired()
            await asyncio.sleep(_SWEEP_SECONDS)

    async def delete_expired(self) -> None:
        """Delete the sessions that were unused for too long, and the oldest of too many; none in which a job runs."""
        for row in await self.storage.ledger.list_unused(self.options.expiry, _MOST_STORED):
            live = self._held.get(row.thread)
            if live is None or not live.pending:
                await self.delete(row.thread)


def _report_failure(task: "asyncio.Task[SessionService]", report: Callable[[BaseException], None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        report(error)
