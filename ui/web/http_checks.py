"""Checks of a request before anything else of it is read, and the headers of every answer; plain ASGI."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

__all__ = [
    "CONTENT_SECURITY_POLICY",
    "App",
    "Receive",
    "Scope",
    "Send",
    "TooLargeError",
    "declared_bytes",
    "limit_body",
    "refuse_foreign",
    "with_headers",
]

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
    "referrer-policy": "same-origin",  # with no-referrer a form of our own comes with the origin "null"
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class TooLargeError(Exception):
    """A body has more bytes than its address takes."""


def refuse_foreign(request: Request, loopback: bool) -> Response | None:
    """Refuse a request by its host, and one that may change something by its origin, in this order.

    ``loopback``: it is served there, where only requests to loopback names may come.
    """
    host = request.headers.get("host", "")
    if loopback and _host_name(host) not in _LOOPBACK:
        return Response("unknown host", 403)
    reads = request.method in ("GET", "HEAD")
    return None if reads or _is_same_origin(request.headers.get("origin"), host) else Response("another origin", 403)


def _host_name(host: str) -> str:
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def _is_same_origin(origin: str | None, host: str) -> bool:
    return bool(origin) and urlsplit(origin or "").netloc == host and bool(host)


def declared_bytes(scope: Scope) -> int:
    """Return how many bytes a request says that it has, 0 where it says nothing."""
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(declared) if declared.isdigit() else 0


def limit_body(receive: Receive, most: int) -> Receive:
    """Refuse a body of more than ``most`` bytes, also where none are declared."""
    total = 0

    async def bounded() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > most:
            raise TooLargeError
        return message

    return bounded


def with_headers(send: Send) -> Send:
    """Add the headers of every answer."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = [(name, value) for name, value in message.get("headers", ()) if name.decode() not in _HEADERS]
            message["headers"] = [*given, *((name.encode(), value.encode()) for name, value in _HEADERS.items())]
        await send(message)

    return sending
