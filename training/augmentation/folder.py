"""A data set as an augmented data-set folder: pictures in several variations, masks, rows for present and absent."""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from operator import itemgetter
from pathlib import Path

from ibisagent.tools.datasets import Case, write_manifest
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, printable_text
from ibisagent.tools.jobs import jsonl
from ibisagent.tools.jobs.job_runner import OnRow, Row, RowFile, run_jobs
from ibisagent.tools.jobs.run_settings import find_common_folder, hash_cases, hash_json
from ibisagent.training.augmentation.absent_targets import plan_absent_targets
from ibisagent.training.augmentation.picture_variants import (
    ROW_COLUMNS,
    AugmentationJob,
    AugmentationSettings,
    augment_pictures,
    leave_out,
)
from ibisagent.training.augmentation.regions import RegionsTable, build_regions, read_regions_table
from ibisagent.training.augmentation.variation import LOOKS, MOVES

__all__ = ["LEFT_OUT", "write_augmented"]

LEFT_OUT = "left-out.csv"
"""The cases that could not be used, and why."""

_LONGEST_ID = 120  # bytes; new ids and file names add to it


def write_augmented(
    cases: Sequence[Case],
    out: str | os.PathLike[str],
    settings: AugmentationSettings | None = None,
    *,
    regions: RegionsTable | None = None,
    workers: int | None = None,
    on_row: OnRow | None = None,
) -> Path:
    """Write variants of the pictures of cases into the folder ``out``, and return its manifest, the last file written.

    ``images/`` and ``masks/`` hold PNG files, ids are the cases' with ``_v0``, ``_v1`` and so on; targets of one
    picture share its variants. ``regions``: of `read_regions_table`, by default what ships. Equal arguments give equal
    files, whatever ``workers`` (processes, by default one a core); a stopped call is resumed, a finished folder is left
    alone, one of other settings is an `InputError`. A broken case is named in ``left-out.csv``. ``on_row`` is called
    after each picture. The processes import the calling script, which needs ``if __name__ == "__main__":``.
    """
    folder, settings = Path(os.path.abspath(out)), settings or AugmentationSettings()
    table = read_regions_table() if regions is None else regions
    manifest, rows = folder / "manifest.csv", folder / ".rows.jsonl"
    if manifest.exists() and not (folder / "settings.json").exists():
        got = "got another data set, expected an augmented one or nothing"
        raise InputError(f"{printable_text(folder)}: {got}; choose another --out")
    finished = manifest.exists()
    faults = {case.id: fault for case in cases if (fault := _find_fault(case)) is not None}
    jobs = _list_jobs([case for case in cases if case.id not in faults], settings, table)
    run_jobs(
        {} if finished else jobs,
        partial(augment_pictures, settings),
        RowFile(rows, ROW_COLUMNS, itemgetter("picture"), lambda row: bool(row["left_out"])),
        {
            "data": hash_cases(cases, find_common_folder(cases)),
            **asdict(settings),
            "regions": hash_json(table),
            "changes": hash_json([{name: asdict(each) for name, each in some.items()} for some in (MOVES, LOOKS)]),
        },
        on_crash=leave_out,
        workers=workers,
        on_row=on_row,
    )
    if not finished:
        _write_end(folder, {row["picture"]: row for _, row in jsonl.scan_rows(rows, ROW_COLUMNS)}, jobs, faults)
    rows.unlink(missing_ok=True)
    return manifest


def _find_fault(case: Case) -> str | None:
    length = len(case.id.encode("utf-8", "surrogatepass"))
    long = f"got an id of {length} bytes, expected at most {_LONGEST_ID}; shorten it"
    return case.fault or (long if length > _LONGEST_ID else None)


def _list_jobs(
    cases: Sequence[Case], settings: AugmentationSettings, table: RegionsTable
) -> dict[str, AugmentationJob]:
    """Return a job for each picture, named after the first of its cases."""
    together: dict[object, list[Case]] = {}
    for case in sorted(cases, key=lambda case: case.id):
        together.setdefault(case.image_key, []).append(case)
    pictures, regions = {some[0].id: tuple(some) for some in together.values()}, build_regions(table)
    absent = plan_absent_targets(
        pictures, regions, variants=settings.variants, share=settings.absent, seed=settings.seed
    )
    return {
        name: AugmentationJob(name, some, absent[name], regions.may_flip(some[0].modality, regions.find_shown(some)))
        for name, some in pictures.items()
    }


def _write_end(
    folder: Path, found: Mapping[str, Row], jobs: Mapping[str, AugmentationJob], faults: Mapping[str, str]
) -> None:
    left_out = dict(faults)
    for name in jobs:
        left_out |= found[name]["left_out"]
    with atomic_write(folder / LEFT_OUT) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "reason"), *sorted(left_out.items())])
    made = [_build_case(folder, row) for name in jobs for row in found[name]["cases"]]
    if not made:
        got = f"got {len(left_out)} cases of which none can be used"
        raise InputError(f"{printable_text(folder / LEFT_OUT)}: {got}, expected one or more; see the reasons there")
    write_manifest(folder, made)


def _build_case(folder: Path, row: Row) -> Case:
    paths = {name: None if row[name] is None else folder / row[name] for name in ("image", "mask")}
    return Case(label=None, **row | paths)
