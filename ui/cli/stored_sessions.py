"""The command behind `ibisagent sessions forget`."""

import asyncio
from pathlib import Path

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text

__all__ = ["run_forget"]


def run_forget(handle: str, database: Path) -> None:
    """Delete a stored session with all its data; a server that holds it lets go of it at its next use."""
    if not database.is_file():
        raise InputError(f"--db {printable_text(database)}: got no file, expected the server's; name that")
    asyncio.run(_forget(handle, database))


async def _forget(handle: str, database: Path) -> None:
    from ibisagent.ui.sessions.storage import hash_secret, open_storage

    async with open_storage(database) as storage:
        row = await storage.ledger.find(hash_secret(handle))
        if row is None:
            raise InputError("session: got a handle of no stored session, expected that of the page's address (s=...)")
        await storage.delete(row)
