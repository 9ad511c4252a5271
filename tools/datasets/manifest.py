"""The native kind: ``manifest.csv`` beside ``images/`` and ``masks/``, one row per picture and target."""

import csv
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ibisagent.tools.datasets.case import Case, resolve_in_folder
from ibisagent.tools.datasets.names import is_safe_id, list_files, strip_extension
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, printable_text, require_file
from ibisagent.tools.masks.label_values import Label

__all__ = ["COLUMNS", "LAYOUT", "is_match", "read", "write_manifest"]

LAYOUT = "manifest.csv"
COLUMNS = (
    *("id", "image", "mask", "label", "target", "request"),
    *("modality", "source", "split", "slice", "window", "present"),
)
_ALIASES = {"target_name": "target"}
_PRESENT = {"": True, "1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_WHOLE = re.compile(r"(\d{1,18})(?:\.0*)?")  # spreadsheets turn a column with gaps into 1.0, 2.0
_TOO_LONG = "too long"


def is_match(folder: Path) -> bool:
    """Whether a folder is of this kind."""
    return (folder / LAYOUT).is_file()


def read(folder: Path, *, listed: bool = True) -> Iterator[Case]:
    """Yield a case for every row. Only ``id`` and ``target`` are needed; other columns are ignored.

    An empty ``image`` or ``mask`` is looked for in ``images/`` and ``masks/`` by the id, where these are ``listed``. A
    row that is wrong in itself is a case with a fault; missing columns, and ids that are repeated or no file names, are
    an `InputError`.
    """
    found = {
        kind: {strip_extension(name): name for name in reversed(list_files(folder / kind) if listed else [])}
        for kind in ("images", "masks")
    }
    lines: dict[str, int] = {}
    for line, cells in _rows(folder / LAYOUT):
        id = cells["id"]
        if id in lines or not is_safe_id(id):
            again = f" again, after line {lines[id]}" if id in lines else ""
            remedy = "expected a unique one that can be a file's name; change it"
            raise InputError(
                f"{printable_text(folder / LAYOUT)} line {line}: got id {printable_text(id)!r}{again}, {remedy}"
            )
        lines[id] = line
        yield _case(folder, cells, found)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row that holds something with its line number, by column name."""
    require_file(path)
    line = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            names = [name.strip().lower() for name in next(rows, [])]
            places = _find_columns(names, printable_text(path))
            for row in rows:
                line = rows.line_num
                if any(row):
                    cells = {name: row[index].strip() if index < len(row) else "" for name, index in places.items()}
                    yield line, cells | ({_TOO_LONG: str(len(row))} if len(row) > len(names) else {})
    except UnicodeDecodeError:
        raise InputError(f"{printable_text(path)}: got text that is not UTF-8, expected UTF-8; save it so") from None
    except csv.Error as error:
        got = f"got no valid CSV after line {line} ({printable_text(error)})"
        raise InputError(f"{printable_text(path)}: {got}, expected commas and paired quotes; fix it") from None


def _find_columns(names: list[str], manifest: str) -> dict[str, int]:
    """Find the columns; every one that is missing reads as empty."""
    known = [name if name in COLUMNS else _ALIASES.get(name, "") for name in names]
    twice = sorted({name for name in known if name and known.count(name) > 1})
    missing = [name for name in ("id", "target") if name not in known]
    if missing or twice:
        got = f"no column {' and '.join(missing)}" if missing else f"column {' and '.join(twice)} twice"
        expected = f"expected commas between {','.join(COLUMNS)}"
        raise InputError(f"{manifest} line 1: got {got}, {expected}; name the columns in its first line")
    return {column: known.index(column) if column in known else len(names) for column in COLUMNS}


def _case(folder: Path, cells: dict[str, str], found: dict[str, dict[str, str]]) -> Case:
    id, faults = cells["id"], []
    if _TOO_LONG in cells:
        faults.append(f"got a row of {cells[_TOO_LONG]} cells, expected no more than columns; put quotes around commas")
    paths: dict[str, Path | None] = {}
    for column, kind in (("image", "images"), ("mask", "masks")):
        name = cells[column] or (f"{kind}/{found[kind][id]}" if id in found[kind] else "")
        paths[column], fault = resolve_in_folder(folder, name) if name else (None, None)
        faults += [fault] if fault else []
    if paths["image"] is None:
        faults.append("got no image, expected its path or a file of this id in images/; name it")
    values, fault = _parse_label(cells["label"])
    faults += [fault] if fault else []
    present = _PRESENT.get(cells["present"].lower().removesuffix(".0"))
    if present is None:
        faults.append(f"got present={printable_text(cells['present'])!r}, expected 1 or 0; correct it")
    return Case(
        id=id,
        image=paths["image"] or folder / "images" / id,
        mask=paths["mask"],
        label=values,
        target=cells["target"] or "target",
        request=cells["request"],
        modality=cells["modality"],
        source=cells["source"],
        split=cells["split"],
        slice=cells["slice"] or None,
        window=cells["window"] or None,
        present=present is not False,
        fault=faults[0] if faults else None,
    )


def _parse_label(text: str) -> tuple[Label | None, str | None]:
    """Read ``3``, or ``1+2+3`` for a target that is several labels together."""
    if not text:
        return None, None
    wholes = [_WHOLE.fullmatch(part.strip()) for part in text.split("+")]
    values = tuple(int(whole[1]) for whole in wholes if whole)
    if len(values) < len(wholes):
        return None, f"got label {printable_text(text)!r}, expected a whole number, or several joined by +; correct it"
    return values[0] if len(values) == 1 else values, None


def write_manifest(folder: str | os.PathLike[str], cases: Iterable[Case]) -> Path:
    """Write ``manifest.csv`` for cases of any kind, whole or not at all, and return its path.

    Paths inside ``folder`` become relative to it, others absolute. A faulty case, a repeated id or one that is no
    file name is an `InputError`.
    """
    path, rows = Path(folder) / LAYOUT, list(cases)
    ids = [case.id for case in rows]
    for case in rows:
        if case.fault is not None or not is_safe_id(case.id):
            fault = case.fault or "got an id that cannot be a file's name"
            raise InputError(f"{printable_text(case.id)}: {fault}; fix it or leave this case out")
    if len(set(ids)) < len(ids):
        raise InputError(f"{printable_text(path)}: got an id twice, expected each once; name the cases anew")
    try:
        with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)  # its line ends, CR and LF, make it quote a lone CR too
            writer.writerow(COLUMNS)
            writer.writerows(_cells(Path(os.path.abspath(folder)), case) for case in rows)
    except UnicodeEncodeError:
        raise InputError(
            f"{printable_text(path)}: got a name that is not Unicode, expected UTF-8; rename the file"
        ) from None
    return path


def _cells(folder: Path, case: Case) -> list[Any]:
    values: Any = case.label
    marked = "+".join(str(value) for value in values) if isinstance(values, tuple) else values
    image, mask = _manifest_path(folder, case.image), _manifest_path(folder, case.mask) if case.mask else None
    said = case.modality, case.source, case.split, case.slice, case.window
    return [case.id, image, mask, marked, case.target, case.request, *said, int(case.present)]


def _manifest_path(folder: Path, path: Path) -> str:
    absolute = Path(os.path.abspath(path))
    return (absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute).as_posix()
