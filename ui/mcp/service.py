"""What the tools do: sessions begun, corrected, measured and written out, for one owner at a time."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from langgraph.checkpoint.memory import InMemorySaver
from numpy.typing import NDArray

from ibisagent.agent import Action, Box, Click, LoopConfig, Policy, build_graph
from ibisagent.agent.integrations.summary import RunSummary, summarize
from ibisagent.agent.integrations.user_message import redact_error
from ibisagent.agent.state import State
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.reading import read_mask
from ibisagent.tools.segmenters.memo import Memo
from ibisagent.ui.mcp import exports, runs
from ibisagent.ui.mcp.files import resolve_allowed, open_allowed
from ibisagent.ui.mcp.limits import Limits
from ibisagent.ui.mcp.runs import ReportStep
from ibisagent.ui.mcp.sessions import ENDED, HANDLE, Session, Sessions

__all__ = ["SegmentRequest", "SegmentationService"]

_MARKED = "Segment what is marked."


@dataclass(frozen=True, slots=True)
class SegmentRequest:
    """What a client asks to have segmented: an image's path or data URL, and words, marks, or both.

    ``region``: (x0, y0, x1, y1) in [0, 1] of the displayed picture; ``clicks``: (x, y) each, or (x, y, 0) for one
    beside the target. ``mask``: to refine, a path, COCO run lengths, or the handle of an earlier session.
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
    """One server's parts; every method takes the owner of the session and none tells of another's.

    ``acts``: the policy clicks; one that does not needs a region or a mask to begin with. ``roots``: resolved folders
    that images come from; ``out``: where exports are written, None for nowhere.
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
        """Make room for so many runs at a time."""
        object.__setattr__(self, "slots", asyncio.Semaphore(self.limits.runs))

    async def segment(self, request: SegmentRequest, owner: str | None, report: ReportStep) -> tuple[Session, RunSummary]:
        """Run the loop in a session of its own; the session is kept when the run has ended."""
        prompts, request = _prompts(request), self._request(request)
        given = (self.sessions.find(request.mask, owner) if isinstance(request.mask, str) else None) or request.mask
        async with self.slots:
            image = await asyncio.to_thread(self._open, request)
            mask = await asyncio.to_thread(self._mask, given, image) if given is not None else None
            graph = build_graph(self.policy, self.memo, self.config, checkpointer=InMemorySaver())
            start = {"image": image, "request": request, "prompts": prompts, "initial_mask": mask}
            session = Session(graph, image)
            await runs.run_session(session, start, report)
        self.sessions.keep(session, owner)
        return session, await self._tell(session)

    def _request(self, asked: SegmentRequest) -> str:
        """Give the words, which marks of a person's can do without; a policy that does not click needs marks."""
        marked = asked.region is not None or bool(asked.clicks) or asked.mask is not None
        if not self.policy_clicks and not marked:
            got = "got none, and no region or mask, but this server has no clicking model"
            raise InputError(f"clicks: {got}; give one of them")
        if asked.request is None and not marked:
            raise InputError("request: got nothing, expected words, clicks, a region or a mask; give one of them")
        return asked.request if asked.request is not None else _MARKED

    def _open(self, asked: SegmentRequest) -> MedicalImage:
        return open_allowed(asked.image, self.roots, self.limits, slice=asked.slice, window=asked.window)

    def _mask(self, given: str | Mapping[str, Any] | Session, image: MedicalImage) -> NDArray[np.bool_]:
        if isinstance(given, Session):
            return read_mask(runs.current_state(given)["mask"], image)
        if isinstance(given, str):
            try:
                return read_mask(resolve_allowed(given, self.roots, self.limits.file_bytes), image)
            except InputError as error:
                if HANDLE.fullmatch(given):
                    raise InputError(f"mask: {ENDED}; begin one with segment") from None
                raise redact_error(error, "mask") from None
        if given.get("size") != list(image.shape):  # before memory is taken for it
            size = list(image.shape)
            got = f"got run lengths of the size {str(given.get('size'))[:40]}"
            raise InputError(f"mask: {got}, expected COCO ones of the image's {size}; encode it anew")
        return read_mask(given, image)

    async def refine(
        self, handle: str, action: Action, owner: str | None, report: ReportStep, *, go_on: bool = False
    ) -> tuple[Session, RunSummary]:
        """Put a person's action into a session; with ``go_on`` the policy goes on after it, else it waits."""
        session = self.sessions.get(handle, owner)
        async with session.lock, self.slots:
            if len(runs.current_state(session)["steps"]) >= self.limits.steps:
                full = f"it has its {self.limits.steps} steps"
                raise InputError(f"session: {full}; begin another with segment, and this one's handle as the mask")
            await runs.apply_action(session, action, report)
            if go_on:
                await runs.run_session(session, None, report)
            return session, await self._tell(session)

    async def measure(self, handle: str, owner: str | None) -> tuple[Session, RunSummary]:
        """Tell what a session stands at, its mask in numbers among it."""
        session = self.sessions.get(handle, owner)
        async with session.lock:
            return session, await self._tell(session)

    async def _tell(self, session: Session) -> RunSummary:
        return await asyncio.to_thread(summarize, session.graph, runs.current_state(session))

    async def content(self, handle: str, name: str, owner: str | None) -> bytes:
        """Make one of a session's files (`ibisagent.ui.mcp.exports.FORMATS`)."""
        session = self.sessions.get(handle, owner)
        async with session.lock:
            return await asyncio.to_thread(exports.render_file, session, runs.current_state(session), name, self.roots)

    async def export(self, handle: str, names: Sequence[str], owner: str | None) -> dict[str, str | None]:
        """Write some of a session's files under ``out``; gives each one's path from there, None where there is no out.

        `InputError`: the image has no place for one of the formats; then none is written.
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


def _prompts(asked: SegmentRequest) -> list[Prompt]:
    """Make the box and the clicks that a run begins with."""
    boxes = [Box(x0, y0, x1, y1) for x0, y0, x1, y1 in ([asked.region] if asked.region is not None else [])]
    return [*boxes, *(_click(number, *given) for number, given in enumerate(asked.clicks))]


def _click(number: int, x: float, y: float, on: float = 1) -> Click:
    if on not in (0, 1):
        raise InputError(f"clicks[{number}]: got {on:g} after x and y, expected 1 on the target or 0 beside it; choose")
    return Click(x, y, on == 1)
