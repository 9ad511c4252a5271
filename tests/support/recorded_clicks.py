"""The page over sessions that only record where a person clicks, in a thread of this process."""

import io
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import gradio as gr
import uvicorn
from fastapi import FastAPI, Response
from PIL import Image

from ibisagent.ui.web.page import MOUNT_OPTIONS, build_page
from ibisagent.ui.web.web_options import WebOptions
from ibisagent.ui.web.web_sessions import WebSessions

__all__ = ["RecordingSessions", "served_pictures"]


@dataclass(slots=True, eq=False)
class RecordingSessions:
    """One session a picture, whose handle is the picture's name; ``clicks``, ``examples``, ``boxes``: as they came."""

    pictures: Mapping[str, Image.Image]
    clicks: list[tuple[float, float, bool]] = field(default_factory=list)
    examples: list[tuple[float, float, bool]] = field(default_factory=list)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    options: WebOptions = field(default_factory=lambda: WebOptions(takes_examples=True))

    def owner_of(self, cookies: Mapping[str, str]) -> str:
        """Return the same owner for everybody."""
        return "anybody"

    async def click(self, handle: str, owner: str, x: float, y: float, positive: bool) -> None:
        """Record a click."""
        self.clicks.append((x, y, positive))

    async def example(self, handle: str, owner: str, x: float, y: float, positive: bool) -> None:
        """Record an example."""
        self.examples.append((x, y, positive))

    async def box(self, handle: str, owner: str, x0: float, y0: float, x1: float, y1: float) -> None:
        """Record a box."""
        self.boxes.append((x0, y0, x1, y1))

    async def watch(self, handle: str, owner: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the snapshot of a session in which nothing was asked for."""
        width, height = self.pictures[handle].size
        picture: Any = {
            **{"url": f"/s/{handle}/picture?v=1", "width": width, "height": height, "sha": "1", "slices": None},
            **{"windows": [], "free_window": False, "window": None, "notes": [], "manual_first": False},
        }
        yield {
            **{"version": 1, "handle": handle, "running": False, "thinking_seconds": 0.0, "picture": picture},
            **{"request": None, "requests": [], "kind": "segment", "suggestion": "", "steps": [], "start": None},
            **{"mask": None, "stop": None, "stop_kind": "waiting", "message": "", "error": False, "answer": None},
            **{"accepted": False, "read_only": False, "keep": "off", "branches": [], "truth": None},
            **{"downloads": [], "examples": [], "cases": None},
        }

    def __getattr__(self, name: str) -> Callable[..., Awaitable[None]]:
        """Return a method that does nothing, for all others of the page's."""

        async def nothing(*given: Any) -> None:
            return None

        return nothing


@contextmanager
def served_pictures(pictures: Mapping[str, Image.Image]) -> Iterator[tuple[str, RecordingSessions]]:
    """Serve the page, and yield its address and what it records; ``/?s=NAME`` shows a picture."""
    service, app = RecordingSessions(pictures), FastAPI()

    @app.get("/s/{name}/picture")
    def picture(name: str) -> Response:
        buffer = io.BytesIO()
        pictures[name].save(buffer, "PNG")
        return Response(buffer.getvalue(), media_type="image/png")

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        blocks = build_page(cast(WebSessions, service))
        app = gr.mount_gradio_app(app, blocks, "/", server_name="127.0.0.1", server_port=port, **MOUNT_OPTIONS)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server ended"
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}", service
        finally:
            server.should_exit = True
            thread.join(20)
