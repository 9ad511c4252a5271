"""The door before every request: host, origin, path, login, owner, size; and the headers of every answer.

It is plain ASGI. What it does not name does not exist: of Gradio's own addresses those alone pass that the page needs,
since its files, uploads, named endpoints and monitoring know no owner.
"""

import asyncio
import re
import secrets
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ibisagent.ui.web.http_checks import (
    App,
    Receive,
    Scope,
    Send,
    TooLargeError,
    declared_bytes,
    limit_body,
    refuse_foreign,
    with_headers,
)
from ibisagent.ui.web.login_page import login_page
from ibisagent.ui.web.passwords import LOGIN_SECONDS, Passwords
from ibisagent.ui.web.web_sessions import WebSessions

__all__ = ["Door"]

_NAME = r"[\w.~-]+"
_READ = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/(?:assets|static|svelte)/.+"
    r"|/gradio_api/(?:startup-events|queue/data|app_id/?|info/?)"
    rf"|/s/{_NAME}/(?:picture|cases|slice/{_NAME}/\d+|file/{_NAME})"
)
_WRITTEN = re.compile(r"/gradio_api/(?:queue/join|cancel|reset/?)")
_UPLOAD = re.compile(rf"/s/{_NAME}/upload")
_MESSAGE_BYTES = 2**20
_OWNER = re.compile(r"[\w-]{32}")
_OWNER_SECONDS = 30 * 24 * 3600


class Door:
    """The application behind its door."""

    def __init__(self, app: App, sessions: WebSessions, *, passwords: Passwords | None, loopback: bool) -> None:
        """Take the application; ``loopback``: it is served there, where only requests to loopback names may come."""
        self._app, self._sessions = app, sessions
        self._passwords, self._loopback = passwords, loopback
        self._login_cookie = f"{sessions.options.cookie}-login"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let it through."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(Request(scope), limit_body(receive, self._most_bytes(scope)), with_headers(send))

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        answer = self._refuse(request)
        try:
            if answer is None and declared_bytes(request.scope) > self._most_bytes(request.scope):
                answer = Response("too large", 413)
            if answer is None and request.url.path in ("/login", "/logout"):
                answer = await self._log_in(Request(request.scope, receive))
            elif answer is None and not self._is_logged_in(request):
                answer = RedirectResponse("/login", 303) if request.url.path == "/" else Response(status_code=401)
            elif answer is None and request.url.path == "/":
                answer = await self._find_page(request)
            if answer is None:
                await self._app(request.scope, receive, send)
                return
        except TooLargeError:
            answer = Response("too large", 413)
        await answer(request.scope, receive, send)

    def _refuse(self, request: Request) -> Response | None:
        """Refuse by host, origin and path, in this order."""
        if (refused := refuse_foreign(request, self._loopback)) is not None:
            return refused
        reads, path = request.method in ("GET", "HEAD"), request.url.path
        if path == "/login" and self._passwords is not None and request.method in ("GET", "POST"):
            return None
        if path == "/logout" and self._passwords is not None and request.method == "POST":
            return None
        allowed = _READ.fullmatch(path) if reads else request.method == "POST" and self._is_posted(path)
        return None if allowed else Response("not found", 404)

    @staticmethod
    def _is_posted(path: str) -> bool:
        return bool(_WRITTEN.fullmatch(path) or _UPLOAD.fullmatch(path))

    def _most_bytes(self, scope: Scope) -> int:
        upload = self._sessions.options.limits.file_bytes + _MESSAGE_BYTES  # its route counts, and says it in a line
        return upload if _UPLOAD.fullmatch(scope["path"]) else _MESSAGE_BYTES

    def _is_logged_in(self, request: Request) -> bool:
        return self._passwords is None or self._passwords.read(request.cookies.get(self._login_cookie, "")) is not None

    async def _log_in(self, request: Request) -> Response:
        assert self._passwords is not None
        if request.url.path == "/logout":
            answer: Response = RedirectResponse("/login", 303)
            answer.delete_cookie(self._login_cookie)
            return answer
        if request.method == "GET":
            return login_page()
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        user, password = form.get("user", [""])[0], form.get("password", [""])[0]
        if not await _check(self._passwords, user, password):
            return login_page("User or password is not right.")
        answer = RedirectResponse("/", 303)
        self._set_cookie(answer, self._login_cookie, self._passwords.sign(user), LOGIN_SECONDS)
        self._set_cookie(answer, self._sessions.options.cookie, secrets.token_urlsafe(24), _OWNER_SECONDS)
        return answer

    async def _find_page(self, request: Request) -> Response | None:
        """Let a page of the owner's own session through; to any other browser give a new session."""
        owner = self._sessions.owner_of(request.cookies)
        known = _OWNER.fullmatch(owner) is not None
        if known and await self._sessions.owns(request.query_params.get("s", ""), owner):
            return None
        if request.method == "HEAD":
            return Response(status_code=200)
        owner = owner if known else secrets.token_urlsafe(24)
        answer = RedirectResponse(f"/?s={await self._sessions.create(owner)}", 303)
        self._set_cookie(answer, self._sessions.options.cookie, owner, _OWNER_SECONDS)
        return answer

    @staticmethod
    def _set_cookie(answer: Response, name: str, value: str, seconds: int) -> None:
        answer.set_cookie(name, value, max_age=seconds, httponly=True, samesite="lax")


async def _check(passwords: Passwords, user: str, password: str) -> bool:
    right = await asyncio.to_thread(passwords.check, user, password)
    if not right:
        await asyncio.sleep(1.0)
    return right
