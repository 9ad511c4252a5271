"""Stored sessions: checkpoints and a table in one SQLite file, and a folder for each session beside it.

A session's folder (mode 0700, named by its thread) holds its uploads, its pictures, its replies and its step masks, and
nothing of a session lies anywhere else but a kept case. So a session outlives its process, and is deleted whole.
"""

import asyncio
import hashlib
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from ibisagent.agent import ImageStore, RunStore, SegmentationGraph, build_graph
from ibisagent.agent.checkpoints import aopen_checkpointer
from ibisagent.tools.files import require_writable_folder
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.ui.sessions.files import ImageFile, open_image_file
from ibisagent.ui.sessions.ledger import Ledger, StoredSession
from ibisagent.ui.sessions.service import SessionService
from ibisagent.ui.sessions.session_store import Session

__all__ = ["SessionStorage", "hash_secret", "open_storage"]

_IMAGE_BYTES = 128 * 2**20  # of one session's pictures in memory; the others are opened again


def hash_secret(secret: str) -> str:
    """Hash a handle to its thread, or an owner's secret: what is stored gives neither away."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class SessionStorage:
    """An open checkpointer with its table, and the folder of the sessions' folders."""

    saver: AsyncSqliteSaver
    ledger: Ledger
    folder: Path

    def folder_of(self, thread: str) -> Path:
        """Return a thread's folder, which may not exist."""
        return self.folder / thread

    def make_upload_folder(self, thread: str) -> Path:
        """Create a new folder of a session for uploads, which only this user can read."""
        folder = self.folder_of(thread) / "uploads" / secrets.token_hex(8)
        for path in (self.folder_of(thread), folder.parent, folder):
            path.mkdir(mode=0o700, exist_ok=True)
        return folder

    async def clear(self, thread: str) -> None:
        """Delete all that a session holds but its row and its uploads, to begin anew."""
        await self.saver.adelete_thread(thread)
        for name in ("images", "records"):
            shutil.rmtree(self.folder_of(thread) / name, ignore_errors=True)

    async def delete(self, row: StoredSession) -> None:
        """Delete a session: checkpoints, folder, kept cases, and its row last."""
        await self.saver.adelete_thread(row.thread)
        for folder in (self.folder_of(row.thread), *row.case.get("kept", ())):
            shutil.rmtree(folder, ignore_errors=True)
        await self.ledger.remove(row.thread)

    async def newest_checkpoint(self, thread: str) -> str | None:
        """Return the id of a thread's newest checkpoint."""
        found = await self.saver.aget_tuple(_config(thread))
        return found.config["configurable"]["checkpoint_id"] if found is not None else None

    async def make_session(
        self, service: SessionService, handle: str, image: MedicalImage, file: ImageFile, head: str | None = None
    ) -> Session:
        """Build the session of a handle over what is stored of it; ``head``: a checkpoint other than the newest."""
        thread = hash_secret(handle)
        config = _config(thread)
        session = Session(self._build_graph(service, thread), image, file, "sync", handle, thread=config, stored=True)
        if head is not None:
            session.head = RunnableConfig(
                configurable=config["configurable"] | {"checkpoint_id": head, "checkpoint_ns": ""}
            )
        state = (await session.graph.aget_state(session.place)).values
        session.steps = len(state.get("steps", ()))
        await asyncio.to_thread(_hold_pictures, session, service, state.get("image"))
        return session

    def _build_graph(self, service: SessionService, thread: str) -> SegmentationGraph:
        folder = self.folder_of(thread)
        return build_graph(
            service.policy,
            service.memo,
            service.config,
            proposer=service.proposer,
            checkpointer=self.saver,
            images=ImageStore(folder / "images", max_bytes=_IMAGE_BYTES),
            store=RunStore(folder / "records"),
        )


def _hold_pictures(session: Session, service: SessionService, asked: dict[str, Any] | None) -> None:
    """Put the pictures of a session into its store with their values and grids, which the store does not write."""
    images, shown, file = session.graph.components.images, session.image, session.file
    images.to_reference(shown)
    if file is not None and asked is not None and asked["sha"] != shown.sha:
        chosen = {"slice": asked["slice"], "window": asked["window"]}
        images.to_reference(open_image_file(file, service.limits, **chosen))


def _config(thread: str) -> RunnableConfig:
    return RunnableConfig(configurable={"thread_id": thread})


@asynccontextmanager
async def open_storage(database: Path | None) -> AsyncIterator[SessionStorage]:
    """Open the storage beside a database, both created if missing; with None in a folder that is deleted at the end."""
    if database is None:
        with tempfile.TemporaryDirectory(prefix="ibisagent-web-") as temporary:
            async with _open(Path(temporary) / "sessions.db") as storage:
                yield storage
        return
    require_writable_folder(database.parent)
    async with _open(database) as storage:
        yield storage


@asynccontextmanager
async def _open(database: Path) -> AsyncIterator[SessionStorage]:
    folder = database.absolute().with_name(f"{database.name}.store")
    folder.mkdir(mode=0o700, exist_ok=True)
    if not database.exists():
        database.touch(mode=0o600)
    async with aopen_checkpointer(database) as opened:
        saver = cast(AsyncSqliteSaver, opened)
        storage = SessionStorage(saver, Ledger(saver), folder)
        await storage.ledger.create()
        yield storage
