"""The work of the tools: sessions are started, corrected, measured and exported, each for its owner."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from langgraph.checkpoint.memory import InMemorySaver
from numpy.typing import NDArray

from ibisagent.agent import Action, Box, Click, LoopConfig, Policy, build_graph
from ibisagent.agent.integrations.error_messages import redact_error
from ibisagent.agent.integrations.summary import RunSummary, summarize
from ibisagent.agent.state import State, current_mask
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.reading import read_mask
from ibisagent.tools.segmenters.memo import Memo
from ibisagent.ui.mcp import exports, runs
from ibisagent.ui.mcp.files import open_allowed, resolve_allowed
from ibisagent.ui.mcp.limits import Limits
from ibisagent.ui.mcp.runs import ReportStep
from ibisagent.ui.mcp.sessions import ENDED, HANDLE, Session, Sessions

__all__ = ["SegmentRequest", "SegmentationService"]

_MARKED_REQUEST = "Segment what is marked."


@dataclass(frozen=True, slots=True)
class SegmentRequest:
    """A client's request: an image's path or data URL, and a text, prompts, or both.

    ``region``: (x0, y0, x1, y1) in [0, 1] of the displayed picture; ``clicks``: (x, y) each, or (x, y, 0) for a
    negative one. ``mask``: to refine, a path, COCO run lengths, or the handle of an earlier session.
    """

    image: str
    request: str | None = None
    region: Sequence[float] | None = None
    clicks: Sequence[Sequence[float]] = ()
    mask: str | Mapping[str, Any] | None = None
    slice: str | None = None
    window: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationService:
    """Segmentation sessions of one server; every method takes the owner, and none reveals another owner's sessions.

    ``policy_clicks``: whether the policy clicks; one that does not needs prompts to begin with. ``roots``: resolved
    folders from which images are read; ``out``: the folder of exports, None for none.
    """

    policy: Policy
    policy_clicks: bool
    memo: Memo
    config: LoopConfig
    roots: tuple[Path, ...]
    out: Path | None
    limits: Limits
    sessions: Sessions
    slots: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        """Create the semaphore of concurrent runs."""
        object.__setattr__(self, "slots", asyncio.Semaphore(self.limits.runs))

    async def segment(
        self, request: SegmentRequest, owner: str | None, report: ReportStep
    ) -> tuple[Session, RunSummary]:
        """Run the loop in a new session, which is stored when the run has ended."""
        prompts, text = _prompts(request), self._request_text(request)
        given = (self.sessions.find(request.mask, owner) if isinstance(request.mask, str) else None) or request.mask
        async with self.slots:
            image = await asyncio.to_thread(self._open, request)
            mask = await asyncio.to_thread(self._mask, given, image) if given is not None else None
            graph = build_graph(self.policy, self.memo, self.config, checkpointer=InMemorySaver())
            start = {"image": image, "request": text, "prompts": prompts, "initial_mask": mask}
            session = Session(graph, image)
            await runs.run_session(session, start, report)
        self.sessions.keep(session, owner)
        return session, await self._summarize(session)

    def _request_text(self, request: SegmentRequest) -> str:
        """Return the request's text, optional with prompts; a policy that does not click requires prompts."""
        marked = request.region is not None or bool(request.clicks) or request.mask is not None
        if not self.policy_clicks and not marked:
            got = "got none, and no region or mask, but this server has no clicking model"
            raise InputError(f"clicks: {got}; add one of them")
        if request.request is None and not marked:
            raise InputError("request: got nothing, expected a text, clicks, a region or a mask; add one of them")
        return request.request if request.request is not None else _MARKED_REQUEST

    def _open(self, request: SegmentRequest) -> MedicalImage:
        return open_allowed(request.image, self.roots, self.limits, slice=request.slice, window=request.window)

    def _mask(self, given: str | Mapping[str, Any] | Session, image: MedicalImage) -> NDArray[np.bool_]:
        if isinstance(given, Session):
            return read_mask(current_mask(runs.current_state(given)), image)
        if isinstance(given, str):
            try:
                return read_mask(resolve_allowed(given, self.roots, self.limits.file_bytes), image)
            except InputError as error:
                if HANDLE.fullmatch(given):
                    raise InputError(f"mask: {ENDED}; begin one with segment") from None
                raise redact_error(error, "mask") from None
        if given.get("size") != list(image.shape):  # before memory is allocated for it
            size = list(image.shape)
            got = f"got run lengths of the size {str(given.get('size'))[:40]}"
            raise InputError(f"mask: {got}, expected COCO ones of the image's {size}; encode it anew")
        return read_mask(given, image)

    async def refine(
        self, handle: str, action: Action, owner: str | None, report: ReportStep, *, continue_policy: bool = False
    ) -> tuple[Session, RunSummary]:
        """Apply a person's action to a session; with ``continue_policy`` the policy then continues."""
        session = self.sessions.get(handle, owner)
        async with session.lock, self.slots:
            if len(runs.current_state(session)["steps"]) >= self.limits.steps:
                full = f"it has reached its limit of {self.limits.steps} steps"
                raise InputError(f"session: {full}; begin another with segment, and this one's handle as the mask")
            await runs.apply_action(session, action, report)
            if continue_policy:
                await runs.run_session(session, None, report)
            return session, await self._summarize(session)

    async def measure(self, handle: str, owner: str | None) -> tuple[Session, RunSummary]:
        """Return a summary of the session's state, with the measurements of its mask."""
        session = self.sessions.get(handle, owner)
        async with session.lock:
            return session, await self._summarize(session)

    async def _summarize(self, session: Session) -> RunSummary:
        return await asyncio.to_thread(summarize, session.graph, runs.current_state(session))

    async def content(self, handle: str, name: str, owner: str | None) -> bytes:
        """Render one of a session's files (`ibisagent.ui.mcp.exports.FORMATS`)."""
        session = self.sessions.get(handle, owner)
        async with session.lock:
            return await asyncio.to_thread(exports.render_file, session, runs.current_state(session), name, self.roots)

    async def export(self, handle: str, names: Sequence[str], owner: str | None) -> dict[str, str | None]:
        """Write some of a session's files under ``out``; return each one's path relative to it, None without ``out``.

        `InputError`: the mask cannot be written in one of the formats; then none is written.
        """
        session = self.sessions.get(handle, owner)
        async with session.lock:
            return await asyncio.to_thread(self._export, session, runs.current_state(session), names)

    def _export(self, session: Session, state: State, names: Sequence[str]) -> dict[str, str | None]:
        for name in names:
            exports.require_format(session, name)
        if self.out is None:
            return dict.fromkeys(names)
        made = {name: exports.render_file(session, state, name, self.roots) for name in names}
        return {name: exports.write_file(self.out, session, name, content) for name, content in made.items()}


def _prompts(request: SegmentRequest) -> list[Prompt]:
    """Return the box and the clicks with which a run begins."""
    boxes = [Box(x0, y0, x1, y1) for x0, y0, x1, y1 in ([request.region] if request.region is not None else [])]
    return [*boxes, *(_click(number, *given) for number, given in enumerate(request.clicks))]


def _click(number: int, x: float, y: float, on: float = 1) -> Click:
    if on not in (0, 1):
        raise InputError(f"clicks[{number}]: got {on:g} after x and y, expected 1 on the target or 0 beside it; choose")
    return Click(x, y, on == 1)
