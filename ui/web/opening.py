"""What a person brings: pictures, masks, truths and recorded runs, streamed into the session's own folder."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.rle import encode
from ibisagent.ui.sessions.files import ImageFile, Upload, file_ending, read_given_mask
from ibisagent.ui.sessions.service import SessionService
from ibisagent.ui.sessions.session_view import SessionView
from ibisagent.ui.web.live_session import LiveSession
from ibisagent.ui.web.record_view import open_record
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
                truth=content.truth,
                mask=content.mask,
                prompts=content.prompts,
            )
            await self._open_picture(live, service, ImageFile(path, "the example", folder), given)

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
        path = folder / f"{len(there):05}{file_ending(name)}"
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
            if isinstance(file.place, Path) and file.place.suffix in (".json", ".jsonl"):
                await self._open_record(live, service, file)
            else:
                given = WebCase(manual_first=self.options.weak_on_scans)
                await self._open_picture(live, service, file, given)
            return
        if live.image is None or live.case.record or not isinstance(file.place, Path) or file.place.is_dir():
            raise InputError(f"{kind}: got no picture that it belongs to, expected one; open the picture first")
        upload = Upload(file.name, file.place)
        mask = await asyncio.to_thread(read_given_mask, upload, live.image, (), self.options.limits)
        file.delete_upload()
        assert mask is not None
        if kind == "truth":
            await self.save(live, truth=encode(mask))
        elif live.view.request is None:
            await self.save(live, mask=encode(mask))
            live.say("This mask is what the next request refines.")
        else:
            raise InputError("mask: got one after the first request, expected it before; open the picture anew")

    async def _open_picture(self, live: LiveSession, service: SessionService, file: ImageFile, case: WebCase) -> None:
        """Replace what a session holds by a picture; `InputError` leaves it as it was."""
        image = await asyncio.to_thread(self._open, file)
        await self._replace(live, service, file, image, replace(case, slice=image.slice, window=image.window))
        live.file, live.opened = file, image
        await self.adopt(live, service)

    async def _open_record(self, live: LiveSession, service: SessionService, file: ImageFile) -> None:
        path = file.place
        assert isinstance(path, Path)
        view, image = await asyncio.to_thread(open_record, path, path.parent, self.options.roots, known=live.image)
        await self._replace(live, service, file, image, WebCase(), as_record=True)
        live.view = view

    async def _replace(
        self,
        live: LiveSession,
        service: SessionService,
        file: ImageFile,
        image: MedicalImage,
        case: WebCase,
        *,
        as_record: bool = False,
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
        live.case = replace(case, kept=live.case.kept)
        path = str(place.relative_to(folder))
        await self.save(live, **{"record" if as_record else "place": path})


def _folder_of(file: ImageFile) -> Path:
    assert file.upload_folder is not None
    return file.upload_folder
