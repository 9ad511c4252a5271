"""The records of many files, one in memory at a time; an invalid record is reported in a line and skipped."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from rich.console import Console
from rich.progress import track

from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.allowed_paths import require_roots
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text, require_file
from ibisagent.tools.imaging.decoding import decode_guard

__all__ = ["RecordLocation", "map_records", "print_line", "readable_roots", "to_printable_line"]

Value = TypeVar("Value")


class RecordLocation(NamedTuple):
    """The location of a record: its file, and its number in a ``.jsonl``, from 1."""

    path: Path
    number: int | None

    def __str__(self) -> str:
        """Return the location in one line."""
        return printable_text(self.path) + (f", record {self.number}" if self.number else "")


def map_records(
    paths: list[Path], work: Callable[[RecordLocation, Trajectory], Value], console: Console, doing: str
) -> Iterator[tuple[RecordLocation, Value]]:
    """Yield the result of ``work`` for every record in files and folders, in the order of their paths.

    ``console``, that of stderr, gets a progress bar and a line for each file or record that cannot be read or
    processed. `InputError` for a path that does not exist, and at the end when no record was valid.
    """
    others, sound, broken = set[Path](), 0, 0
    for path in track(_files(paths), doing, console=console, disable=not console.is_terminal):
        for place, read in _read(path):
            if read is None:
                others.add(path)
                continue
            try:
                value = _attempt(work, place, read)
            except InputError as error:
                broken += 1
                print_line(console, f"{place}: {error}")
                continue
            sound += 1
            yield place, value
    left = f"{len(others)} JSON of another kind, {broken} broken"
    if not sound:
        named = ", ".join(map(printable_text, paths))
        raise InputError(f"{named}: got no trajectory ({left}), expected .json or .jsonl ones; name their folder")
    if others or broken:
        print_line(console, f"left out: {left}")


def readable_roots(roots: Sequence[Path]) -> tuple[Path, ...]:
    """Return the folders in which a command may find a record's picture: the given ones and the current folder.

    The root of the file system, where a service or a container runs, is no current folder that anybody chose.
    `InputError` for a root that is no folder.
    """
    current = Path.cwd()
    return (*require_roots(roots), *((current,) if current.parent != current else ()))


def print_line(console: Console, line: str) -> None:
    """Print a text as one line without wrapping."""
    console.print(to_printable_line(line), soft_wrap=True, markup=False, highlight=False)


def to_printable_line(text: str) -> str:
    """Return a text on one printable line: no escape codes, no lone surrogates."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _files(paths: list[Path]) -> list[Path]:
    """List the given files and those in the given folders, each once."""
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


def _read(path: Path) -> Iterator[tuple[RecordLocation, Trajectory | InputError | None]]:
    """Read a file object by object: a record, its error, or None for JSON of another kind."""
    lines, number = path.suffix.lower() == ".jsonl", 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, text in enumerate(filter(str.strip, file) if lines else [file.read()], 1):
                yield RecordLocation(path, number if lines else None), _record(text)
    except (OSError, UnicodeError) as error:
        said = f"could not be read ({type(error).__name__}), expected readable UTF-8; check the file"
        yield RecordLocation(path, number + 1 if lines else None), InputError(said)


def _record(text: str) -> Trajectory | InputError | None:
    try:
        data = json.loads(text)
        known = isinstance(data, dict) and "version" in data and "steps" in data
        return Trajectory.from_json(data) if known else None
    except InputError as error:
        return error
    except (ValueError, RecursionError) as error:
        return InputError(f"got no JSON ({error}), expected a whole trajectory; record it anew")


def _attempt(
    work: Callable[[RecordLocation, Trajectory], Value], place: RecordLocation, read: Trajectory | InputError
) -> Value:
    if isinstance(read, InputError):
        raise read
    with decode_guard("record", "a sound trajectory", "record it anew"):
        return work(place, read)
