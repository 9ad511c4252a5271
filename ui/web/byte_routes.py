"""Pictures, uploads and downloads: bytes that go to a session's owner alone, and are stored by no cache."""

import asyncio
import io
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from PIL import Image

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.ui.sessions.export import MEDIA_TYPES, PAGE_FILES
from ibisagent.ui.sessions.session_errors import UnknownSession
from ibisagent.ui.web.opening import UploadKind, UploadRefused
from ibisagent.ui.web.web_sessions import WebSessions

__all__ = ["make_routes"]

_PRIVATE = {"cache-control": "no-store, private"}


def make_routes(sessions: WebSessions) -> APIRouter:
    """Build the routes below ``/s/HANDLE``; see `ibisagent.ui.web.app`."""
    routes = APIRouter(prefix="/s/{handle}")

    @routes.get("/picture")
    async def picture(handle: str, request: Request, slice: str | None = None, window: str | None = None) -> Response:
        return await _send_picture(sessions, handle, request, slice, window, "PNG")

    @routes.get("/slice/{plane}/{index}")
    async def slice_picture(
        handle: str, plane: str, index: int, request: Request, window: str | None = None, still: bool = False
    ) -> Response:
        name = str(index) if plane == "frame" else f"{plane}:{index}"
        return await _send_picture(sessions, handle, request, name, window, "PNG" if still else "JPEG")

    @routes.post("/upload")
    async def upload(
        handle: str,
        request: Request,
        name: Annotated[str, Query(max_length=1000)] = "",
        kind: UploadKind = "image",
        more: bool = False,
    ) -> Response:
        try:
            owner = sessions.owner_of(request.cookies)
            error = await sessions.receive_file(handle, owner, name or "file", request.stream(), kind, more)
        except UnknownSession:
            return _not_found()
        except UploadRefused as refusal:
            return JSONResponse({"error": str(refusal)}, 413)
        return JSONResponse({"ok": True}) if error is None else JSONResponse({"error": error}, 422)

    @routes.get("/cases")
    async def cases(handle: str, request: Request) -> Response:
        try:
            return JSONResponse(await sessions.cases(handle, sessions.owner_of(request.cookies)), 200, _PRIVATE)
        except UnknownSession:
            return _not_found()

    @routes.get("/file/{name}")
    async def file(handle: str, name: str, request: Request) -> Response:
        try:
            content = await sessions.render(handle, sessions.owner_of(request.cookies), name)
        except UnknownSession:
            return _not_found()
        except InputError as error:
            return JSONResponse({"error": str(error)}, 422)
        media = (MEDIA_TYPES | PAGE_FILES)[name]
        return Response(content, 200, _PRIVATE | {"content-disposition": f'attachment; filename="{name}"'}, media)

    return routes


async def _send_picture(
    sessions: WebSessions,
    handle: str,
    request: Request,
    slice: str | None,
    window: str | None,
    form: Literal["PNG", "JPEG"],
) -> Response:
    try:
        image = await sessions.picture(handle, sessions.owner_of(request.cookies), slice, window)
    except UnknownSession:
        return _not_found()
    except InputError as error:
        return JSONResponse({"error": str(error)}, 422)
    return Response(await asyncio.to_thread(_encode, image, form), 200, _PRIVATE, f"image/{form.lower()}")


def _encode(image: MedicalImage, form: Literal["PNG", "JPEG"]) -> bytes:
    buffer = io.BytesIO()
    options: dict[str, int] = {"compress_level": 1} if form == "PNG" else {"quality": 90}
    Image.fromarray(image.pixels).save(buffer, form, **options)
    return buffer.getvalue()


def _not_found() -> Response:
    return Response("not found", 404)
