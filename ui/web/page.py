"""The page: Gradio's chat and buttons, and our own picture; wiring only, what happens is in `WebSessions`.

Nothing here is kept in Gradio: each handler finds the session by the page's address and the owner's cookie, so that the
page survives a reload and a restart. Every text is data: templates are constant, and scripts set text, never HTML.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import gradio as gr

from ibisagent.ui.sessions.session_errors import UnknownSession
from ibisagent.ui.sessions.snapshots import Snapshot
from ibisagent.ui.web.conversation import describe_conversation
from ibisagent.ui.web.page_assets import PICTURE_SCRIPTS, join_scripts, read_asset, read_template
from ibisagent.ui.web.web_sessions import WebSessions

__all__ = ["MOUNT_OPTIONS", "build_page"]

_DETAIL_SCRIPTS = ("plot", "tree", "details")
_PRIVATE: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "concurrency_limit": None,
    "trigger_mode": "multiple",  # else a click is dropped that follows another quickly
}
_FONTS = ["system-ui", "sans-serif"]
_AGAIN = "Refine it in words, or ask for something else"
_AGAIN_BY_CLICK = "Ask for something else, or correct it by a click"  # the small policy knows no refinements

Method = Callable[..., Awaitable[None]]


def _theme() -> gr.themes.Base:
    theme = gr.themes.Base(
        primary_hue="blue", neutral_hue="slate", font=_FONTS, font_mono=["ui-monospace", "monospace"]
    )
    return theme.set(  # subdued text and buttons that can be read
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_secondary_background_fill="*neutral_100",
        button_secondary_background_fill_dark="*neutral_700",
        input_background_fill="*background_fill_primary",
        input_background_fill_dark="*neutral_800",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_600",
    )


MOUNT_OPTIONS: dict[str, Any] = {
    "theme": _theme(),
    "css": read_asset("page.css"),
    "footer_links": [],
    "run_history": False,
    "enable_monitoring": False,
    "ssr_mode": False,
}
"""How Gradio mounts the page: no history in the browser, no monitoring, no server of its own, no foreign font."""


class _Widgets(NamedTuple):
    """What is on the page; in the order in which `_describe` values it, but for the last."""

    chat: gr.Chatbot
    cases: Any
    picture: Any
    details: Any
    words: gr.Textbox
    send: gr.Button
    stop: gr.Button
    kind: gr.Radio


def build_page(service: WebSessions) -> gr.Blocks:
    """Build the page over the sessions of ``service``."""
    page: gr.Blocks = gr.Blocks(analytics_enabled=False, title="ibisagent")
    with page:
        _wire(page, _lay_out(service.options.takes_examples), service)
    return page


def _lay_out(takes_examples: bool) -> _Widgets:
    gr.HTML(html_template=read_asset("header.html"), js_on_load=None, apply_default_css=False, elem_id="header")
    cases = _component("cases", ("cases",))
    with gr.Row(elem_id="work", equal_height=True):
        with gr.Column(scale=3, min_width=340):
            picture = _component("picture", PICTURE_SCRIPTS, hidden=() if takes_examples else ("similar",))
        with gr.Column(scale=2, min_width=320, elem_id="side"):
            chat = gr.Chatbot(
                elem_id="chat",
                show_label=False,
                buttons=[],
                feedback_options=None,
                render_markdown=False,
                group_consecutive_messages=False,
                height=None,
                placeholder="Every step of the model appears here.",
            )
            with gr.Column(elem_id="ask"):
                words = gr.Textbox(elem_id="words", label="Request", container=False, lines=1, max_lines=4)
                with gr.Row(elem_id="send"):
                    kinds = [("Segment", "segment"), ("Question", "question")]
                    kind = gr.Radio(kinds, value="segment", show_label=False, container=False, elem_id="kind")
                    stop = gr.Button("Stop", elem_id="stop", interactive=False, size="md", min_width=80)
                    send = gr.Button("Send", variant="primary", elem_id="go", size="md", min_width=80)
    return _Widgets(chat, cases, picture, _component("details", _DETAIL_SCRIPTS), words, send, stop, kind)


def _wire(blocks: gr.Blocks, widgets: _Widgets, service: WebSessions) -> None:
    """Have each event start something in the session, and then watch the session until nothing runs there."""
    calls, picture, details = _Calls(service), widgets.picture, widgets.details
    again = _AGAIN_BY_CLICK if service.options.weak_on_scans else _AGAIN

    async def watch(request: gr.Request) -> AsyncIterator[list[Any]]:
        try:
            async for snapshot in service.watch(*calls.caller(request)):
                yield _describe(snapshot, again)
        except UnknownSession:
            raise _ended() from None

    async def ask(text: str, kind: str, request: gr.Request) -> str:
        await calls.call(service.ask, request, text, kind)
        return ""

    async def open_example(request: gr.Request, event: gr.EventData) -> str:
        await calls.call(service.open_example, request, _read(event, "name", str))
        return cast(str, _read(event, "request", str))

    async def fork(request: gr.Request, event: gr.EventData) -> None:
        await calls.call(service.fork, request, _read(event, "step", int), event._data.get("action"))

    async def set_view(request: gr.Request, event: gr.EventData) -> None:
        slice, window = (event._data.get(name) for name in ("slice", "window"))
        await calls.call(service.set_view, request, slice and str(slice), window and str(window))

    def start(event: Callable[..., Any], handler: Any, inputs: Any = None, outputs: Any = None) -> None:
        event(handler, inputs, outputs, **_PRIVATE).then(watch, None, [*widgets[:-1]], **_PRIVATE)

    blocks.load(watch, None, [*widgets[:-1]], **_PRIVATE)
    picture.opened(watch, None, [*widgets[:-1]], **_PRIVATE)  # the upload's own route has opened it
    for asked in (widgets.send.click, widgets.words.submit):
        start(asked, ask, [widgets.words, widgets.kind], widgets.words)
    start(widgets.stop.click, calls.handler(service.stop))
    start(picture.example, open_example, None, widgets.words)
    start(picture.fork, fork)
    start(picture.view, set_view)
    start(picture.go_on, calls.handler(service.go_on))
    start(picture.spot, calls.handler(service.click, x=float, y=float, positive=bool))
    start(picture.similar, calls.handler(service.example, x=float, y=float, positive=bool))
    start(picture.box, calls.handler(service.box, x0=float, y0=float, x1=float, y1=float))
    start(picture.undo, calls.handler(service.undo))
    start(picture.redo, calls.handler(service.redo))
    start(picture.accept, calls.handler(service.accept))
    start(widgets.cases.choose, calls.handler(service.open_case, index=int))
    start(details.switch, calls.handler(service.switch, branch=int))
    start(details.keep, calls.handler(service.set_keep, on=bool))
    forgotten = details.forget(calls.handler(service.forget), None, None, **_PRIVATE)
    forgotten.then(None, None, None, js="() => { location.assign('/'); }", **_PRIVATE)


@dataclass(frozen=True, slots=True)
class _Calls:
    """Calls of the service's methods for whoever a request comes from."""

    service: WebSessions

    def caller(self, request: gr.Request) -> tuple[str, str]:
        """Return the handle that the page's address names, and the owner that its cookie names."""
        return request.query_params.get("s", ""), self.service.owner_of(request.cookies)

    async def call(self, method: Method, request: gr.Request, *given: Any) -> None:
        try:
            await method(*self.caller(request), *given)
        except UnknownSession:
            raise _ended() from None

    def handler(self, method: Method, **types: Callable[[Any], Any]) -> Method:
        """Return a handler that calls a method with fields of the event's data, each read as one of ``types``."""

        async def handle(request: gr.Request, event: gr.EventData) -> None:
            await self.call(method, request, *(_read(event, name, read) for name, read in types.items()))

        return handle


def _component(name: str, scripts: tuple[str, ...], *, hidden: tuple[str, ...] = ()) -> Any:
    """Build a component from its assets; ``hidden``: tools that it does not show."""
    return gr.HTML(
        {"steps": []},
        html_template=read_template(name, hidden),
        css_template=read_asset(f"{name}.css"),
        js_on_load=join_scripts(scripts),
        apply_default_css=False,
        elem_id=name,
    )


def _describe(snapshot: Snapshot, again: str) -> list[Any]:
    """Return the values of `_Widgets` in its order; ``again``: what the box says after a request."""
    picture, running = snapshot["picture"], snapshot["running"]
    figures = ("index", "actor", "score", "area_px", "iou")
    start = snapshot["requests"][0]["start"] if snapshot["requests"] else None
    details = {
        **{key: snapshot[key] for key in ("handle", "running", "branches", "downloads", "keep")},
        "has_picture": picture is not None,
        "start": {key: start[key] for key in ("by", "score", "area_px", "iou")} if start and start["mask"] else None,
        "steps": [{key: dict(step)[key] for key in figures} for step in snapshot["steps"]],
    }
    usable = picture is not None and not snapshot["read_only"]
    hint = "What to segment" if snapshot["request"] is None else again
    closed = "A recorded run is for reading" if snapshot["read_only"] else "Open a picture first"
    return [
        describe_conversation(snapshot),
        {key: snapshot[key] for key in ("handle", "running", "cases", "message", "error")},
        snapshot,
        details,
        gr.update(placeholder=hint if usable else closed, interactive=usable),
        gr.update(interactive=usable and not running),
        gr.update(interactive=running),
    ]


def _read(event: gr.EventData, name: str, read: Callable[[Any], Any]) -> Any:
    try:
        return read(event._data[name])
    except (KeyError, TypeError, ValueError):
        raise gr.Error(f"{name}: not understood; reload the page", print_exception=False) from None


def _ended() -> gr.Error:
    return gr.Error("This session has ended. Reload the page to begin a new one.", print_exception=False)
