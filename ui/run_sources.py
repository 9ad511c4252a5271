"""Recorded runs wherever they lie, to learn from: files, folders, zips, and the threads of a checkpointer, read only.

Runs of a page's visitors are read as kept cases alone, with their consent beside them; the threads of its database are
not. Nothing that is read changes.
"""

import json
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from ibisagent.agent.checkpoints import is_postgres
from ibisagent.agent.recorded_threads import open_read_only, read_threads
from ibisagent.agent.stores import ImageStore, RunStore
from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text, require_file
from ibisagent.ui.record_files import list_record_files, read_records
from ibisagent.ui.sessions.consent import CONSENT_FILE, find_private_folder
from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.record_archives import unpack_records

__all__ = ["NO_CONSENT", "SourcedRun", "iter_runs"]

NO_CONSENT = "without consent to training"
_BROKEN, _GONE = "that cannot be read", "whose masks and replies are gone"
_SQLITE = b"SQLite format 3\0"


class SourcedRun(NamedTuple):
    """A recorded run, or the reason why it is ``left_out``, then without a record.

    ``source``: names it for people; ``folder``: from which the path of its picture counts, ``unpacked`` from a zip.
    """

    source: str
    record: Trajectory | None
    folder: Path
    left_out: str | None = None
    unpacked: bool = False


def iter_runs(places: Sequence[str], stack: ExitStack, store: Path | None = None) -> Iterator[SourcedRun]:
    """Yield the runs of files, folders, zips, SQLite files and ``postgresql://`` addresses.

    ``stack``: keeps what is unpacked until it is closed. ``store``: folder of the threads' replies and masks, by
    default beside an SQLite file, as `ibisagent segment --db` keeps them. `InputError`: nothing of the kind is there.
    """
    for place in places:
        if is_postgres(place):
            if store is None:
                raise InputError("got an address without --store, expected the folder with the threads' masks; name it")
            yield from _iter_threads(place, store)
        elif Path(place).is_dir():
            yield from _iter_files(Path(place), Path(place))
        else:
            yield from _iter_one_file(Path(place), stack, store)


def _iter_one_file(path: Path, stack: ExitStack, store: Path | None) -> Iterator[SourcedRun]:
    require_file(path)
    with path.open("rb") as file:
        is_sqlite = file.read(len(_SQLITE)) == _SQLITE
    if is_sqlite:
        yield from _iter_threads(path, store or Path(f"{path}.store"))
    elif zipfile.is_zipfile(path):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ibisagent-"))) / path.stem
        if not unpack_records(path, folder, Limits()):
            raise InputError(
                f"{printable_text(path)}: got a zip without records, expected a run folder's; name another"
            )
        yield from (run._replace(folder=folder, unpacked=True) for run in _iter_files(folder, folder))
    else:
        yield from _iter_files(path, path.parent)


def _iter_files(place: Path, top: Path) -> Iterator[SourcedRun]:
    private: set[Path] = set()
    for file in list_record_files([place]):
        folder = find_private_folder(file)
        if folder is not None:
            if folder not in private:
                yield SourcedRun(folder.name, None, folder, NO_CONSENT)
            private.add(folder)
        elif file.name != CONSENT_FILE:
            yield from _read_file(file, top)


def _read_file(file: Path, top: Path) -> Iterator[SourcedRun]:
    for location, read in read_records(file):
        number = f"#{location.number}" if location.number else ""
        source = printable_text(file.absolute().relative_to(top.absolute()).as_posix() + number)
        if isinstance(read, InputError):
            yield SourcedRun(source, None, file.parent, _BROKEN)
        elif read is not None:
            yield SourcedRun(source, read, file.parent)


def _iter_threads(where: str | Path, store: Path) -> Iterator[SourcedRun]:
    name, images = "thread" if is_postgres(where) else Path(where).name, store / "images"
    with open_read_only(where) as saver:
        sessions = _read_page_sessions(getattr(saver, "conn", None))
        if sessions is not None:
            yield from _iter_kept_cases(sessions, name, store)
            return
        for thread, read in read_threads(saver, RunStore(store), ImageStore(images)):
            source = printable_text(f"{name} {thread}")
            if isinstance(read, InputError):
                yield SourcedRun(source, None, images, _GONE)
            else:
                yield SourcedRun(source, read, images)


def _read_page_sessions(connection: Any) -> list[dict[str, Any]] | None:
    """Return the cases of a page's sessions, None for a database of another kind."""
    if not isinstance(connection, sqlite3.Connection):
        return None
    table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'ibisagent_sessions'"
    if connection.execute(table).fetchone() is None:
        return None
    return [
        json.loads(row[0]) for row in connection.execute("SELECT case_json FROM ibisagent_sessions ORDER BY thread")
    ]


def _iter_kept_cases(sessions: list[dict[str, Any]], name: str, store: Path) -> Iterator[SourcedRun]:
    for case in sessions:
        kept = [Path(folder) / "trajectory.json" for folder in case.get("kept") or ()]
        if not any(record.is_file() for record in kept):
            yield SourcedRun(name, None, store, NO_CONSENT)
        for record in filter(Path.is_file, kept):
            yield from _iter_files(record, record.parent.parent)
