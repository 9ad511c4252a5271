"""`ibisagent starts mine`: states of recorded runs at which episodes of a training begin."""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from ibisagent.agent.record_images import find_recorded_image
from ibisagent.agent.recorded_threads import UNKNOWN
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import make_folder, printable_text
from ibisagent.tools.imaging.decoding import decode_guard
from ibisagent.tools.masks.rle import Rle
from ibisagent.training.corrections.person_actions import accepted_mask
from ibisagent.training.starts import MiningRules, Start, mine_starts, write_starts
from ibisagent.ui.cli.trajectory_files import print_line, readable_roots
from ibisagent.ui.run_sources import SourcedRun, iter_runs

__all__ = ["run_mine"]

_NO_TRUTH = "without a truth"
_NO_PICTURE = "whose picture is not found"
_NOTHING = "with no such state"


def run_mine(
    places: Sequence[str], out: Path, rules: MiningRules, *, store: Path | None = None, roots: Sequence[Path] = ()
) -> None:
    """Write the starts of recorded runs to a ``.jsonl``, and print how many of each there are, and what was left out.

    `InputError` where there is none, and for a file that is there already; then nothing is written.
    """
    if out.suffix != ".jsonl":
        raise InputError(
            f"--out {printable_text(out)}: got another ending than .jsonl; name a file such as starts.jsonl"
        )
    if out.exists():
        raise InputError(f"--out {printable_text(out)}: got a file that is there, expected a new one; name another")
    found: dict[str, Start] = {}
    left, runs, known, console = Counter[str](), 0, readable_roots(roots), Console(stderr=True)
    make_folder(out.parent)
    with ExitStack() as stack:
        reading = iter_runs(places, stack, store)
        for run in track(reading, "reading", console=console, disable=not console.is_terminal):
            runs += 1
            try:
                starts = [_localize(start, run, out, known) for start in _mine(run, rules)]
            except InputError as error:
                left[str(error)] += 1
                continue
            left.update([_NOTHING] if not starts else [])
            found |= {_identity(start): start for start in starts}
        listed = ", ".join(f"{count} {reason}" for reason, count in sorted(left.items())) or "none"
        if not found:
            raise InputError(
                f"got no start in {runs} runs (left out: {listed}), expected some; name other runs or reasons"
            )
        write_starts(out, list(found.values()))
    counts = Counter(start.why for start in found.values())
    each = ", ".join(f"{counts[why]} {why}" for why in rules.where)
    print_line(Console(), f"{runs} runs: {len(found)} starts ({each}); left out: {listed}")
    used = {start.record.segmenter_name for start in found.values()}
    option = "" if len(used) > 1 or UNKNOWN in used else f" --set \"rollouts.segmenter='{min(used)}'\""
    print_line(Console(), f"wrote {out}; train on them: train grpo --starts {out}{option}")


def _mine(run: SourcedRun, rules: MiningRules) -> list[Start]:
    """Return the starts of a run; `InputError` is the reason why it is left out."""
    if run.record is None:
        raise InputError(run.left_out or "")
    truth = _find_truth(run)
    if truth is None:
        raise InputError(_NO_TRUTH)
    with decode_guard("record", "a sound trajectory", "record it anew"):
        return mine_starts(run.record, truth, run.source, rules)


def _find_truth(run: SourcedRun) -> Rle | None:
    """Return the known true mask, else the one that a person accepted."""
    assert run.record is not None
    return run.record.truth or accepted_mask(run.record)


def _localize(start: Start, run: SourcedRun, out: Path, roots: Sequence[Path]) -> Start:
    """Return a start with its picture's path as from the file ``out``; a picture out of a zip is written beside it."""
    try:
        image = find_recorded_image(start.record.image, run.folder, roots)
    except InputError:
        raise InputError(_NO_PICTURE) from None
    path = Path(image["uri"])
    if run.unpacked and run.folder.resolve() in path.resolve().parents:
        path = out.parent / path.name
        if not path.exists():
            shutil.copyfile(image["uri"], path)
    place = Path(os.path.relpath(path, out.parent)).as_posix()
    return replace(start, record=replace(start.record, image=image | {"uri": place}))


def _identity(start: Start) -> str:
    """Return what is equal of equal states: branches of a thread share their first steps, runs their first picture."""
    record = start.record
    steps: Iterator[Any] = ([step.action, step.outcome, step.mask, step.origin] for step in record.steps)
    state = [start.image_sha, record.request, record.segmenter, record.start, *steps]
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
