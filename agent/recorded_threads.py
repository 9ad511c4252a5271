"""Threads of a checkpointer, read only: each request on each branch as a record; no byte of what is read changes."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver

from ibisagent.agent.branches import branches, requests
from ibisagent.agent.checkpoints import checkpointer_error, is_postgres, postgres_saver_type, thread_id
from ibisagent.agent.graph import SegmentationGraph, build_graph
from ibisagent.agent.policies import ScriptedPolicy
from ibisagent.agent.state import State
from ibisagent.agent.stores import ImageStore, RunStore
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.tools.errors import InputError, StoreError
from ibisagent.tools.files import require_file

__all__ = ["UNKNOWN", "open_read_only", "read_threads"]

UNKNOWN = "unknown"
"""Name of a policy or a segmenter that no checkpoint tells."""


@contextmanager
def open_read_only(where: str | Path) -> Iterator[BaseCheckpointSaver[Any]]:
    """Open an SQLite file or a ``postgresql://`` address of checkpoints, so that nothing can be written.

    An SQLite file is read in place, without locks or files beside it; one with a write-ahead log, which another
    process may be writing, is copied first and read from the copy. `InputError`: it holds no checkpoints.
    """
    with ExitStack() as stack:
        try:
            saver = stack.enter_context(_open_postgres(str(where)) if is_postgres(where) else _open_sqlite(Path(where)))
            next(saver.list(None, limit=1), None)
        except InputError:
            raise
        except Exception as error:  # whatever the driver raises about files, servers and passwords
            raise checkpointer_error(where, error) from error
        yield saver


@contextmanager
def _open_postgres(address: str) -> Iterator[BaseCheckpointSaver[Any]]:
    saver_type = postgres_saver_type(asynchronous=False)
    from psycopg.conninfo import make_conninfo

    read_only = make_conninfo(address, options="-c default_transaction_read_only=on")
    with saver_type.from_conn_string(read_only) as saver:
        yield saver


@contextmanager
def _open_sqlite(path: Path) -> Iterator[BaseCheckpointSaver[Any]]:
    from langgraph.checkpoint.sqlite import SqliteSaver

    require_file(path)
    with tempfile.TemporaryDirectory(prefix="ibisagent-") as folder:
        log = path.with_name(f"{path.name}-wal")
        if log.is_file() and log.stat().st_size:
            copy = Path(folder) / "copy.db"
            for source, target in ((path, copy), (log, Path(f"{copy}-wal"))):
                shutil.copyfile(source, target)
            address = f"file:{quote(str(copy))}"
        else:
            address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True, check_same_thread=False)) as connection:
            saver = SqliteSaver(connection)
            saver.is_setup = True  # its setup would write
            yield saver


def read_threads(
    saver: BaseCheckpointSaver[Any], store: RunStore, images: ImageStore
) -> Iterator[tuple[str, Trajectory | InputError]]:
    """Yield the requests of all threads as records, each with its thread's id; why not, where one cannot be read.

    ``store``, ``images``: what the threads' graph kept its replies, masks and pictures in. What no checkpoint holds is
    not known: the record's settings are the defaults, its policy is named by its replies, its segmenter by its
    fingerprint alone. What branches share is yielded once.
    """
    graph = build_graph(
        ScriptedPolicy([]), "geocut", proposer="none", checkpointer=saver, images=images, store=store
    )  # whose nodes never run
    for config in _list_threads(saver):
        seen: list[tuple[str, list[Any]]] = []
        for branch in reversed(branches(graph, config)):
            for state in requests(graph, branch.config):
                known = (state["run"]["request_hash"], state["steps"])
                if known not in seen:
                    seen.append(known)
                    yield thread_id(config), _read_request(graph, state)


def _list_threads(saver: BaseCheckpointSaver[Any]) -> list[RunnableConfig]:
    """List the threads by their ids; a graph's that runs inside another graph has no thread of its own."""
    found = {
        str(each.config["configurable"]["thread_id"])
        for each in saver.list(None)
        if not each.config["configurable"].get("checkpoint_ns")
    }
    return [RunnableConfig(configurable={"thread_id": name}) for name in sorted(found)]


def _read_request(graph: SegmentationGraph, state: State) -> Trajectory | InputError:
    try:
        record = build_trajectory(graph, state)
    except StoreError as error:
        return InputError(f"its masks and replies are not there ({error})")
    except InputError as error:
        return error
    named = next((name for step in record.steps if (name := step.completion.get("model"))), UNKNOWN)
    return replace(record, policy=named, segmenter_name=UNKNOWN)
