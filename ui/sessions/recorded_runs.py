"""Recorded runs, opened for reading without any model: a list of many, and each with its picture and its files.

A record's picture comes from allowed folders alone: the record's own, or a root that the operator named.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ibisagent.agent.record_images import open_recorded_image
from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text
from ibisagent.tools.imaging.decoding import decode_guard
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import Rle, decode
from ibisagent.ui.record_files import RecordLocation, case_id, list_record_files, read_record, read_records
from ibisagent.ui.sessions.export import list_files, render_record
from ibisagent.ui.sessions.session_view import SessionView, view_of_record
from ibisagent.ui.sessions.snapshots import CaseView

__all__ = ["RecordEntry", "RecordList", "RecordedRun", "list_records", "open_record"]

_REMEDY = "put it beside the record, named SHA.png by its hash, or name its folder by --root at the server's start"


class RecordEntry(NamedTuple):
    """A record in a list: what tells it from the others, and where it is.

    ``place``: in a folder its path from there, with ``#N`` in a file of many; ``sha``: of its picture; ``iou``: of the
    final mask with the truth, None where that is not known.
    """

    place: str
    location: RecordLocation
    sha: str
    case: str
    policy: str
    segmenter: str
    request: str
    stop: str
    steps: int
    iou: float | None


@dataclass(frozen=True, slots=True, eq=False)
class RecordList:
    """The records of a file or a folder, in the order of their paths.

    ``roots``: folders in which their pictures may lie beside each record's own. ``broken``: number of files and lines
    that could not be read as a record, JSON of another kind not counted.
    """

    folder: Path
    entries: tuple[RecordEntry, ...]
    roots: tuple[Path, ...] = ()
    broken: int = 0

    def read(self, number: int) -> Trajectory:
        """Read the n-th record; `InputError` where there is none."""
        if not 0 <= number < len(self.entries):
            raise InputError(f"case: got {number}, expected one of 0 to {len(self.entries) - 1}; choose another")
        return read_record(self.entries[number].location)

    def open(self, number: int, known: MedicalImage | None = None) -> "RecordedRun":
        """Open the n-th record with its picture; ``known``: as of `open_record`."""
        return open_record(self.read(number), self.entries[number].location.path.parent, self.roots, known)

    def describe(self) -> list[CaseView]:
        """Return the list as a page shows it."""
        return [
            CaseView(
                case=entry.case,
                policy=entry.policy,
                segmenter=entry.segmenter,
                request=entry.request,
                stop=entry.stop,
                steps=entry.steps,
                iou=entry.iou,
            )
            for entry in self.entries
        ]


@dataclass(frozen=True, slots=True, eq=False)
class RecordedRun:
    """A record that was opened; ``downloads``: the files that `render` can make of it."""

    record: Trajectory
    image: MedicalImage
    view: SessionView
    downloads: list[str]

    @property
    def truth(self) -> Rle | None:
        """The true mask, None where it is not known."""
        return self.record.truth

    def render(self, name: str) -> bytes:
        """Render one of ``downloads``."""
        return render_record(self.record, self.image, name)


def list_records(place: Path, roots: Sequence[Path] = ()) -> RecordList:
    """List the records of a file or a folder; `InputError` where none can be read."""
    entries: list[RecordEntry] = []
    folder, errors = place if place.is_dir() else place.parent, list[str]()
    for file in list_record_files([place]):
        for location, read in read_records(file):
            if isinstance(read, InputError):
                errors.append(str(read))
            elif read is not None:
                try:
                    with decode_guard("record", "a sound trajectory", "record it anew"):
                        entries.append(_describe(read, location, folder))
                except InputError as error:
                    errors.append(str(error))
    if not entries:
        kind = "folder" if place.is_dir() else "file"
        got = f"no trajectory: {errors[0]}" if errors else "no trajectory"
        raise InputError(f"the {kind}: got {got}; expected .json or .jsonl of recorded runs; choose another")
    return RecordList(folder, tuple(entries), tuple(roots), len(errors))


def _describe(record: Trajectory, location: RecordLocation, folder: Path) -> RecordEntry:
    number = f"#{location.number}" if location.number else ""
    fit = None if record.truth is None else float(iou(decode(record.mask), decode(record.truth)))
    return RecordEntry(
        place=location.path.relative_to(folder).as_posix() + number,
        location=location,
        sha=str(record.image.get("sha", "")),
        case=printable_text(case_id(location)),
        policy=record.policy,
        segmenter=record.segmenter_name,
        request=record.request,
        stop=record.stop or "unfinished",
        steps=len(record.steps),
        iou=fit,
    )


def open_record(
    record: Trajectory, folder: Path, roots: Sequence[Path], known: MedicalImage | None = None
) -> RecordedRun:
    """Open a record with its picture from ``folder`` or a root; `InputError` for anything else.

    ``known``: a picture that is open already; if it is the record's, it is stored in ``folder`` for the next time.
    """
    if known is not None and known.sha == record.image.get("sha"):
        Image.fromarray(known.pixels).save(folder / f"{known.sha}.png")
    image = open_recorded_image(record.image, folder, roots, _REMEDY)
    masks = [record.start, record.mask, *(step.mask for step in record.steps)]
    try:
        sizes = {decode(mask).shape for mask in masks}
        view = view_of_record(record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # a record can come from anywhere
        raise InputError("the file: got a record whose steps do not fit together; record it anew") from error
    if sizes != {image.shape}:
        raise InputError("the file: got a record with masks of another size than its picture; record it anew")
    return RecordedRun(record, image, view, list_files(image))
