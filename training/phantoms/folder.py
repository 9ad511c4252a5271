"""Phantoms as a data-set folder: pictures, label maps, and rows with the requests for each picture."""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.datasets import Case, write_manifest
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.png import encode_png
from ibisagent.tools.jobs import jsonl
from ibisagent.tools.jobs.job_output import JobOutput
from ibisagent.tools.jobs.job_runner import Engine, OnRow, RowFile, run_jobs
from ibisagent.tools.jobs.process_pool import map_unordered
from ibisagent.training.phantoms import Phantom
from ibisagent.training.phantoms.request_rows import build_request_rows, choose_row
from ibisagent.training.phantoms.spec import REQUEST_KINDS, PhantomDatasetSpec

__all__ = ["REQUEST_KINDS", "PhantomDatasetSpec", "write_phantoms"]

_ROW = ("index", "cases")
_PARTS = ("images", "masks")


def write_phantoms(
    spec: PhantomDatasetSpec,
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    on_row: OnRow | None = None,
    engine: Engine = map_unordered,
) -> Path:
    """Draw phantoms into the folder ``out`` and return its manifest, the last file that is written.

    ``images/`` and ``masks/`` hold a PNG each per picture, the mask a label map in which a target is one label or
    several (`Case.label`). Equal specs give equal files, whatever ``workers`` (processes, by default one a core); a
    stopped call is resumed, a finished folder is left alone, one of another spec is an `InputError`.
    ``on_row`` is called after each picture; ``engine``: see `run_jobs`. The processes import the calling script, which
    therefore needs ``if __name__ == "__main__":``.
    """
    folder = Path(os.path.abspath(out))
    manifest, rows = folder / "manifest.csv", folder / ".rows.jsonl"
    if manifest.exists() and not (folder / "settings.json").exists():
        raise InputError(
            f"{printable_text(folder)}: got another data set, expected phantoms or nothing; choose another --out"
        )
    finished = manifest.exists()
    run_jobs(
        {} if finished else {index: index for index in range(spec.count)},
        partial(_draw_pictures, spec),
        RowFile(rows, _ROW, itemgetter("index")),
        spec.to_json(),
        on_crash=_raise_killed,
        workers=workers,
        on_row=on_row,
        engine=engine,
    )
    if not finished:
        write_manifest(folder, _read_cases(spec, folder, rows))
    rows.unlink(missing_ok=True)
    return manifest


def _raise_killed(index: int, reason: str) -> JobOutput:
    raise InputError(f"phantom {index}: {reason}; free memory and run the same command again")


def _draw_pictures(spec: PhantomDatasetSpec, indices: Sequence[int]) -> list[JobOutput]:
    return [_draw_picture(spec, index) for index in indices]


def _draw_picture(spec: PhantomDatasetSpec, index: int) -> JobOutput:
    phantom, rng = spec.draw_phantom(index)
    name, (labels, values) = spec.file_name(index), _build_label_map(phantom.masks)
    pictures = zip(_PARTS, (phantom.image, labels), strict=True)
    files = {f"{part}/{name}.png": encode_png(pixels) for part, pixels in pictures}
    return JobOutput({"index": index, "cases": list(_list_rows(spec, phantom, name, values, rng))}, files)


def _list_rows(
    spec: PhantomDatasetSpec, phantom: Phantom, name: str, values: Mapping[str, list[int]], rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    rows = [row for row in build_request_rows(phantom, rng) if row["kind"] in spec.request_kinds]
    if spec.single_row and rows:
        rows = [choose_row(rows, phantom)]
    for number, row in enumerate(rows):
        yield row | {
            "id": f"{name}-{number}-{row['target'].replace(' ', '-')}",
            "name": name,
            "label": values[row["target"]] if row["present"] else None,
            "modality": phantom.modality,
        }


def _build_label_map(masks: Mapping[str, Mask]) -> tuple[NDArray[np.uint8], dict[str, list[int]]]:
    """Return a label map, (H, W) uint8, with a label for each combination of masks, and the labels of each target."""
    stack = np.stack(list(masks.values())) if masks else np.zeros((0, 1, 1), np.bool_)
    code = np.zeros(stack.shape[1:], np.int64)
    for bit, mask in enumerate(stack):
        code |= mask.astype(np.int64) << bit
    found = [int(value) for value in np.unique(code) if value]
    labels = np.zeros(code.shape, np.uint8)
    for number, value in enumerate(found, 1):
        labels[code == value] = number
    members = {
        name: [number for number, value in enumerate(found, 1) if value >> bit & 1] for bit, name in enumerate(masks)
    }
    return labels, members


def _read_cases(spec: PhantomDatasetSpec, folder: Path, rows: Path) -> list[Case]:
    found = {row["index"]: row["cases"] for _, row in jsonl.scan_rows(rows, _ROW)}
    cases = [_build_case(folder, row) for row in itertools.chain.from_iterable(found[index] for index in sorted(found))]
    if not cases:
        got = f"got nothing to ask among {' and '.join(spec.request_kinds)} in {spec.count} pictures"
        raise InputError(f"{got}, expected a row or more; draw more of them, or ask for more in another --out")
    return cases


def _build_case(folder: Path, row: dict[str, Any]) -> Case:
    values = row["label"]
    marked = None if not values else values[0] if len(values) == 1 else tuple(values)
    image, mask = (folder / part / f"{row['name']}.png" for part in _PARTS)
    return Case(
        id=row["id"],
        image=image,
        mask=mask if row["present"] else None,
        label=marked,
        target=row["target"],
        request=row["request"],
        modality=row["modality"],
        source=f"phantom {row['kind']}",
        present=row["present"],
    )
