"""A session of the page while somebody may look at it: its picture, its view, its jobs, and who waits for changes."""

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import quote

from ibisagent.agent.steps import has_examples
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.ui.run_folder import INSTANCE_FILES
from ibisagent.ui.sessions.files import ImageFile
from ibisagent.ui.sessions.recorded_runs import RecordedRun, RecordList
from ibisagent.ui.sessions.session_view import SessionView
from ibisagent.ui.sessions.snapshots import CaseListView, ExampleView, PictureView, Snapshot
from ibisagent.ui.web.slice_choice import list_windows, read_slices
from ibisagent.ui.web.web_case import WebCase

__all__ = ["LiveSession"]


@dataclass(slots=True, eq=False)
class LiveSession:
    """The page's side of a session; everything in it can be read again from what is stored.

    ``opened``: the picture as it was first opened; ``image``: as it is shown; ``file``: what it is opened from.
    ``records``: recorded runs that can be read here, ``recorded``: the one that is shown. ``pending``: number of jobs
    that run or wait; ``since``: when the newest step or job began. ``lock``: one job at a time. ``gone``: it was
    forgotten.
    """

    handle: str
    owner: str
    thread: str
    case: WebCase
    examples: list[ExampleView]
    keeps_cases: bool
    opened: MedicalImage | None = None
    image: MedicalImage | None = None
    file: ImageFile | None = None
    records: RecordList | None = None
    recorded: RecordedRun | None = None
    view: SessionView = field(default_factory=SessionView)
    downloads: tuple[str, list[str]] = ("", [])
    message: str = ""
    error: bool = False
    pending: int = 0
    since: float = 0.0
    version: int = 0
    gone: bool = False
    incoming: list[ImageFile] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def shows_asked(self) -> bool:
        """Whether the shown picture is the one that was asked about, in whatever window."""
        image, view = self.image, self.view
        if image is None or view.mask is None:
            return False
        return image.sha == view.sha or (image.slice == view.slice and list(image.shape) == list(view.mask["size"]))

    @property
    def offered(self) -> list[str]:
        """The files that can be downloaded."""
        if self.case.reads:
            return self.recorded.downloads if self.recorded is not None else []
        return self.downloads[1]

    def show_record(self, run: RecordedRun) -> None:
        """Show a recorded run."""
        self.recorded, self.image, self.view = run, run.image, run.view

    def bump(self) -> None:
        """Wake all that wait for a change."""
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, seen: int, seconds: float) -> None:
        """Wait for a change after version ``seen``, at most so many seconds."""
        if self.version == seen:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)

    def say(self, message: str, *, error: bool = False) -> None:
        """Show a line for people."""
        self.message, self.error = message, error

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a job, which goes on whoever watches."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        self.pending += 1
        self.since = time.monotonic()
        self.say("")
        self.bump()
        return task

    def finish(self) -> None:
        """Count a job as done."""
        self.pending -= 1
        self.bump()

    def mark_step(self, view: SessionView) -> None:
        """Show a newer view, while the job goes on."""
        self.view, self.since = view, time.monotonic()
        self.bump()

    def snapshot(self) -> Snapshot:
        """Return what the page shows now."""
        view = self.view if self.shows_asked or self.image is None else _other_picture(self.view)
        running = self.pending > 0
        return Snapshot(
            version=self.version,
            handle=self.handle,
            running=running,
            thinking_seconds=round(time.monotonic() - self.since, 1) if running else 0.0,
            picture=self._picture(),
            request=view.request,
            kind=view.kind,
            requests=view.requests,
            suggestion=self.case.suggestion,
            steps=view.steps,
            start=view.start if view.request else self.case.mask,
            mask=view.mask if view.request else self.case.mask,
            stop=view.stop,
            stop_kind=view.stop_kind,
            message=self.message or ("" if running else view.message),
            error=self.error,
            answer=view.answer,
            accepted=view.accepted,
            read_only=self.case.reads,
            cases=self._cases(),
            keep=self._keep(),
            branches=view.branches,
            truth=self._truth(),
            downloads=self._list_downloads(view) if view.request and not running else [],
            examples=self.examples,
        )

    def _list_downloads(self, view: SessionView) -> list[str]:
        """List the files to offer; those of separate objects only where an example was given."""
        actions = [step["action"] for step in view.steps if step["action"]]
        hidden = () if has_examples(actions) else INSTANCE_FILES
        return [name for name in self.offered if name not in hidden]

    def _keep(self) -> Literal["off", "no", "yes"]:
        if not self.keeps_cases or self.case.reads:
            return "off"
        return "yes" if self.case.keeps else "no"

    def _cases(self) -> CaseListView | None:
        records = self.records
        if records is None or len(records.entries) < 2:
            return None
        shown = self.case.chosen if self.recorded is not None else None
        return CaseListView(key=f"{id(records):x}", count=len(records.entries), open=shown)

    def _truth(self) -> Any:
        if self.image is None:
            return None
        truth = self.recorded.truth if self.recorded is not None else self.case.truth_of(self.image.slice)
        return truth if truth and list(truth["size"]) == list(self.image.shape) else None

    def _picture(self) -> PictureView | None:
        image = self.image
        if image is None:
            return None
        height, width = image.shape
        return PictureView(
            url=f"/s/{quote(self.handle)}/picture?v={image.sha}",
            width=width,
            height=height,
            sha=image.sha,
            slices=read_slices(image, self.opened or image) if not self.case.reads else None,
            windows=list_windows(image) if not self.case.reads else [],
            free_window=image.values is not None and not self.case.reads,
            window=image.window,
            notes=[note for note in image.notes if not note.startswith("slice: took")],  # the slider says it
            manual_first=self.case.manual_first,
        )


def _other_picture(view: SessionView) -> SessionView:
    """Return what is shown of a view while another slice is looked at: its branches alone."""
    return replace(SessionView(), branches=view.branches)
