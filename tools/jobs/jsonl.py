"""A file of rows: one JSON object a line, added as they come, sound after any death of the process.

Where a key stands twice, as that of a broken case that was tried again does, the later row counts.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text, describe_os_error

__all__ = ["append_rows", "truncate_partial_line", "read_rows_at", "scan_rows"]


def append_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Add rows, of which a death of the process can tear the last alone."""
    text = "".join(f"{json.dumps(row, separators=(',', ':'))}\n" for row in rows)
    with _write_errors(path), path.open("ab") as file:
        file.write(text.encode())


def truncate_partial_line(path: Path) -> None:
    """Cut off a torn last line, if there is a file."""
    if path.exists():
        with _write_errors(path), path.open("r+b") as file:
            file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))


def scan_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield every row of these columns and the byte that it begins at; no file holds none."""
    if not path.exists():
        return
    place = 0
    with path.open("rb") as file:
        for line in file:
            row = _parse_line(line)
            if isinstance(row, dict) and tuple(row) == tuple(columns):
                yield place, row
            place += len(line)


def read_rows_at(path: Path, where: Iterable[int]) -> Iterator[dict[str, Any]]:
    """Read the rows that begin at the bytes ``where``, in that order."""
    places = list(where)
    if not places:
        return
    with path.open("rb") as file:
        for place in places:
            file.seek(place)
            row: dict[str, Any] = json.loads(file.readline())
            yield row


def _parse_line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{printable_text(path)}: could not be written ({describe_os_error(error)}); make room and run it again"
        ) from error
