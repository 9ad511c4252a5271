"""A data set through the loop: cases spread over processes, finished rows kept, a killed run taken up where it was.

The folder of a run holds ``rows.jsonl`` (rows as they came), ``settings.json`` (what they depend on),
``trajectories/<policy>/<segmenter>/<case>.json``, and in the end ``results.csv`` and ``summary.json``.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ibisagent.agent import Policy
from ibisagent.agent.config import preset as loop_settings
from ibisagent.agent.policies import PER_CASE
from ibisagent.agent.prompting import PromptSet
from ibisagent.evals.initial_conditions import STARTS
from ibisagent.evals.results import write_results
from ibisagent.evals.rows import COLUMNS, Key, Pair, Row, EvalRun, broken_row, is_failed, row_key
from ibisagent.evals.worker import evaluate_case
from ibisagent.evals.worker_state import WorkerState, EvalSettings, build_policy
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.jobs import jsonl
from ibisagent.tools.jobs.process_pool import map_unordered
from ibisagent.tools.jobs.run_settings import hash_json, record_settings, find_common_folder, to_relative_path
from ibisagent.tools.segmenters import get_segmenter

__all__ = ["OnRow", "run_eval"]

OnRow = Callable[[Row, int, int], None]
"""A new row, how many are finished, and of how many."""

_WORDLESS = ("centre", "oracle", "random")


def run_eval(
    cases: Sequence[Case],
    policies: Sequence[Policy | str],
    segmenters: Sequence[str],
    out: str | os.PathLike[str],
    *,
    max_steps: int = 20,
    start: str = "nothing",
    preset: str = "default",
    seed: int = 0,
    workers: int | None = None,
    prompts: PromptSet | None = None,
    local_only: bool = False,
    on_row: OnRow | None = None,
) -> None:
    """Run every policy with every segmenter on every case and write the folder ``out``.

    ``start``: what runs begin from, one of `ibisagent.evals.initial_conditions.STARTS`, drawn from (seed, case id). ``preset``:
    of the loop's settings (`ibisagent.agent.config.PRESETS`).
    Equal settings give equal rows but for `VOLATILE`, whatever ``workers`` (processes, by default one a core). What
    ``out`` has finished is not run again: with other settings than its own it is an `InputError`, further policies and
    segmenters join the earlier ones. A broken case, or one that kills its process, is a row with the reason.
    ``on_row`` is told of each new row. Policies that are no strings are pickled.
    The processes import the script that calls this, which therefore needs ``if __name__ == "__main__":``.
    """
    plan = EvalSettings(
        out=Path(os.path.abspath(out)),
        root=find_common_folder(cases),
        policies={each if isinstance(each, str) else each.name: each for each in policies},
        max_steps=loop_settings(preset, max_steps=max_steps).max_steps,
        seed=seed,
        prompts=prompts,
        local_only=local_only,
        start=start,
        preset=preset,
    )
    pairs = [(policy, name) for policy in plan.policies for name in dict.fromkeys(segmenters)]
    _require_work(plan, cases, pairs, workers)
    rows = plan.out / "rows.jsonl"
    known = record_settings(rows, cases, plan.root, **_told(plan, dict.fromkeys(segmenters)))
    for torn in plan.out.glob("trajectories/*/*/.*.json"):  # what a killed process was writing
        torn.unlink(missing_ok=True)
    jsonl.truncate_partial_line(rows)
    latest = {row_key(row): is_failed(row) for _, row in jsonl.scan_rows(rows, COLUMNS)}
    done = {key for key, again in latest.items() if not again}  # what failed gets another try
    total = len(cases) * len(pairs)
    count = sum((case.id, *pair) in done for case in cases for pair in pairs)
    with closing(map_unordered(partial(evaluate_case, WorkerState(plan)), _todo(plan, cases, pairs, done), workers, broken_row)) as batches:
        for batch in batches:
            jsonl.append_rows(rows, batch)
            for row in batch:
                count += 1
                if on_row is not None:
                    on_row(row, count, total)
    write_results(plan.out, rows, cases, list(known["policies"]), list(known["segmenters"]))


def _require_work(plan: EvalSettings, cases: Sequence[Case], pairs: Sequence[Pair], workers: int | None) -> None:
    """Find fault with whatever can be known before anything runs."""
    if workers is not None and workers < 1:
        raise InputError(f"got {workers} workers, expected 1 or more; leave them out for one a core")
    if not cases or not pairs:
        got = f"{len(cases)} cases and {len(pairs)} pairs of policy and segmenter"
        raise InputError(f"got {got}, expected one of each or more; name them")
    if len({case.id for case in cases}) < len(cases):
        raise InputError("got cases of equal ids, expected each id once; name them anew")
    if plan.start not in STARTS:
        raise InputError(f"got start {plan.start[:40]!r}, expected one of {', '.join(STARTS)}; choose one")
    if "person" in plan.policies:
        raise InputError("policy 'person': got one that asks, expected one that acts alone; use `ibisagent segment`")
    for name in plan.policies:
        if name not in PER_CASE:
            build_policy(plan, name)


def _told(plan: EvalSettings, segmenters: Iterable[str]) -> dict[str, Any]:
    """Give what the rows depend on: ``policies`` with the hash of the prompts given to each, None without."""
    prompts = hash_json(asdict(plan.prompts)) if plan.prompts is not None else None
    return {
        "max_steps": plan.max_steps,
        "start": plan.start,
        "preset": plan.preset,
        "seed": plan.seed,
        "policies": {name: None if name in _WORDLESS else prompts for name in plan.policies},
        "segmenters": {name: get_segmenter(name).fingerprint for name in segmenters},
    }


def _todo(plan: EvalSettings, cases: Sequence[Case], pairs: Sequence[Pair], done: AbstractSet[Key]) -> Iterator[list[EvalRun]]:
    """Give for each case what is still to be run on it."""
    pictures: dict[Any, list[Case]] = {}
    if plan.start == "wrong":
        for case in cases:
            pictures.setdefault(_picture(case), []).append(case)
    for case in cases:
        image = to_relative_path(plan.root, case.image)
        others = tuple(other for other in pictures.get(_picture(case), ()) if other.id != case.id)
        left = [EvalRun(case, image, *pair, others) for pair in pairs if (case.id, *pair) not in done]
        if left:
            yield left


def _picture(case: Case) -> tuple[Any, ...]:
    return case.image, case.slice, case.window
