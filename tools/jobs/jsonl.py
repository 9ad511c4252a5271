"""A JSON-lines file of rows, appended as they come, readable after the process was killed at any moment.

Where a key is repeated, as that of a failed case that was tried again is, the later row counts.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import describe_os_error, printable_text

__all__ = ["append_rows", "read_rows_at", "scan_rows", "truncate_partial_line"]


def append_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Append rows; a killed process can leave only the last one incomplete."""
    text = "".join(f"{json.dumps(row, separators=(',', ':'))}\n" for row in rows)
    with _write_errors(path), path.open("ab") as file:
        file.write(text.encode())


def truncate_partial_line(path: Path) -> None:
    """Cut off an incomplete last line, if there is a file."""
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
            f"{printable_text(path)}: could not be written ({describe_os_error(error)}); free space and run it again"
        ) from error
