"""The table of stored sessions, in the file of their checkpoints: whose each one is, and what it needs to go on.

Neither handles nor owners can be read from it: it holds their SHA-256 alone.
"""

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

__all__ = ["Ledger", "StoredSession"]

_TABLE = """CREATE TABLE IF NOT EXISTS ibisagent_sessions
(thread TEXT PRIMARY KEY, owner TEXT NOT NULL, used REAL NOT NULL, case_json TEXT NOT NULL)"""


class StoredSession(NamedTuple):
    """A row: the thread, the owner's hash, the seconds of its last use since the epoch, and plain JSON values."""

    thread: str
    owner: str
    used: float
    case: dict[str, Any]


class Ledger:
    """The rows, read and written over the connection of an async SQLite checkpointer."""

    def __init__(self, saver: AsyncSqliteSaver, clock: Callable[[], float] = time.time) -> None:
        """Take an open checkpointer; ``clock`` returns seconds since the epoch."""
        self._saver, self._clock = saver, clock

    async def create(self) -> None:
        """Create the table if it is missing; what is deleted is overwritten in the file."""
        await self._execute("PRAGMA secure_delete = ON")
        await self._execute(_TABLE)

    async def add(self, thread: str, owner: str) -> None:
        """Add a row without a case."""
        await self._execute("INSERT INTO ibisagent_sessions VALUES (?, ?, ?, '{}')", thread, owner, self._clock())

    async def find(self, thread: str) -> StoredSession | None:
        """Return a thread's row, None where there is none."""
        rows = await self._execute("SELECT * FROM ibisagent_sessions WHERE thread = ?", thread)
        return _read_row(rows[0]) if rows else None

    async def update(self, thread: str, case: dict[str, Any]) -> None:
        """Replace a thread's case, if it still has a row."""
        given = (json.dumps(case), self._clock(), thread)
        await self._execute("UPDATE ibisagent_sessions SET case_json = ?, used = ? WHERE thread = ?", *given)

    async def touch(self, thread: str) -> None:
        """Record that a session is used now."""
        await self._execute("UPDATE ibisagent_sessions SET used = ? WHERE thread = ?", self._clock(), thread)

    async def remove(self, thread: str) -> None:
        """Delete a thread's row, also from the write-ahead log."""
        await self._execute("DELETE FROM ibisagent_sessions WHERE thread = ?", thread)
        await self._execute("PRAGMA wal_checkpoint(TRUNCATE)")

    async def list_unused(self, seconds: float, most: int) -> list[StoredSession]:
        """List the rows that are unused for so long, and of the others the least recently used beyond ``most``."""
        rows = await self._execute("SELECT * FROM ibisagent_sessions ORDER BY used DESC")
        oldest = self._clock() - seconds
        return [_read_row(row) for number, row in enumerate(rows) if number >= most or row[2] < oldest]

    async def _execute(self, statement: str, *values: Any) -> list[Any]:
        async with self._saver.lock, self._saver.conn.execute(statement, values) as cursor:
            rows = list(await cursor.fetchall())
            await self._saver.conn.commit()
        return rows


def _read_row(row: Any) -> StoredSession:
    return StoredSession(row[0], row[1], row[2], json.loads(row[3]))
