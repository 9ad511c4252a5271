"""The settings that rows depend on, kept beside them so that rows of other settings are not mixed in."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, describe_os_error, printable_text

__all__ = ["case_seed", "find_common_folder", "hash_cases", "hash_json", "record_settings", "to_relative_path"]


def record_settings(rows: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``settings.json`` beside the file ``rows``, or add to it, and return it; `InputError` names what differs.

    ``settings``: JSON values; of a dict, such as the segmenters' fingerprints, earlier and new keys are merged.
    """
    out, now = rows.parent, {"version": version("ibisagent"), **settings}
    growing = [name for name, value in settings.items() if isinstance(value, dict)]
    before = _read_previous(rows, growing) or now
    differing = list(_list_differences(before, now))
    if differing:
        got = f"got {', '.join(differing)}"
        raise InputError(f"{printable_text(out)}: {got}; give the settings of its rows, or choose another --out")
    now |= {name: before[name] | now[name] for name in growing}
    with atomic_write(out / "settings.json") as temporary:
        temporary.write_text(json.dumps(now, indent=1), encoding="utf-8")
    return now


def hash_cases(cases: Sequence[Case], root: Path) -> str:
    """Hash the cases' rows with paths from ``root``, so that a data set that was moved is the same one."""
    return hash_json([_case_row(case, root) for case in cases])


def hash_json(value: Any) -> str:
    """Hash a JSON value, 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def case_seed(seed: int, name: str) -> int:
    """Return a 64-bit seed for a case, or for whatever else has a unique name."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8], "big")


def find_common_folder(cases: Sequence[Case]) -> Path:
    """Return the folder that holds every picture and mask."""
    files = [path for case in cases for path in (case.image, case.mask) if path is not None]
    return Path(os.path.commonpath({os.path.dirname(os.path.abspath(path)) for path in files} or {os.getcwd()}))


def to_relative_path(root: Path, path: Path) -> str:
    """Return a file's path relative to a folder, with forward slashes."""
    return Path(os.path.relpath(path, root)).as_posix()


def _read_previous(rows: Path, growing: Sequence[str]) -> dict[str, Any] | None:
    """Read the earlier settings; None in a new folder, which is made."""
    out, path = rows.parent, rows.with_name("settings.json")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{printable_text(out)}: cannot be made ({describe_os_error(error)}); choose another --out"
        ) from error
    try:
        if not path.exists() and not rows.exists():
            return None
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return read | {name: dict(read[name]) for name in growing}
    except (OSError, ValueError, TypeError, KeyError) as error:
        got = f"got a folder whose settings.json cannot be read ({type(error).__name__})"
        remedy = "expected an earlier run's or a new one; choose another --out"
        raise InputError(f"{printable_text(out)}: {got}, {remedy}") from error


def _list_differences(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for name, value in now.items():
        if not isinstance(value, dict):
            if before.get(name) != value:
                yield f"{name} {value!r} after {before.get(name)!r}"
            continue
        for key in value.keys() & before[name].keys():
            if before[name][key] != value[key]:
                yield f"{name} {key} {value[key]!r} after {before[name][key]!r}"


def _case_row(case: Case, root: Path) -> dict[str, Any]:
    paths = {name: getattr(case, name) for name in ("image", "mask")}
    row = asdict(case) | {name: to_relative_path(root, path) if path else None for name, path in paths.items()}
    del row["remote"]  # a data set that was downloaded is the same one
    return row
