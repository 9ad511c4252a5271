"""The file of an evaluation's rows: one JSON object a line, added as they come, sound after any death of the process.

Where a key stands twice, as that of a broken case that was tried again does, the later row counts.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from ibisagent.evals.rows import COLUMNS, Key, Row, key_of
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import label

__all__ = ["append", "finished", "places", "rows_at"]


def append(path: Path, rows: Iterable[Row]) -> None:
    """Add rows in one write, so that a death of the process tears no line but the last."""
    text = "".join(f"{json.dumps(row, separators=(',', ':'))}\n" for row in rows)
    try:
        with path.open("ab", buffering=0) as file:
            file.write(text.encode())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{label(path)}: could not be written ({reason}); make room and run it again") from error


def finished(path: Path) -> set[Key]:
    """Name what need not be run again, and cut off a torn last line; a broken case gets another try."""
    if not path.exists():
        return set()
    with path.open("r+b") as file:
        file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))
    status = {key_of(row): row["status"] for _, row in _lines(path)}
    return {key for key, said in status.items() if said == "done"}


def places(path: Path) -> dict[Key, int]:
    """Say at which byte the row of every key begins, which takes less memory than the rows."""
    return {key_of(row): place for place, row in _lines(path)} if path.exists() else {}


def rows_at(path: Path, where: Iterable[int]) -> Iterator[Row]:
    """Read the rows that begin at the bytes ``where``, in that order."""
    places = list(where)
    if not places:
        return
    with path.open("rb") as file:
        for place in places:
            file.seek(place)
            row: Row = json.loads(file.readline())
            yield row


def _lines(path: Path) -> Iterator[tuple[int, Row]]:
    """Give every sound row and the byte that it begins at."""
    place = 0
    with path.open("rb") as file:
        for line in file:
            row = _row(line)
            if row is not None:
                yield place, row
            place += len(line)


def _row(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and tuple(row) == COLUMNS else None
