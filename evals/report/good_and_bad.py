"""A picture of an evaluation: for each modality a case that is better than most, beside one that is worse."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ibisagent.agent.trajectory_files import read_trajectories
from ibisagent.evals.contact_sheets.case_pairs import PairedRun, draw_case_pairs
from ibisagent.evals.report.read_results import EvalResults, ResultRow, read_results
from ibisagent.tools.errors import InputError, describe_error
from ibisagent.tools.files import atomic_write, printable_text

__all__ = ["choose_good_and_bad", "draw_good_and_bad", "main"]

_GOOD, _BAD = 0.75, 0.1  # of the cases of a modality are worse
_WIDTH = 1000  # pixels, of the written picture
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


def choose_good_and_bad(results: EvalResults) -> dict[str, tuple[int, ResultRow, ResultRow]]:
    """Return for each modality the number of cases, and those at the third quartile and at the first decile of IoU.

    Cases with an IoU and a record count, of the first policy and segmenter. `InputError` where there is none.
    """
    kinds: dict[str, list[ResultRow]] = {}
    for row in results.done_rows(results.policies[0], results.segmenters[0]):
        if not math.isnan(row.iou) and row.trajectory:
            kinds.setdefault(row.modality or "all", []).append(row)
    if not kinds:
        got = f"{printable_text(results.folder)}: got no case with an IoU and a record"
        raise InputError(f"{got}, expected some; evaluate cases with true masks, and keep the records")
    chosen = {}
    for kind in sorted(kinds):
        rows = sorted(kinds[kind], key=lambda row: (row.iou, row.id))
        good, bad = (rows[int(share * (len(rows) - 1))] for share in (_GOOD, _BAD))
        chosen[kind] = len(rows), good, bad
    return chosen


def draw_good_and_bad(results: EvalResults, roots: Sequence[Path] = ()) -> Image.Image:
    """Draw the cases of `choose_good_and_bad` as one RGB picture, a row each; ``roots``: folders of their pictures."""
    pairs = [
        (f"{kind.replace('_', ' ')}, {count} cases", _read(results.folder, good), _read(results.folder, bad))
        for kind, (count, good, bad) in choose_good_and_bad(results).items()
    ]
    said = "Left: a quarter of the cases is better. Right: a tenth is worse."
    title = "One good and one bad case of each modality"
    return draw_case_pairs(title, f"{results.policies[0]}, {results.segmenters[0]}. {said}", pairs, roots)


def _read(evaluation: Path, row: ResultRow) -> PairedRun:
    path = evaluation / row.trajectory
    return PairedRun(f"IoU {row.iou:.2f}, {row.stop.replace('_', ' ')}", next(read_trajectories(path)), path.parent)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the picture, reduced; return 0, or 1 for what a user has to correct."""
    parser = argparse.ArgumentParser(prog="python -m ibisagent.evals.report.good_and_bad", description=__doc__)
    parser.add_argument("evaluation", type=Path, help="folder of `ibisagent eval`")
    parser.add_argument("picture", type=Path, help="file to write, such as cases.jpg")
    parser.add_argument("roots", nargs="*", type=Path, help="folders of the cases' pictures")
    options = parser.parse_args(arguments)
    if options.picture.suffix.lower() not in _ENDINGS:
        parser.error(
            f"picture: got {printable_text(options.picture)}, expected a name that ends with {', '.join(_ENDINGS)}"
        )
    try:
        sheet = draw_good_and_bad(read_results(options.evaluation), options.roots)
        small = sheet.resize((_WIDTH, sheet.height * _WIDTH // sheet.width), Image.Resampling.LANCZOS)
        with atomic_write(options.picture) as temporary:
            small.save(temporary, quality=80)
    except (InputError, OSError) as error:
        sys.stderr.write(f"{describe_error(error)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
