"""The sessions of the page: what a person does becomes a job of the session, and who watches sees its snapshots."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ibisagent.agent import Action, Backtrack, Redo, Terminate
from ibisagent.agent.actions import as_prompt, from_plain
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.ui.sessions.service import SessionService
from ibisagent.ui.sessions.session_errors import UnknownSession
from ibisagent.ui.sessions.session_values import RunRequest
from ibisagent.ui.sessions.session_view import switch_branch
from ibisagent.ui.sessions.snapshots import CaseView, RequestView, Snapshot
from ibisagent.ui.sessions.start_view import view_start
from ibisagent.ui.web import kept_cases
from ibisagent.ui.web.live_session import LiveSession
from ibisagent.ui.web.opening import SessionOpening
from ibisagent.ui.web.session_jobs import Work
from ibisagent.ui.web.slice_choice import slice_name
from ibisagent.ui.web.web_case import PendingJob

__all__ = ["WebSessions"]

_HEARTBEAT = 1.0  # seconds
_BY_PERSON = PendingJob(policy_acts=False)
_BY_POLICY = PendingJob(policy_acts=True)


class WebSessions(SessionOpening):
    """What the page calls; see `ibisagent.ui.web.app` for the contract."""

    def owner_of(self, cookies: Mapping[str, str]) -> str:
        """Return the owner's secret from a browser's cookies, "" without one."""
        return cookies.get(self.options.cookie, "")

    async def watch(self, handle: str, owner: str) -> AsyncIterator[Snapshot]:
        """Yield a snapshot at once, at each change, and each second while something runs; end when nothing does."""
        live = await self.find(handle, owner)
        while not live.gone:
            seen = live.version
            yield live.snapshot()
            if not live.pending and live.version == seen:
                return
            await live.wait(seen, _HEARTBEAT)

    async def ask(self, handle: str, owner: str, text: str, kind: Literal["segment", "question"] = "segment") -> None:
        """Ask for a mask, or a plain question; a follow-up refines the mask in force."""

        async def work(live: LiveSession, service: SessionService) -> None:
            await self.run_request(live, service, text, kind)

        await self._act(handle, owner, work, PendingJob(policy_acts=True, text=text, kind=kind))

    async def run_request(self, live: LiveSession, service: SessionService, text: str, kind: str) -> None:
        """Run a request on the shown picture; a first one with the mask or the prompts that the case begins with."""
        if not text.strip():
            raise InputError("request: got nothing, expected words such as 'Segment the liver'; write some")
        request = RunRequest(text.strip(), kind="question" if kind == "question" else "segment")
        asked_before = live.view.request or live.case.suggestion
        if live.case.truths and asked_before and request.text != asked_before:
            await self.save(live, truths={})  # what is true of one target says nothing of another
            live.say("The true mask was of the request before; load one of this request.")
        if live.view.request is None:
            given = tuple(as_prompt(prompt) for prompt in live.case.prompts)
            request = replace(request, mask=live.case.mask, prompts=given, prompts_actor="experiment")
        elif live.shows_asked and live.image is not None and live.image.sha != live.view.sha:
            request = replace(request, mask=live.view.mask)  # the same slice in another window
        await self._run(live, service, request)

    async def _run(self, live: LiveSession, service: SessionService, request: RunRequest) -> None:
        assert live.image is not None
        image, view = live.image, live.view
        kept = view if image.sha == view.sha else replace(view, steps=[], requests=[], start=None, mask=None)
        asked = RequestView(
            text=request.text or "",
            kind=request.kind,
            first_step=len(kept.steps) + 1,
            start=view_start(
                None, None if view.request else live.case.mask, image.spacing, live.case.truth_of(image.slice)
            ),
            stop=None,
            stop_kind="waiting",
            answer=None,
        )
        live.mark_step(
            replace(
                kept,
                sha=image.sha,
                slice=image.slice,
                spacing=image.spacing,
                request=request.text or "",
                kind=request.kind,
                requests=[*kept.requests, asked],
                mask=kept.mask or live.case.mask,
                start=kept.start if kept.steps else live.case.mask,
                stop=None,
                stop_kind="waiting",
                message="",
                answer=None,
                accepted=False,
            )
        )
        await service.run(live.handle, live.owner, request, self.reporter(live, service))

    async def click(self, handle: str, owner: str, x: float, y: float, positive: bool = True) -> None:
        """Click at a point in [0, 1] of the picture; the policy then waits."""
        await self._mark(handle, owner, {"type": "point", "x": x, "y": y, "positive": positive})

    async def example(self, handle: str, owner: str, x: float, y: float, positive: bool = True) -> None:
        """Take a point in [0, 1] of the picture as an example: all like this, or none; the policy then waits."""
        await self._mark(handle, owner, {"type": "similar", "x": x, "y": y, "positive": positive})

    async def box(self, handle: str, owner: str, x0: float, y0: float, x1: float, y1: float) -> None:
        """Draw a box, two corners in [0, 1] of the picture; the policy then waits."""
        (left, right), (top, bottom) = sorted((x0, x1)), sorted((y0, y1))
        await self._mark(handle, owner, {"type": "box", "x0": left, "y0": top, "x1": right, "y1": bottom})

    async def _mark(self, handle: str, owner: str, plain: dict[str, Any]) -> None:
        async def work(live: LiveSession, service: SessionService) -> None:
            prompt = as_prompt(from_plain(plain))
            if live.view.request is not None and live.shows_asked:
                await service.act(handle, owner, prompt, self.reporter(live, service))
            else:
                request = RunRequest(prompts=(prompt,), mask=live.case.mask, policy_acts=False)
                await self._run(live, service, replace(request, text="Segment what is marked."))

        await self._act(handle, owner, work, _BY_PERSON)

    async def undo(self, handle: str, owner: str) -> None:
        """Take the last prompt back, whoever made it."""
        await self._apply(handle, owner, Backtrack())

    async def redo(self, handle: str, owner: str) -> None:
        """Restore what was undone last."""
        await self._apply(handle, owner, Redo())

    async def accept(self, handle: str, owner: str) -> None:
        """Accept the mask in force; a kept case is written anew with it."""

        async def work(live: LiveSession, service: SessionService) -> None:
            await service.act(handle, owner, Terminate(), self.reporter(live, service))
            if live.case.keeps:
                await self._keep(live, service, accepted=True)

        await self._act(handle, owner, work, _BY_PERSON)

    async def _apply(self, handle: str, owner: str, action: Action) -> None:
        async def work(live: LiveSession, service: SessionService) -> None:
            await service.act(handle, owner, action, self.reporter(live, service))

        await self._act(handle, owner, work, _BY_PERSON)

    async def go_on(self, handle: str, owner: str) -> None:
        """Let the policy continue from here."""

        async def work(live: LiveSession, service: SessionService) -> None:
            await service.proceed(handle, owner, self.reporter(live, service))

        await self._act(handle, owner, work, _BY_POLICY)

    async def fork(self, handle: str, owner: str, step: int, action: dict[str, Any] | None = None) -> None:
        """Go on from before a step on a new branch, by a person's action in its place, or by the policy."""

        async def work(live: LiveSession, service: SessionService) -> None:
            chosen = from_plain(action) if action is not None else None
            steps = [each for each in live.view.steps if each["index"] < step]
            mask = steps[-1]["mask"] if steps else live.view.start
            live.mark_step(replace(live.view, steps=steps, mask=mask or live.view.mask, stop=None, answer=None))
            await service.fork(handle, owner, step, chosen, self.reporter(live, service), policy_acts=action is None)

        await self._act(handle, owner, work, _BY_PERSON if action is not None else _BY_POLICY)

    async def switch(self, handle: str, owner: str, branch: int) -> None:
        """Make another branch the active one."""

        async def work(_live: LiveSession, service: SessionService) -> None:
            await switch_branch(service.sessions.get(handle, owner), branch)

        await self._act(handle, owner, work)

    async def stop(self, handle: str, owner: str) -> None:
        """End what runs; the mask in force stays."""
        self._cancel(await self.find(handle, owner))

    async def set_view(self, handle: str, owner: str, slice: str | None = None, window: str | None = None) -> None:
        """Show another slice, or another window; ``slice`` as in `ibisagent.ui.sessions.snapshots.SliceChoice`."""

        async def work(live: LiveSession, service: SessionService) -> None:
            live.image = await service.view(handle, owner, slice=_full_name(live, slice), window=window or None)
            service.sessions.get(handle, owner).image = live.image
            service.sessions.get(handle, owner).graph.components.images.to_reference(live.image)
            begins = {} if live.image.slice == live.case.slice else {"mask": None, "prompts": ()}  # of the slice before
            await self.save(live, slice=live.image.slice, window=live.image.window, **begins)
            if live.view.request and not live.shows_asked:
                live.say(f"The steps are of {live.view.slice or 'another picture'}; a click here begins anew.")

        await self._act(handle, owner, work, waits=True)

    async def picture(
        self, handle: str, owner: str, slice: str | None = None, window: str | None = None
    ) -> MedicalImage:
        """Open the shown picture, or another slice or window of it, without changing what is shown."""
        live = await self.find(handle, owner)
        if live.image is None:
            raise UnknownSession
        slice = _full_name(live, slice) or live.image.slice
        window = window or live.image.window
        if live.file is None or (slice, window) == (live.image.slice, live.image.window):
            return live.image
        return await asyncio.to_thread(self._open, live.file, slice, window)

    async def set_keep(self, handle: str, owner: str, on: bool) -> None:
        """Keep this case as training data, or delete what was kept of it."""

        async def work(live: LiveSession, service: SessionService) -> None:
            if on:
                await self._keep(live, service, accepted=live.view.accepted)
            elif live.image is not None and self.options.keep is not None:
                gone = kept_cases.cases_of_picture(live.case.kept, live.thread, live.image)
                for folder in gone:
                    await asyncio.to_thread(kept_cases.delete_case, Path(folder))
                await self.save(live, keeps=False, kept=tuple(each for each in live.case.kept if each not in gone))

        await self._act(handle, owner, work, waits=True)

    async def _keep(self, live: LiveSession, service: SessionService, accepted: bool) -> None:
        if self.options.keep is None:
            raise InputError("session: this server keeps no cases; its operator names a folder with --keep")
        if live.image is None or not live.shows_asked:
            raise InputError("session: got a picture about which nothing was asked, expected a mask; ask first")
        number = len(live.view.requests)
        folder = kept_cases.case_folder(self.options.keep, live.thread, live.image, number).absolute()
        await self.save(live, keeps=True, kept=tuple(dict.fromkeys([*live.case.kept, str(folder)])))
        await kept_cases.write_case(service, live, live.image, folder, accepted)

    async def forget(self, handle: str, owner: str) -> None:
        """Delete all of a session."""
        await self.delete((await self.find(handle, owner)).thread)

    async def render(self, handle: str, owner: str, name: str) -> bytes:
        """Render one of the downloads; `UnknownSession` for a name that is none of them."""
        live = await self.find(handle, owner)
        async with live.lock:
            if name not in live.offered:
                raise UnknownSession
            if live.recorded is not None:
                return await asyncio.to_thread(live.recorded.render, name)
            service = await self.service()
            await self._require_session(live, service)
            return await service.render(handle, owner, name, live.case.truth_of(live.view.slice))

    async def cases(self, handle: str, owner: str) -> list[CaseView]:
        """List the recorded runs that can be read in a session."""
        live = await self.find(handle, owner)
        return live.records.describe() if live.records is not None else []

    async def open_case(self, handle: str, owner: str, index: int) -> None:
        """Open another one of the recorded runs that can be read in a session."""
        live = await self.find(handle, owner)

        async def work(live: LiveSession, _service: SessionService) -> None:
            if live.records is None:
                raise InputError("case: got one where no recorded runs are open; open some first")
            live.show_record(await asyncio.to_thread(live.records.open, index))
            await self.save(live, chosen=index)

        self.begin(live, work)

    async def _act(
        self, handle: str, owner: str, work: Work, job: PendingJob | None = None, *, waits: bool = False
    ) -> None:
        """Start a job, after what runs has been stopped or, if it ``waits``, has ended."""
        live = await self.find(handle, owner)
        if not waits:
            self._cancel(live)

        async def checked(live: LiveSession, service: SessionService) -> None:
            if live.case.reads:
                raise InputError("session: got a recorded run, which is for reading; open its picture to work on it")
            if live.image is None:
                raise InputError("image: got none, expected a picture; drop one here or choose an example")
            await work(live, service)

        self.begin(live, checked, job)


def _full_name(live: LiveSession, slice: str | None) -> str | None:
    if slice is None or live.image is None:
        return slice
    plane, _, index = slice.rpartition(":")
    if not index.isdecimal():
        raise InputError(f"slice: got {slice[:40]!r}, expected such as 'axial:12' or '3'; choose one of the slider's")
    return slice_name(live.image.slice, plane or "frame", int(index))
