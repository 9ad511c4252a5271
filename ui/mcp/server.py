"""The MCP interface: four tools, and a session's files as resources."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, redirect_stdout
from pathlib import Path
from sys import stderr
from typing import Annotated, Any, TypeVar

from mcp.server.fastmcp import Context, FastMCP
from mcp.server.fastmcp.exceptions import ResourceError, ToolError
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, Field

from ibisagent.agent.integrations.hidden_arguments import hide_argument
from ibisagent.tools.masks.measure import describe_measurements
from ibisagent.ui.mcp.error_texts import error_text
from ibisagent.ui.mcp.strict_server import StrictServer
from ibisagent.ui.mcp.tool_arguments import (
    Clicks,
    Examples,
    Formats,
    Handle,
    ImageSource,
    Mask,
    Point,
    Region,
    Request,
    Slice,
    Window,
    read_action,
    read_prompts,
)
from ibisagent.ui.sessions.export import FORMATS, MEDIA_TYPES
from ibisagent.ui.sessions.running import OnStep
from ibisagent.ui.sessions.service import SessionService
from ibisagent.ui.sessions.session_values import RunRequest, SessionInfo, SessionStart, SessionStep

__all__ = ["SCHEME", "make_server"]

SCHEME = "ibisagent://session"
_INSTRUCTIONS = """Segment medical images by reasoning and clicking. `segment` gives a session; correct its mask with
`refine`, read numbers with `measure`, get files with `export` or as resources. Not for diagnosis."""
_EXAMPLE = Field(description="[x, y] in [0, 1] of an example, to mark everything that looks like it.")
_Tool = TypeVar("_Tool", bound=Callable[..., Any])
_MESSAGE_BYTES = 32 * 2**20  # of an HTTP request
_CONNECTIONS = 256  # open at a time over HTTP


class SegmentResult(BaseModel):
    """A session's mask in plain values; see `ibisagent.agent.integrations.summary.RunSummary`."""

    session: str
    found: bool
    stop: str
    answer: str | None
    box: list[float] | None
    confidence: float | None
    measurements: dict[str, Any]
    instances: int | None
    resources: dict[str, str]


class ExportResult(BaseModel):
    """The locations of a session's files: resources, and paths under the server's output folder, if it has one."""

    session: str
    resources: dict[str, str]
    files: dict[str, str]


def make_server(
    service: SessionService, *, out: Path | None = None, stdio: bool, host: str = "127.0.0.1"
) -> FastMCP[Any]:
    """Build a server with tools and resources for the sessions of a service.

    ``out``: the folder of exports, None for resources alone. ``stdio``: its standard output carries the messages.
    ``host``: the address to listen on otherwise; at a loopback address only requests to a loopback host name are
    answered, against DNS rebinding.
    """
    server = StrictServer(
        "ibisagent",
        instructions=_INSTRUCTIONS,
        host=host,
        log_level="ERROR",
        max_request_body_size=_MESSAGE_BYTES,
        max_sessions=_CONNECTIONS,
        lifespan=_redirect_stdout if stdio else None,
    )
    _add_segment(server, service)
    _add_refine(server, service)
    _add_measure(server, service)
    _add_export(server, service, out)
    for name, media in MEDIA_TYPES.items():
        _add_resource(server, service, name, media)
    return server


def _fitting(service: SessionService) -> Callable[[_Tool], _Tool]:
    """Return a decorator that hides a tool's argument ``similar`` where the segmenter takes no examples."""
    takes = "similar" in service.memo.prompt_kinds
    return lambda tool: tool if takes else hide_argument(tool, "similar")


def _add_segment(server: FastMCP[Any], service: SessionService) -> None:
    @server.tool(annotations=ToolAnnotations(title="Segment a medical image", readOnlyHint=True, openWorldHint=False))
    @_fitting(service)
    async def segment(
        context: Context[Any, Any, Any],
        image: ImageSource,
        request: Request | None = None,
        region: Region | None = None,
        similar: Examples | None = None,
        clicks: Clicks | None = None,
        mask: Mask | None = None,
        slice: Slice | None = None,
        window: Window | None = None,
    ) -> Annotated[CallToolResult, SegmentResult]:
        """Segment what the request names, or a box, examples and clicks mark; begins a session with what was found."""
        with _tool_errors(image):
            prompts = read_prompts(region, similar or (), clicks or ())
            asked = RunRequest(request, prompts, mask, slice=slice, window=window)
            info = await service.segment(image, _owner(context), asked, _progress(context))
        return _segment_result(info)


def _add_refine(server: FastMCP[Any], service: SessionService) -> None:
    @server.tool(annotations=ToolAnnotations(title="Correct a mask", destructiveHint=False, openWorldHint=False))
    @_fitting(service)
    async def refine(
        context: Context[Any, Any, Any],
        session: Handle,
        click: Point | None = None,
        similar: Annotated[Point | None, _EXAMPLE] = None,
        positive: Annotated[
            bool, Field(description="True for a click or an example on the target, false for one beside it.")
        ] = True,
        box: Region | None = None,
        undo: Annotated[bool, Field(description="True or false: undo what was done last.")] = False,
        continue_policy: Annotated[
            bool, Field(description="True or false: let the clicking model continue after it.")
        ] = False,
    ) -> Annotated[CallToolResult, SegmentResult]:
        """Correct a session's mask with one click, one example, one box, or by undoing what was done last."""
        with _tool_errors():
            action = read_action(click, similar, positive, box, undo)
            info = await service.act(session, _owner(context), action, _progress(context), policy_acts=continue_policy)
        return _segment_result(info)


def _add_measure(server: FastMCP[Any], service: SessionService) -> None:
    @server.tool(annotations=ToolAnnotations(title="Measure a mask", readOnlyHint=True, openWorldHint=False))
    async def measure(context: Context[Any, Any, Any], session: Handle) -> Annotated[CallToolResult, SegmentResult]:
        """Measure a session's mask: area, axes, side, intensities; in mm where the image's spacing is known."""
        with _tool_errors():
            info = await service.info(session, _owner(context))
        return _segment_result(info, measured=True)


def _add_export(server: FastMCP[Any], service: SessionService, out: Path | None) -> None:
    @server.tool(annotations=ToolAnnotations(title="Export a mask", destructiveHint=False, openWorldHint=False))
    async def export(
        context: Context[Any, Any, Any],
        session: Handle,
        formats: Formats,
    ) -> Annotated[CallToolResult, ExportResult]:
        """Export a session's mask, overlay and trajectory as resources, and as files where the server has a folder."""
        with _tool_errors():
            files = await service.export(session, _owner(context), [FORMATS[each] for each in formats], out)
        exported = ExportResult(
            session=session,
            resources={name: _uri(session, name) for name in files},
            files={name: path for name, path in files.items() if path is not None},
        )
        places = [
            f"{name}: {exported.files.get(name, 'not written')}; {uri}" for name, uri in exported.resources.items()
        ]
        return _result("\n".join(places), exported)


def _add_resource(server: FastMCP[Any], service: SessionService, name: str, media: str) -> None:
    @server.resource(f"{SCHEME}/{{session}}/{name}", name=name, mime_type=media)
    async def resource(session: str) -> str | bytes:
        """Return a file of a session."""
        try:
            made = await service.render(session, _owner(server.get_context()), name)
        except Exception as error:
            raise ResourceError(error_text(error)) from None
        return made.decode() if media in ("application/json", "text/csv") else made


def _progress(context: Context[Any, Any, Any]) -> OnStep:
    async def report(step: SessionStart | SessionStep) -> None:
        if isinstance(step, SessionStep):
            await context.report_progress(step.index, message=f"step {step.index}: {step.text}")

    return report


def _owner(context: Context[Any, Any, Any]) -> str | None:
    """Return a hash of the caller's credentials, None without any."""
    request = context.request_context.request
    sent = request.headers.get("authorization") if request is not None else None
    return hashlib.sha256(sent.encode()).hexdigest() if sent else None


@contextmanager
def _tool_errors(given: str | None = None) -> Iterator[None]:
    """Turn any exception into a `ToolError` on which a model can act; ``given``: the image as the client named it."""
    try:
        yield
    except Exception as error:
        raise ToolError(error_text(error, given)) from None


def _segment_result(info: SessionInfo, *, measured: bool = False) -> CallToolResult:
    summary = info.summary
    assert summary is not None  # a handle is returned once its first request has run
    said = summary.text.partition(" Mask reference:")[0]  # the handle takes its place
    if measured:
        said = f"Measured: {describe_measurements(summary.measurements)}."
        said += f" {summary.instances:,} separate objects." if summary.instances is not None else ""
    plain = SegmentResult(
        session=info.handle,
        found=summary.found,
        stop=summary.stop,
        answer=summary.answer,
        box=summary.box,
        confidence=summary.confidence,
        measurements=summary.measurements,
        instances=summary.instances,
        resources={name: _uri(info.handle, name) for name in ("mask.png", "overlay.png", "trajectory.json")},
    )
    return _result(f"{said} Session: {info.handle}", plain)


def _result(text: str, plain: BaseModel) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], structuredContent=plain.model_dump())


def _uri(handle: str, name: str) -> str:
    return f"{SCHEME}/{handle}/{name}"


@asynccontextmanager
async def _redirect_stdout(_server: FastMCP[Any]) -> AsyncIterator[None]:
    """Redirect what libraries print to stderr, once the messages have their stream."""
    with redirect_stdout(stderr):
        yield
