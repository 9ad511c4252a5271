"""What rows depend on, kept beside them so that none of other settings join them."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic, label

__all__ = ["case_seed", "digest", "keep_settings", "root_of", "within"]


def keep_settings(rows: Path, cases: Sequence[Case], root: Path, **told: Any) -> dict[str, Any]:
    """Write ``settings.json`` beside the file ``rows``, or add to it, and give it; `InputError` names what differs.

    ``data``: hash of the cases' rows with paths from ``root``, as a data set that was moved is the same one;
    ``told``: anything JSON-plain; of a dict, such as the segmenters' fingerprints, earlier and new keys stand together.
    """
    out, plain = rows.parent, [_plain(case, root) for case in cases]
    now: dict[str, Any] = {"version": version("ibisagent"), "data": digest(plain), **told}
    growing = [name for name, value in told.items() if isinstance(value, dict)]
    before = _before(rows, growing) or now
    differing = list(_differences(before, now))
    if differing:
        got = f"got {', '.join(differing)}"
        raise InputError(f"{label(out)}: {got}; give the settings of its rows, or choose another --out")
    now |= {name: before[name] | now[name] for name in growing}
    with atomic(out / "settings.json") as temporary:
        temporary.write_text(json.dumps(now, indent=1), encoding="utf-8")
    return now


def digest(value: Any) -> str:
    """Hash what is JSON-plain."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def case_seed(seed: int, name: str) -> int:
    """Give a case, or whatever else has a name of its own, its own seed of 64 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8], "big")


def root_of(cases: Sequence[Case]) -> Path:
    """Give the folder that holds every picture and mask."""
    files = [path for case in cases for path in (case.image, case.mask) if path is not None]
    return Path(os.path.commonpath({os.path.dirname(os.path.abspath(path)) for path in files} or {os.getcwd()}))


def within(root: Path, path: Path) -> str:
    """Name a file by its path from a folder."""
    return Path(os.path.relpath(path, root)).as_posix()


def _before(rows: Path, growing: Sequence[str]) -> dict[str, Any] | None:
    """Read what is there; None in a new folder, which is made."""
    out, path = rows.parent, rows.with_name("settings.json")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not path.exists() and not rows.exists():
            return None
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return read | {name: dict(read[name]) for name in growing}
    except (OSError, ValueError, TypeError, KeyError) as error:
        got = f"got a folder whose settings.json cannot be read ({type(error).__name__})"
        remedy = "expected an earlier run's or a new one; choose another --out"
        raise InputError(f"{label(out)}: {got}, {remedy}") from error


def _differences(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for name, value in now.items():
        if not isinstance(value, dict):
            if before.get(name) != value:
                yield f"{name} {value!r} after {before.get(name)!r}"
            continue
        for key in value.keys() & before[name].keys():
            if before[name][key] != value[key]:
                yield f"{name} {key} {value[key]!r} after {before[name][key]!r}"


def _plain(case: Case, root: Path) -> dict[str, Any]:
    paths = {name: getattr(case, name) for name in ("image", "mask")}
    return asdict(case) | {name: within(root, path) if path else None for name, path in paths.items()}
