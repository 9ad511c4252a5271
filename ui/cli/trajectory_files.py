"""The records of many files, one in memory at a time; an invalid record is reported in a line and skipped."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.allowed_paths import require_roots
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text
from ibisagent.tools.imaging.decoding import decode_guard
from ibisagent.ui.record_files import RecordLocation, list_record_files, read_records

__all__ = ["map_records", "print_line", "readable_roots", "to_printable_line"]

Value = TypeVar("Value")

_MOST_NAMED = 3  # paths that an error lists


def map_records(
    paths: list[Path], work: Callable[[RecordLocation, Trajectory], Value], console: Console, doing: str
) -> Iterator[tuple[RecordLocation, Value]]:
    """Yield the result of ``work`` for every record in files and folders, in the order of their paths.

    ``console``, that of stderr, gets a progress bar and a line for each file or record that cannot be read or
    processed. `InputError` for a path that does not exist, and at the end when no record was valid.
    """
    others, sound, broken = set[Path](), 0, 0
    for path in track(list_record_files(paths), doing, console=console, disable=not console.is_terminal):
        for place, read in read_records(path):
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
        named = ", ".join([*map(printable_text, paths[:_MOST_NAMED]), *(["..."] if len(paths) > _MOST_NAMED else [])])
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


def _attempt(
    work: Callable[[RecordLocation, Trajectory], Value], place: RecordLocation, read: Trajectory | InputError
) -> Value:
    if isinstance(read, InputError):
        raise read
    with decode_guard("record", "a sound trajectory", "record it anew"):
        return work(place, read)
