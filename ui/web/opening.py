"""What a person brings: pictures, masks, truths and recorded runs, streamed into the session's own folder."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.rle import Rle, encode
from ibisagent.ui.sessions.files import ImageFile, Upload, file_ending, read_given_mask
from ibisagent.ui.sessions.record_archives import is_record_name, unpack_records
from ibisagent.ui.sessions.recorded_runs import RecordedRun, RecordList
from ibisagent.ui.sessions.service import SessionService
from ibisagent.ui.sessions.session_view import SessionView
from ibisagent.ui.web.live_session import LiveSession
from ibisagent.ui.web.session_jobs import SessionJobs
from ibisagent.ui.web.web_case import WebCase
from ibisagent.ui.web.web_examples import EXAMPLES, open_content

__all__ = ["SessionOpening", "UploadKind", "UploadRefused"]

UploadKind = Literal["image", "mask", "truth"]
_MOST_FILES = 2000
_MIB = 2**20


class UploadRefused(InputError):
    """More bytes or files than a session may bring at once."""


class SessionOpening(SessionJobs):
    """Sessions that can be given something to work on."""

    async def open_example(self, handle: str, owner: str, name: str) -> None:
        """Open one of `ibisagent.ui.web.web_examples.EXAMPLES` in place of what is there."""
        live = await self.find(handle, owner)
        self._cancel(live)

        async def work(live: LiveSession, service: SessionService) -> None:
            content = await asyncio.to_thread(open_content, name)
            folder = self.storage.make_upload_folder(live.thread)
            path = folder / f"picture{content.ending}"
            path.write_bytes(content.file)
            given = WebCase(
                suggestion=EXAMPLES[name].request,
                manual_first=content.real and self.options.weak_on_scans,
                mask=content.mask,
                prompts=content.prompts,
            )
            await self._open_picture(live, service, ImageFile(path, "the example", folder), given, content.truth)

        self.begin(live, work)

    async def receive_file(
        self, handle: str, owner: str, name: str, body: AsyncIterator[bytes], kind: UploadKind, more: bool
    ) -> str | None:
        """Store a file that a browser sends and, unless ``more`` follow, open all; return the line of an error.

        ``name``: only its ending is used, and the whole in errors. `UploadRefused`: it is too large, or one too many.
        """
        live = await self.find(handle, owner)
        if not live.incoming:
            folder = self.storage.make_upload_folder(live.thread)
            live.incoming.append(ImageFile(folder, name, folder))
        folder = _folder_of(live.incoming[0])
        try:
            await self._write(folder, name, body)
        except BaseException:
            live.incoming.clear()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if more:
            return None
        files = sorted(folder.iterdir())
        received = ImageFile(folder if len(files) > 1 else files[0], live.incoming[0].name, folder)
        live.incoming.clear()
        if kind == "image":
            self._cancel(live)

        async def work(live: LiveSession, service: SessionService) -> None:
            try:
                await self._open_received(live, service, received, kind)
            except BaseException:
                received.delete_upload()
                raise

        await asyncio.shield(self.begin(live, work))
        return live.message if live.error else None

    async def _write(self, folder: Path, name: str, body: AsyncIterator[bytes]) -> None:
        most = self.options.limits.file_bytes
        there = list(folder.iterdir())
        if len(there) >= _MOST_FILES:
            raise UploadRefused(f"upload: got more than {_MOST_FILES:,} files, expected one series; send it as a zip")
        size = sum(path.stat().st_size for path in there)
        path = folder / (name if is_record_name(name) else f"{len(there):05}{file_ending(name)}")
        if path.exists():
            path = folder / f"{len(there):05}-{name}"
        with path.open("wb") as file:
            path.chmod(0o600)
            async for part in body:
                size += len(part)
                if size > most:
                    raise UploadRefused(f"upload: got more than {most // _MIB:,} MiB; crop it, or send fewer slices")
                await asyncio.to_thread(file.write, part)
        if path.stat().st_size == 0:
            raise UploadRefused("upload: got an empty file, expected a picture; choose another")

    async def _open_received(
        self, live: LiveSession, service: SessionService, file: ImageFile, kind: UploadKind
    ) -> None:
        if kind == "image":
            if (records := await self._find_records(file)) is not None:
                await self._open_records(live, service, file, records)
            else:
                given = WebCase(manual_first=self.options.weak_on_scans)
                await self._open_picture(live, service, file, given)
            return
        if live.image is None or live.case.reads or not isinstance(file.place, Path) or file.place.is_dir():
            raise InputError(f"{kind}: got no picture that it belongs to, expected one; open the picture first")
        upload = Upload(file.name, file.place)
        mask = await asyncio.to_thread(read_given_mask, upload, live.image, (), self.options.limits)
        file.delete_upload()
        assert mask is not None
        if kind == "truth":
            await self.save(live, truths=live.case.truths | {live.image.slice or "": encode(mask)})
        elif live.view.request is None:
            await self.save(live, mask=encode(mask))
            live.say("This mask is what the next request refines.")
        else:
            raise InputError("mask: got one after the first request, expected it before; open the picture anew")

    async def _open_picture(
        self, live: LiveSession, service: SessionService, file: ImageFile, case: WebCase, truth: Rle | None = None
    ) -> None:
        """Replace what a session holds by a picture; `InputError` leaves it as it was."""
        image = await asyncio.to_thread(self._open, file)
        truths = {image.slice or "": truth} if truth is not None else {}
        case = replace(case, slice=image.slice, window=image.window, truths=truths)
        await self._replace(live, service, file, image, case)
        live.file, live.opened = file, image
        await self.adopt(live, service)

    async def _find_records(self, file: ImageFile) -> RecordList | None:
        """List the recorded runs that were sent, None where it is something else."""
        place = file.place
        assert isinstance(place, Path)
        if place.suffix == ".zip":
            folder = place.parent / "records"
            found = await asyncio.to_thread(unpack_records, place, folder, self.options.limits)
            if found:
                with contextlib.suppress(InputError):  # a series with a sidecar
                    return await self.list_records(folder)
            return None
        names = [path.name for path in place.iterdir()] if place.is_dir() else [place.name]
        sent = any(name.endswith((".json", ".jsonl")) for name in names)
        return await self.list_records(place) if sent else None

    async def _open_records(
        self, live: LiveSession, service: SessionService, file: ImageFile, records: RecordList
    ) -> None:
        """Replace what a session holds by recorded runs, the first of which is shown.

        A single one whose picture is not found leaves it as it was.
        """
        run: RecordedRun | None = None
        line = ""
        try:
            run = await asyncio.to_thread(records.open, 0, live.image)
        except InputError as error:
            if len(records.entries) == 1:
                raise
            line = str(error)
        shown = WebCase(chosen=0 if run is not None else None)
        place = records.folder if len(records.entries) > 1 else records.entries[0].location.path
        await self._replace(live, service, replace(file, place=place), run.image if run else None, shown, "records")
        live.records = records
        if run is not None:
            live.show_record(run)
        live.say(line, error=bool(line))

    async def _replace(
        self,
        live: LiveSession,
        service: SessionService,
        file: ImageFile,
        image: MedicalImage | None,
        case: WebCase,
        kind: Literal["place", "records"] = "place",
    ) -> None:
        folder, place = self.storage.folder_of(live.thread), file.place
        assert isinstance(place, Path)
        if service.sessions.find(live.handle, live.owner) is not None:
            service.close(live.handle, live.owner)
        await self.storage.clear(live.thread)
        for other in (folder / "uploads").iterdir():
            if other != file.upload_folder:
                await asyncio.to_thread(shutil.rmtree, other, ignore_errors=True)
        live.image, live.view, live.file, live.opened = image, SessionView(), None, None
        live.records = live.recorded = None
        live.case = replace(case, kept=live.case.kept)
        path = str(place.relative_to(folder))
        await self.save(live, **{kind: path})


def _folder_of(file: ImageFile) -> Path:
    assert file.upload_folder is not None
    return file.upload_folder
