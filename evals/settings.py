"""What the rows of an evaluation depend on, kept beside them so that none of other settings join them."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ibisagent.evals.desk import Plan
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic, label
from ibisagent.tools.segmenters import get_segmenter

__all__ = ["keep_settings"]

_WORDLESS = ("centre", "oracle", "random")


def keep_settings(plan: Plan, cases: Sequence[Case], segmenters: Iterable[str]) -> dict[str, Any]:
    """Write ``settings.json``, or add to it, and give it; `InputError` names what differs from it.

    ``data``: hash of the cases' rows; ``policies``: the hash of the prompts given to each, None without; and
    ``segmenters``: the fingerprint of each; both in the order in which they came.
    """
    prompts = _digest(asdict(plan.prompts)) if plan.prompts is not None else None
    now: dict[str, Any] = {
        "version": version("ibisagent"),
        "data": _digest([_plain(case, plan.root) for case in cases]),
        "max_steps": plan.max_steps,
        "seed": plan.seed,
        "policies": {name: None if name in _WORDLESS else prompts for name in plan.policies},
        "segmenters": {name: get_segmenter(name).fingerprint for name in segmenters},
    }
    before = _before(plan.out)
    differing = list(_differences(before, now)) if before is not None else []
    if differing:
        got = f"got {', '.join(differing)}"
        raise InputError(f"{label(plan.out)}: {got}; give the settings of its rows, or choose another --out")
    for names in ("policies", "segmenters"):
        now[names] = (before or now)[names] | now[names]
    with atomic(plan.out / "settings.json") as temporary:
        temporary.write_text(json.dumps(now, indent=1), encoding="utf-8")
    return now


def _before(out: Path) -> dict[str, Any] | None:
    """Read what is there; None in a new folder, which is made."""
    path = out / "settings.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not path.exists() and not (out / "rows.jsonl").exists():
            return None
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {"policies": dict(read["policies"]), "segmenters": dict(read["segmenters"]), **read}
    except (OSError, ValueError, TypeError, KeyError) as error:
        got = f"got a folder whose settings.json cannot be read ({type(error).__name__})"
        raise InputError(f"{label(out)}: {got}, expected an evaluation's or a new one; choose another --out") from error


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
    """Give a case's row with paths from ``root``: a data set that was moved is the same one."""
    paths = {name: getattr(case, name) for name in ("image", "mask")}
    return asdict(case) | {name: os.path.relpath(path, root) if path else None for name, path in paths.items()}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
