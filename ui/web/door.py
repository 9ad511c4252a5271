"""The door before every request: host, origin, path, login, owner, size; and the headers of every answer.

It is plain ASGI. What it does not name does not exist: of Gradio's own addresses those alone pass that the page needs,
since its files, uploads, named endpoints and monitoring know no owner.
"""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ibisagent.ui.web.login_page import login_page
from ibisagent.ui.web.passwords import LOGIN_SECONDS, Passwords
from ibisagent.ui.web.web_sessions import WebSessions

__all__ = ["CONTENT_SECURITY_POLICY", "Door"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; manifest-src 'self'; "
    "worker-src 'self' blob:; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""Gradio's templates need unsafe-eval and its page inline scripts; nothing can be fetched from elsewhere."""

_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
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


class _TooLargeError(Exception):
    """A body has more bytes than its address takes."""


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
            await self._answer(Request(scope), _bounded(receive, self._most_bytes(scope)), _with_headers(send))

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        answer = self._refuse(request)
        try:
            if answer is None and _declared_bytes(request.scope) > self._most_bytes(request.scope):
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
        except _TooLargeError:
            answer = Response("too large", 413)
        await answer(request.scope, receive, send)

    def _refuse(self, request: Request) -> Response | None:
        """Refuse by host, origin and path, in this order."""
        host = request.headers.get("host", "")
        if self._loopback and _host_name(host) not in _LOOPBACK:
            return Response("unknown host", 403)
        reads = request.method in ("GET", "HEAD")
        if not reads and not _is_same_origin(request.headers.get("origin"), host):
            return Response("another origin", 403)
        path = request.url.path
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


def _host_name(host: str) -> str:
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def _is_same_origin(origin: str | None, host: str) -> bool:
    return bool(origin) and urlsplit(origin or "").netloc == host and bool(host)


def _declared_bytes(scope: Scope) -> int:
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(declared) if declared.isdigit() else 0


def _bounded(receive: Receive, most: int) -> Receive:
    """Refuse a body of more than ``most`` bytes, also where none are declared."""
    total = 0

    async def bounded() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > most:
            raise _TooLargeError
        return message

    return bounded


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = [(name, value) for name, value in message.get("headers", ()) if name.decode() not in _HEADERS]
            message["headers"] = [*given, *((name.encode(), value.encode()) for name, value in _HEADERS.items())]
        await send(message)

    return sending
