"""The application: our routes, and the page, which Gradio draws, behind one door.

The page (`ibisagent.ui.web.page.build_page`) gets a `WebSessions` and calls nothing else. In every handler the handle
is ``request.query_params["s"]`` and the owner ``service.owner_of(request.cookies)``. Methods, async, each with
``(handle, owner, ...)``; all but `watch` only start a job and return, so that a run belongs to its session:

* ``open_example(name)``
* ``ask(text, kind="segment"|"question")``: a follow-up refines the mask in force
* ``click(x, y, positive)``, ``example(x, y, positive)``, ``box(x0, y0, x1, y1)``: in [0, 1] of the picture; before any
  request they begin one in which no model acts (manual mode); during a run they stop it first
* ``undo()``, ``redo()``, ``accept()``, ``stop()``
* ``go_on()``: the policy continues from here; ``fork(step, action=None)``: on a new branch, in place of that step, by a
  person's action in its plain form, or by the policy
* ``switch(branch)``: index in ``branches``
* ``set_view(slice, window)``: either may be None for unchanged
* ``open_case(index)``: another one of the recorded runs that are read here
* ``set_keep(on)``: keep this case as training data, or delete what was kept
* ``forget()``: delete all of the session; the page then goes to ``/``
* ``watch()``: an async generator of `ibisagent.ui.sessions.snapshots.Snapshot`, the first at once, one at each change
  and one a second while something runs; it ends when nothing runs. `UnknownSession` where the owner has no such session

What a person did wrong is never raised by them, but for `UnknownSession`: it is the snapshot's ``message`` with
``error`` true.

Routes, 404 without the owner's cookie:

* ``GET /``: 303 to ``/?s=HANDLE`` with the cookie, also for a handle that is nobody's or another's
* ``GET /s/HANDLE/picture?v=SHA[&slice=..&window=..]``: PNG
* ``GET /s/HANDLE/slice/PLANE/INDEX[?window=..][&still=1]``: JPEG while dragging, PNG with ``still``; PLANE may be
  "frame"
* ``POST /s/HANDLE/upload?kind=image|mask|truth&name=FILE[&more=1]``: the raw body; ``more``: another file of the same
  series follows. JSON ``{"ok": true}``, or ``{"error": LINE}`` with 413 or 422; call `watch` then
* ``GET /s/HANDLE/cases``: the recorded runs that are read here, `ibisagent.ui.sessions.snapshots.CaseView` each
* ``GET /s/HANDLE/file/NAME``: one of ``downloads``
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import gradio as gr
from fastapi import FastAPI

from ibisagent.ui.web.byte_routes import make_routes
from ibisagent.ui.web.door import Door
from ibisagent.ui.web.http_checks import App
from ibisagent.ui.web.page import MOUNT_OPTIONS, build_page
from ibisagent.ui.web.passwords import Passwords
from ibisagent.ui.web.web_sessions import WebSessions

__all__ = ["make_app"]


def _ignore(_error: BaseException) -> None: ...


def make_app(
    sessions: WebSessions,
    *,
    passwords: Passwords | None = None,
    loopback: bool = True,
    on_failure: Callable[[BaseException], None] = _ignore,
) -> App:
    """Build the ASGI application; ``loopback``: requests to other host names are refused.

    ``on_failure`` is called with the error where the policy cannot be loaded.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with sessions.running(on_failure):
            yield

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.include_router(make_routes(sessions))
    mounted = gr.mount_gradio_app(app, build_page(sessions), "/", **MOUNT_OPTIONS)
    return Door(cast(App, mounted), sessions, passwords=passwords, loopback=loopback)
