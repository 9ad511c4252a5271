"""Checkpointers: open one by its file or address, and read thread and checkpoint ids from its configs."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver

from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.tools.files import printable_text, require_writable_folder

__all__ = [
    "CheckpointUpdate",
    "aopen_checkpointer",
    "checkpoint_id",
    "checkpointer_error",
    "is_postgres",
    "open_checkpointer",
    "postgres_saver_type",
    "thread_config",
    "thread_id",
]


@contextmanager
def open_checkpointer(where: str | Path) -> Iterator[BaseCheckpointSaver[Any]]:
    """Open an SQLite file, created if missing, or a ``postgresql://`` address (extra ``postgres``).

    `InputError`: the file is something else or cannot be created, or the server cannot be reached.
    """
    saver_type, connection = _saver_type_and_connection(where, asynchronous=False)
    with ExitStack() as stack:
        try:
            saver = stack.enter_context(saver_type.from_conn_string(connection))
            saver.setup()
        except Exception as error:  # whatever the driver raises about files, servers and passwords
            raise checkpointer_error(where, error) from error
        yield saver


@asynccontextmanager
async def aopen_checkpointer(where: str | Path) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """Do what `open_checkpointer` does, for `ainvoke` and `astream`."""
    saver_type, connection = _saver_type_and_connection(where, asynchronous=True)
    async with AsyncExitStack() as stack:
        try:
            saver = await stack.enter_async_context(saver_type.from_conn_string(connection))
            await saver.setup()
        except Exception as error:
            raise checkpointer_error(where, error) from error
        yield saver


def _saver_type_and_connection(where: str | Path, asynchronous: bool) -> tuple[Any, str]:
    """Return the checkpointer's class and its connection string."""
    if is_postgres(where):
        return postgres_saver_type(asynchronous), str(where)
    path = Path(where)
    require_writable_folder(path.parent)
    if asynchronous:
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        return AsyncSqliteSaver, str(path)
    from langgraph.checkpoint.sqlite import SqliteSaver

    return SqliteSaver, str(path)


def is_postgres(where: str | Path) -> bool:
    """Whether checkpoints lie at the address of a Postgres server."""
    return str(where).startswith(("postgres://", "postgresql://"))


def postgres_saver_type(asynchronous: bool) -> Any:
    """Return the class of Postgres checkpointers; `MissingExtra` where it is not installed."""
    try:
        if asynchronous:
            from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

            return AsyncPostgresSaver
        from langgraph.checkpoint.postgres import PostgresSaver
    except ModuleNotFoundError as error:
        raise MissingExtra.of("langgraph-checkpoint-postgres", "postgres") from error
    return PostgresSaver


def checkpointer_error(where: str | Path, error: Exception) -> InputError:
    """Return the error, in one line, for checkpoints that a driver could not open."""
    message = " ".join(str(error).split()) or type(error).__name__
    if is_postgres(where):  # its address may hold a password
        return InputError(
            f"checkpoints at {urlsplit(str(where)).hostname}: {message}; check the address and the server"
        )
    return InputError(
        f"{printable_text(where)}: {message}; expected an SQLite file of checkpoints, or a name for a new one"
    )


class CheckpointUpdate(NamedTuple):
    """An update of a checkpoint, as if written by a node: the arguments of `update_state`."""

    config: RunnableConfig
    update: dict[str, Any]
    node: str


def thread_config(config: RunnableConfig) -> RunnableConfig:
    """Return the config of the thread alone, without a checkpoint."""
    kept = {key: value for key, value in config.get("configurable", {}).items() if key != "checkpoint_id"}
    return cast(RunnableConfig, {**config, "configurable": kept})


def thread_id(config: RunnableConfig) -> str:
    """Return the thread's id."""
    return str(config.get("configurable", {}).get("thread_id"))


def checkpoint_id(config: RunnableConfig | None) -> str:
    """Return the checkpoint's id, empty when the config names none."""
    return str((config or {}).get("configurable", {}).get("checkpoint_id") or "")
