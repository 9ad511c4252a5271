"""Expert readings of recorded runs: verdicts in one CSV file, a shuffled order for each reader, nothing shown twice.

Whoever reads sees the picture, the request and the final mask alone: neither policy and segmenter nor steps, figures
and truth. All that has to outlive a server lies in two files: the verdicts, and beside them the readers' handles.
"""

import csv
import json
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from typing_extensions import TypedDict

from ibisagent.agent.record_images import find_recorded_image
from ibisagent.tools.errors import InputError, describe_error
from ibisagent.tools.files import atomic_write, printable_text
from ibisagent.tools.masks.rle import Rle, area
from ibisagent.ui.sessions.files import new_handle
from ibisagent.ui.sessions.recorded_runs import RecordedRun, RecordList
from ibisagent.ui.sessions.session_errors import UnknownSession

__all__ = ["FAILURES", "VERDICTS", "ReadingView", "Review", "ReviewBook", "Verdict", "read_reviews"]

VERDICTS = ("accept", "minor", "major", "reject")
"""What a reader can say of a mask, from best to worst."""

FAILURES = (
    *("wrong target", "leak", "missed part", "boundary"),
    *("absent called present", "present called absent", "other"),
)
"""What can be wrong with it; every verdict but the first names one."""

_MOST_NAME, _MOST_COMMENT, _MOST_READERS = 60, 2000, 200
_MOST_OPEN = 8  # pictures in memory
_LONGEST = 24 * 3600.0


class Review(NamedTuple):
    """A row of the CSV: a reader's verdict on one record, ``place`` in its folder.

    ``seconds``: that the reader looked at it; ``time``: of the verdict, UTC.
    """

    reader: str
    place: str
    case: str
    policy: str
    segmenter: str
    verdict: str
    failure: str
    comment: str
    seconds: float
    time: str


class Verdict(NamedTuple):
    """What a reader says of a case; ``number``: of that case in his own order, from 0."""

    number: int
    verdict: str
    failure: str
    comment: str
    seconds: float


class ReadingView(TypedDict):
    """What a reader sees.

    ``number``: of the case in his order, None once all are read; ``statement``: what is said in place of a mask.
    """

    reader: str
    done: int
    total: int
    number: int | None
    request: str
    kind: str
    statement: str
    width: int
    height: int
    mask: Rle | None


@dataclass(slots=True, eq=False)
class ReviewBook:
    """The readings of one list of records; for one event loop or thread.

    ``file``: the CSV, rewritten whole at each verdict; ``seed``: of the orders, with the reader's name. ``unreadable``:
    indices of records whose picture is not found, which nobody is shown.
    """

    records: RecordList
    file: Path
    seed: int = 0
    unreadable: set[int] = field(default_factory=set)
    _reviews: list[Review] = field(default_factory=list)
    _handles: dict[str, str] = field(default_factory=dict)
    _opened: dict[str, tuple[int, RecordedRun]] = field(default_factory=dict)
    _clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        """Read what is there already; `InputError` where it is no review's."""
        if self.file.exists():
            self._reviews = read_reviews(self.file)
        if self._readers_file.exists():
            self._handles = _read_handles(self._readers_file)
        for number, entry in enumerate(self.records.entries):
            try:
                folder = entry.location.path.parent
                find_recorded_image(self.records.read(number).image, folder, self.records.roots)
            except InputError:
                self.unreadable.add(number)

    @property
    def _readers_file(self) -> Path:
        return self.file.with_name(f"{self.file.name}.readers.json")

    def register(self, name: str) -> str:
        """Return the handle of a reader, a new one for a new name; `InputError` for a name that cannot be one."""
        name = " ".join(name.split())
        if not name or len(name) > _MOST_NAME or not name.isprintable():
            raise InputError(f"reader: got no name of 1 to {_MOST_NAME} characters; write one")
        if name not in self._handles:
            if len(self._handles) >= _MOST_READERS:
                raise InputError(f"reader: got one more than {_MOST_READERS}; write a name that is known")
            handles = {**self._handles, name: new_handle()}
            with atomic_write(self._readers_file) as temporary:
                temporary.touch(mode=0o600)
                temporary.write_text(json.dumps(handles, indent=1), encoding="utf-8")
            self._handles = handles
        return self._handles[name]

    def reader_of(self, handle: str) -> str:
        """Return the name of a reader; `UnknownSession` for a handle of nobody."""
        for name, known in self._handles.items():
            if secrets.compare_digest(known.encode(), handle.encode("utf-8", "replace")):
                return name
        raise UnknownSession

    def order(self, reader: str) -> list[int]:
        """Return the indices of the records in a reader's own order."""
        order = list(range(len(self.records.entries)))
        random.Random(f"{self.seed}\n{reader}").shuffle(order)
        return order

    def show(self, handle: str) -> ReadingView:
        """Return the first case of a reader's order that he has not judged."""
        reader = self.reader_of(handle)
        while (number := self._next(reader)) is not None:
            try:
                return self._view(reader, number, self._open(reader, number))
            except InputError:  # it is there, but has other pixels, or none
                self.unreadable.add(self.order(reader)[number])
        return self._view(reader, None, None)

    def picture(self, handle: str, number: int) -> RecordedRun:
        """Return the record that a reader is shown now; `UnknownSession` for any other number."""
        reader = self.reader_of(handle)
        if number != self._next(reader):
            raise UnknownSession
        return self._open(reader, number)

    def judge(self, handle: str, given: Verdict) -> ReadingView:
        """Write a reader's verdict on the case that he is shown, and return the next one.

        A verdict on another case changes nothing: it was sent twice, or from a second window.
        """
        reader = self.reader_of(handle)
        if given.number == self._next(reader):
            self._write(reader, given)
        return self.show(handle)

    def _write(self, reader: str, given: Verdict) -> None:
        failure = _require_failure(given)
        entry = self.records.entries[self.order(reader)[given.number]]
        made = Review(
            reader=reader,
            place=entry.place,
            case=entry.case,
            policy=entry.policy,
            segmenter=entry.segmenter,
            verdict=given.verdict,
            failure=failure,
            comment=given.comment.strip()[:_MOST_COMMENT],
            seconds=round(min(max(given.seconds, 0.0), _LONGEST), 1),
            time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock())),
        )
        reviews = [*self._reviews, made]
        with atomic_write(self.file) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(Review._fields)
            writer.writerows(reviews)
        self._reviews = reviews

    def _next(self, reader: str) -> int | None:
        """Return the place, in his order, of the case that a reader is to judge next."""
        judged = {review.place for review in self._reviews if review.reader == reader}
        for number, index in enumerate(self.order(reader)):
            if index not in self.unreadable and self.records.entries[index].place not in judged:
                return number
        return None

    def _open(self, reader: str, number: int) -> RecordedRun:
        held = self._opened.pop(reader, None)
        if held is None or held[0] != number:
            held = number, self.records.open(self.order(reader)[number])
        self._opened[reader] = held
        if len(self._opened) > _MOST_OPEN:
            del self._opened[next(iter(self._opened))]
        return held[1]

    def _view(self, reader: str, number: int | None, run: RecordedRun | None) -> ReadingView:
        shown = [entry for index, entry in enumerate(self.records.entries) if index not in self.unreadable]
        judged = {review.place for review in self._reviews if review.reader == reader}
        height, width = run.image.shape if run is not None else (0, 0)
        return ReadingView(
            reader=reader,
            done=sum(entry.place in judged for entry in shown),
            total=len(shown),
            number=number,
            request=run.record.request if run is not None else "",
            kind=run.record.kind if run is not None else "",
            statement=_state(run) if run is not None else "",
            width=width,
            height=height,
            mask=run.record.mask if run is not None else None,
        )


def _state(run: RecordedRun) -> str:
    """Return what the run says in place of a mask, "" where it shows one; nothing in it tells who made it."""
    record = run.record
    if record.kind == "question":
        return record.answer or "No answer."
    if area(record.mask):
        return ""
    if record.stop == "target_absent":
        return "It says that this is not in the picture."
    return "It declines to say." if record.stop == "declined" else "It marks nothing."


def _require_failure(given: Verdict) -> str:
    if given.verdict not in VERDICTS:
        raise InputError(f"verdict: got none of {', '.join(VERDICTS)}; choose one")
    if given.verdict == VERDICTS[0]:
        return ""
    if given.failure not in FAILURES:
        raise InputError(f"failure: got none of {', '.join(FAILURES)}; choose what is wrong")
    return given.failure


def read_reviews(file: Path) -> list[Review]:
    """Read the verdicts of a CSV; `InputError` where it is none of `ReviewBook`'s."""
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            rows = csv.DictReader(opened)
            if tuple(rows.fieldnames or ()) != Review._fields:
                raise ValueError("other columns")
            return [
                Review._make(float(row[name]) if name == "seconds" else row[name] or "" for name in Review._fields)
                for row in rows
            ]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        got = f"got no verdicts ({describe_error(error)})"
        raise InputError(f"{printable_text(file)}: {got}, expected a file of ibisagent review; name another") from error


def _read_handles(file: Path) -> dict[str, str]:
    try:
        found: Any = json.loads(file.read_text(encoding="utf-8"))
        return {str(name): str(handle) for name, handle in found.items()}
    except (OSError, ValueError, AttributeError) as error:
        got = f"got no readers ({describe_error(error)})"
        raise InputError(f"{printable_text(file)}: {got}, expected a file of ibisagent review; delete it") from error
