"""Files of recorded runs, read object by object: a record, what is wrong with it, or JSON of another kind."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text, require_file

__all__ = ["RecordLocation", "case_id", "list_record_files", "read_record", "read_records"]


class RecordLocation(NamedTuple):
    """The location of a record: its file, and its number in a ``.jsonl``, from 1."""

    path: Path
    number: int | None

    def __str__(self) -> str:
        """Return the location in one line."""
        return printable_text(self.path) + (f", record {self.number}" if self.number else "")


def case_id(place: RecordLocation) -> str:
    """Return the case that a file is named after; a run folder's ``trajectory.json`` has its folder's name.

    >>> case_id(RecordLocation(Path("runs/a/trajectory.json"), None)), case_id(RecordLocation(Path("b.jsonl"), 2))
    ('a', 'b 2')
    """
    path = place.path
    name = path.absolute().parent.name if path.name == "trajectory.json" else path.stem
    return f"{name} {place.number}" if place.number else name


def list_record_files(paths: Sequence[Path]) -> list[Path]:
    """List the given files and the ``.json`` and ``.jsonl`` in the given folders, each once.

    `InputError` for a path with nothing that can be read.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if os.path.isdir(path):
            inside = sorted(filter(_may_hold, path.rglob("*")))
        else:
            inside = [path]
            if not os.path.isfile(path):
                require_file(path)
        found |= {file.absolute(): file for file in inside}
    return list(found.values())


def _may_hold(file: Path) -> bool:
    return file.suffix.lower() in (".json", ".jsonl") and not file.name.startswith(".") and file.is_file()


def read_records(path: Path) -> Iterator[tuple[RecordLocation, Trajectory | InputError | None]]:
    """Read a file object by object: a record, its error, or None for JSON of another kind."""
    lines, number = path.suffix.lower() == ".jsonl", 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, text in enumerate(filter(str.strip, file) if lines else [file.read()], 1):
                yield RecordLocation(path, number if lines else None), _read(text)
    except (OSError, UnicodeError) as error:
        said = f"could not be read as text ({type(error).__name__}), expected .json or .jsonl records; name those"
        yield RecordLocation(path, number + 1 if lines else None), InputError(said)


def read_record(place: RecordLocation) -> Trajectory:
    """Read the record at a location; `InputError` where there is none."""
    read = next((read for found, read in read_records(place.path) if found == place), None)
    if isinstance(read, Trajectory):
        return read
    raise read or InputError("the record: got none where one was, expected a trajectory; record it anew")


def _read(text: str) -> Trajectory | InputError | None:
    try:
        data = json.loads(text)
        known = isinstance(data, dict) and "version" in data and "steps" in data
        return Trajectory.from_json(data) if known else None
    except InputError as error:
        return error
    except (ValueError, RecursionError) as error:
        return InputError(f"got no JSON ({error}), expected a whole trajectory; record it anew")
