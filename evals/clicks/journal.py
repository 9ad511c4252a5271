"""What a benchmark has done so far, kept so that a killed run goes on where it was.

``clicks.jsonl``: the settings in the first line, then a `Row` a line, in the order in which they were done.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import label

__all__ = ["Journal", "Key", "Row", "open_journal"]

Key = tuple[str, str, str]
"""Case id, segmenter, mode."""


class Row(NamedTuple):
    """One target, segmenter and mode; ``reason`` says why there is nothing more, in one line, or is None.

    ``image`` is the picture's path in the data set, the same for all its targets and slices. ``marks``, ``ious``,
    ``scores`` and ``seconds`` hold a value for each prompt made: ``r12c40+`` and ``r12c40-`` are clicks on row 12,
    column 40, ``r2c3..r20c50`` is a box with both corners in it. ``encoder_seconds`` are the picture's, which its
    targets share.
    """

    id: str
    image: str
    target: str
    modality: str
    source: str
    split: str
    segmenter: str
    fingerprint: str
    mode: str
    reason: str | None = None
    height: int | None = None
    width: int | None = None
    area_px: int | None = None
    marks: tuple[str, ...] = ()
    ious: tuple[float, ...] = ()
    scores: tuple[float | None, ...] = ()
    encoder_seconds: float | None = None
    seconds: tuple[float, ...] = ()

    @property
    def key(self) -> Key:
        """Tell a row from any other of the run."""
        return self.id, self.segmenter, self.mode


class Journal:
    """The rows of a run and the file that they are kept in."""

    def __init__(self, path: Path, rows: Iterable[Row]) -> None:
        """Begin with what ``path`` holds; a row replaces an earlier one of its key."""
        self._path = path
        self.rows: dict[Key, Row] = {row.key: row for row in rows}

    def add(self, rows: Iterable[Row]) -> None:
        """Keep rows: in the file, past any death of the process, before this returns."""
        new = list(rows)
        _append(self._path, [row._asdict() for row in new])
        self.rows |= {row.key: row for row in new}


def open_journal(path: Path, settings: dict[str, Any]) -> Journal:
    """Open or begin a run's file; a last line that a death cut short is dropped.

    Another run's settings, or a file that is none of these, are an `InputError`.
    """
    lines = _whole_lines(path)
    if not lines:
        _append(path, [settings])
        return Journal(path, [])
    try:
        begun = dict(json.loads(lines[0]))
        rows = [_row(json.loads(line)) for line in lines[1:]]
    except (TypeError, ValueError):
        raise InputError(f"{label(path)}: got no run of this benchmark, expected one; name another --out") from None
    differing = [name for name in settings if begun.get(name) != settings[name]]
    if differing:
        got = ", ".join(f"{name}={settings[name]!r}" for name in differing)
        expected = ", ".join(f"{name}={begun.get(name)!r}" for name in differing)
        raise InputError(f"{label(path.parent)}: got {got}, expected {expected} as it was begun; name another --out")
    return Journal(path, rows)


def _row(values: dict[str, Any]) -> Row:
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Row(**plain)


def _whole_lines(path: Path) -> list[bytes]:
    """Read the lines, and cut the file after the last whole one."""
    try:
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with path.open("r+b") as file:
                file.truncate(len(whole))
    except OSError as error:
        raise _refusal(path, error) from error
    return whole.splitlines()


def _append(path: Path, values: list[dict[str, Any]]) -> None:
    try:
        with path.open("ab") as file:
            file.write("".join(f"{json.dumps(value)}\n" for value in values).encode())
    except OSError as error:
        raise _refusal(path, error) from error


def _refusal(path: Path, error: OSError) -> InputError:
    reason = error.strerror or type(error).__name__
    return InputError(
        f"{label(path)}: could not be kept ({reason}), expected a writable file; free space or name another"
    )
