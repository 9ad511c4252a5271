"""The reading page of `ibisagent review`: the same picture as on the page of sessions, and nothing of who made it.

A reader's handle is the only key to his readings; it is in the page's address, and nothing else is kept in the browser
but the seconds that he has looked at a case.

* ``GET /?r=HANDLE``: the page; without a handle a form for a name, or where readers were named, nothing
* ``POST /begin``: the form; 303 to the page
* ``GET /r/HANDLE/case``: `ibisagent.ui.sessions.reviews.ReadingView`
* ``GET /r/HANDLE/picture/NUMBER``: PNG, of the case that is shown alone
* ``POST /r/HANDLE/verdict``: JSON, the fields of `ibisagent.ui.sessions.reviews.Verdict`; the next ``ReadingView``, or
  ``{"error": LINE}`` with 422
"""

import json
from html import escape
from urllib.parse import parse_qs, quote

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.png import encode_png
from ibisagent.ui.sessions.reviews import FAILURES, VERDICTS, ReviewBook, Verdict
from ibisagent.ui.sessions.session_errors import UnknownSession
from ibisagent.ui.web.http_checks import (
    App,
    Receive,
    Scope,
    Send,
    TooLargeError,
    limit_body,
    refuse_foreign,
    with_headers,
)
from ibisagent.ui.web.page_assets import PICTURE_SCRIPTS, join_scripts, read_asset

__all__ = ["make_review_app"]

_PRIVATE = {"cache-control": "no-store, private"}
_MOST_BYTES = 64 * 2**10
_HINTS = {"accept": "right as it is", "minor": "small edits", "major": "large edits", "reject": "of no use"}
_KEYS = dict(zip(FAILURES, "wlmbpno", strict=True))


def make_review_app(book: ReviewBook, *, names_open: bool, loopback: bool) -> App:
    """Build the ASGI application; ``names_open``: whoever comes may type a name and begin as that reader."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    page = _page()

    @app.get("/")
    async def show(r: str = "") -> Response:
        try:
            book.reader_of(r)
        except UnknownSession:
            return (
                _form() if names_open else HTMLResponse(_note("Open this page by the link that you were given."), 404)
            )
        return HTMLResponse(page, headers=_PRIVATE)

    @app.post("/begin")
    async def begin(request: Request) -> Response:
        if not names_open:
            return Response("not found", 404)
        given = parse_qs((await request.body()).decode("utf-8", "replace")).get("name", [""])[0]
        try:
            return RedirectResponse(f"/?r={quote(book.register(given))}", 303)
        except InputError as error:
            return _form(str(error))

    @app.get("/r/{handle}/case")
    async def case(handle: str) -> Response:
        return JSONResponse(book.show(handle), headers=_PRIVATE)

    @app.get("/r/{handle}/picture/{number}")
    async def picture(handle: str, number: int) -> Response:
        png = encode_png(book.picture(handle, number).image.pixels, level=1)
        return Response(png, 200, _PRIVATE, "image/png")

    @app.post("/r/{handle}/verdict")
    async def verdict(handle: str, request: Request) -> Response:
        return JSONResponse(book.judge(handle, _read_verdict(await request.body())), headers=_PRIVATE)

    @app.exception_handler(InputError)
    async def refuse(_request: Request, error: InputError) -> Response:
        unknown = isinstance(error, UnknownSession)
        return Response("not found", 404) if unknown else JSONResponse({"error": str(error)}, 422)

    @app.exception_handler(TooLargeError)
    async def refuse_size(_request: Request, _error: TooLargeError) -> Response:
        return Response("too large", 413)

    return _guard(app, loopback)


def _guard(app: App, loopback: bool) -> App:
    """Check each request's host, origin and size before it, and add the headers of every answer."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        answer, sending = refuse_foreign(Request(scope), loopback), with_headers(send)
        await (answer or app)(scope, limit_body(receive, _MOST_BYTES), sending)

    return guarded


def _read_verdict(body: bytes) -> Verdict:
    try:
        data = json.loads(body)
        given = Verdict(
            number=int(data["number"]),
            verdict=str(data["verdict"]),
            failure=str(data["failure"]),
            comment=str(data["comment"]),
            seconds=float(data["seconds"]),
        )
        if given.seconds != given.seconds:
            raise ValueError
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise InputError("verdict: not understood; reload the page") from None
    return given


def _page() -> str:
    buttons = "".join(
        f'<button type="button" data-verdict="{name}" aria-pressed="false"><kbd>{key}</kbd><b>{name}</b>'
        f"<span>{_HINTS[name]}</span></button>"
        for key, name in enumerate(VERDICTS, 1)
    )
    tags = "".join(
        f'<button type="button" data-failure="{name}" aria-pressed="false"><kbd>{_KEYS[name]}</kbd>{name}</button>'
        for name in FAILURES
    )
    parts = {
        "{{style}}": f"{read_asset('review.css')}\n{read_asset('picture.css')}",
        "{{picture}}": read_asset("picture.html"),
        "{{verdicts}}": buttons,
        "{{failures}}": tags,
        "{{picture script}}": join_scripts(PICTURE_SCRIPTS),
        "{{script}}": read_asset("review.js"),
    }
    text = read_asset("review.html")
    for place, content in parts.items():
        text = text.replace(place, content)
    return text


def _form(message: str = "") -> Response:
    form = (
        '<form method="post" action="/begin"><label>Your name, or a word that stands for you '
        '<input name="name" maxlength="60" required autofocus></label><button>Begin, or go on</button>'
        f'<p role="alert">{escape(message)}</p></form>'
    )
    return HTMLResponse(_note("", form), 422 if message else 200)


def _note(text: str, form: str = "") -> str:
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>Review</title><link rel='icon' href='data:,'><style>{read_asset('review.css')}</style>"
    body = f'<body class="ir-door"><main><h1>Review</h1><p>{escape(text)}</p>{form}</main></body>'
    return f'<!doctype html><html lang="en"><head>{head}</head>{body}</html>'
