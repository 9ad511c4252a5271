"""`ibisagent trajectories corrections`: what people did in recorded runs, as the trajectories that training reads."""

import json
import os
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast, get_args

from PIL import Image
from rich.console import Console

from ibisagent.agent.prompting import load_prompts
from ibisagent.agent.record_images import find_recorded_image, open_recorded_image
from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, make_folder, printable_text
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.training.corrections.labels import CorrectionKind, CorrectionLabeler
from ibisagent.training.corrections.person_actions import accepted_mask
from ibisagent.training.experts.expert import ExpertConfig, parse_style
from ibisagent.ui.cli.trajectory_files import map_records, print_line, readable_roots
from ibisagent.ui.record_files import RecordLocation, list_record_files
from ibisagent.ui.sessions.consent import CONSENT_FILE, find_private_folder
from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.record_archives import unpack_records
from ibisagent.ui.sessions.service import MARKED_REQUEST

__all__ = ["run_corrections"]

_SHARD, _SUMMARY = "trajectories-00000.jsonl", "summary.json"
_UNNAMED = ("", MARKED_REQUEST)
_NO_PICTURE = "the picture is not there, or has changed"


@dataclass(slots=True)
class _Counts:
    """What was read: runs, those that are ``kept``, and what was learned and left out, by kind and by reason."""

    runs: int = 0
    kept: int = 0
    accepted: int = 0
    learned: Counter[str] = field(default_factory=Counter)
    left_out_runs: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """Return the summary."""
        counters = ("learned", "left_out_runs", "left_out")
        plain = {name: getattr(self, name) for name in ("runs", "kept", "accepted")}
        return plain | {name: dict(getattr(self, name).most_common()) for name in counters}


def run_corrections(
    runs: Sequence[Path],
    out: Path,
    *,
    kind: str,
    style: str = "short",
    snap: float | None = 0.01,
    roots: Sequence[Path] = (),
    copy_images: bool = False,
) -> None:
    """Write the labeled trajectories of a person's corrections and their summary into a new folder, and print counts.

    ``runs``: folders, ``.json``, ``.jsonl`` and zips of records; cases of the page only with their consent. Pictures
    are named where they lie, but those of a zip are copied, as all are with ``copy_images``. `InputError` where there
    is nothing to learn, or ``out`` holds trajectories; then nothing is written.
    """
    if kind not in get_args(CorrectionKind):
        raise InputError(f"--as: got {kind[:40]!r}, expected {' or '.join(get_args(CorrectionKind))}; choose one")
    if next(out.glob("*.jsonl"), None) is not None:
        raise InputError(f"--out {printable_text(out)}: got a folder of trajectories, expected a new one; name another")
    words = ExpertConfig(style=parse_style(style), snap=snap)
    labeler = CorrectionLabeler(load_prompts(), cast(CorrectionKind, kind), words.style, words.snap)
    with tempfile.TemporaryDirectory(prefix="ibisagent-") as temporary:
        scratch, counts = Path(temporary), _Counts()
        writer = _Writer(labeler, out, scratch, readable_roots(roots), copy_images, counts)
        files = list(_find_files(runs, scratch, counts))
        if not files:
            got = f"got {_describe(counts.left_out_runs) or 'no file'}"
            raise InputError(f"{got}, expected records that may be read for training; name others")
        console = Console(stderr=True)
        with (scratch / _SHARD).open("w", encoding="utf-8") as shard:
            for _, line in map_records(files, writer.label, console, "reading"):
                shard.write(line)
        if not counts.kept:
            got = f"got no correction of a person in {counts.runs} runs ({_describe(counts.left_out_runs)})"
            raise InputError(f"{got}, expected one to learn as {kind}; name runs in which a person acted")
        make_folder(out)
        for picture in scratch.glob("*.png"):
            _move(picture, out / picture.name)
        _move(scratch / _SHARD, out / _SHARD)
        with atomic_write(out / _SUMMARY) as path:
            path.write_text(json.dumps({"as": kind} | counts.to_json(), indent=1), encoding="utf-8")
    _print_counts(Console(), kind, out, counts)


def _find_files(runs: Sequence[Path], scratch: Path, counts: _Counts) -> Iterator[Path]:
    """Yield the files that may be read, those of zips unpacked; what has no consent is counted and never opened."""
    places = [
        _unpack(run, scratch / f"zip-{number}") if zipfile.is_zipfile(run) else run for number, run in enumerate(runs)
    ]
    private: set[Path] = set()
    for file in list_record_files(places):
        folder = find_private_folder(file)
        if folder is not None:
            private.add(folder)
        elif file.name != CONSENT_FILE:
            yield file
    if private:
        counts.left_out_runs["without a consent"] = len(private)


def _unpack(archive: Path, folder: Path) -> Path:
    folder.mkdir()
    target = folder / archive.stem  # by its name a case of the page is known
    if not unpack_records(archive, target, Limits()):
        raise InputError(f"{printable_text(archive)}: got a zip without records, expected a run folder's; name another")
    return target


@dataclass(frozen=True, slots=True)
class _Writer:
    """Labels records one by one, into the lines of a shard in ``out``."""

    labeler: CorrectionLabeler
    out: Path
    scratch: Path
    roots: Sequence[Path]
    copy_images: bool
    counts: _Counts

    def label(self, place: RecordLocation, record: Trajectory) -> str:
        """Return a labeled record's line, "" for one from which nothing is learned."""
        counts = self.counts
        counts.runs += 1
        if record.request.strip() in _UNNAMED:
            counts.left_out_runs["without a request in words"] += 1
            return ""
        if not any(step.actor == "person" for step in record.steps):
            counts.left_out_runs["without an action of a person"] += 1
            return ""
        inside = place.path.relative_to(self.scratch).parts if self.scratch in place.path.parents else ()
        roots = [*self.roots, self.scratch.joinpath(*inside[:2])] if inside else self.roots
        try:
            image = find_recorded_image(record.image, place.path.parent, roots)
            opened = open_recorded_image(record.image, place.path.parent, roots)
        except InputError:
            counts.left_out_runs[_NO_PICTURE] += 1
            return ""
        run = self.labeler.label(record, image)
        counts.learned.update(run.learned)
        counts.left_out.update(run.left_out)
        if run.record is None:
            counts.left_out_runs["without an action to learn"] += 1
            return ""
        image = self._place_image(image, opened, copied=bool(inside) or self.copy_images)
        counts.kept += 1
        counts.accepted += accepted_mask(record) is not None
        return f"{json.dumps(replace(run.record, image=image).to_json(), separators=(',', ':'))}\n"

    def _place_image(self, image: dict[str, Any], opened: MedicalImage, *, copied: bool) -> dict[str, Any]:
        """Return the reference of a picture from ``out``; a copy is named by the hash of its pixels."""
        if not copied:
            return image | {"uri": Path(os.path.relpath(image["uri"], self.out)).as_posix()}
        name = f"{opened.sha}.png"
        if not (self.scratch / name).exists():
            Image.fromarray(opened.pixels).save(self.scratch / name)
        return image | {"uri": name, "slice": None, "window": None}


def _move(source: Path, target: Path) -> None:
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


def _describe(counter: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counter.most_common())


def _print_counts(console: Console, kind: str, out: Path, counts: _Counts) -> None:
    noun = "samples" if kind == "sft" else "pairs"
    print_line(
        console, f"runs: {counts.runs}, with corrections {counts.kept}, accepted by the person {counts.accepted}"
    )
    print_line(console, f"{noun}: {counts.learned.total()} ({_describe(counts.learned)})")
    if counts.left_out_runs:
        print_line(console, f"runs left out: {_describe(counts.left_out_runs)}")
    if counts.left_out:
        print_line(console, f"replies and actions left out: {_describe(counts.left_out)}")
    if counts.left_out_runs[_NO_PICTURE]:
        print_line(console, "name the folders of pictures that are not beside their records with --root")
    print_line(console, f"wrote {out}")
