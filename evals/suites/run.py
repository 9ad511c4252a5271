"""Run a suite: an evaluation for the clean cases, and one for each condition, in a folder of its own."""

import json
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ibisagent.agent import Policy
from ibisagent.evals.runner import run_eval
from ibisagent.evals.suites.results import ConditionRun, SuiteResults, read_condition, summarize_suite
from ibisagent.evals.suites.suite import CLEAN, Condition, Suite, SuiteInput
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.jobs.job_runner import OnRow, Row
from ibisagent.tools.jobs.run_settings import case_seed
from ibisagent.tools.segmenters.registry import find_segmenter

__all__ = ["run_suite"]


def run_suite(
    suite: Suite,
    cases: Sequence[Case],
    policy: Policy | str,
    segmenters: Sequence[str],
    out: str | os.PathLike[str],
    *,
    seeds: Sequence[int] = (0,),
    kinds: Sequence[str] = (),
    severities: Sequence[int] = (),
    on_row: OnRow | None = None,
    **settings: Any,
) -> SuiteResults:
    """Run a policy under the suite's conditions and return how it does there.

    ``out``/clean holds the evaluation of the cases as they are, which all suites of a folder share; ``out``/SUITE/NAME
    that of each condition. ``kinds``, ``severities``: only these, by default all. ``settings``: those of `run_eval`
    that all of them share, such as ``max_steps``. The same call resumes one that was killed; `InputError` as `run_eval`
    raises it.
    ``on_row`` is called with each new row, the number of finished rows, and the total.
    """
    folder = Path(os.path.abspath(out))
    given = SuiteInput(cases, tuple(dict.fromkeys(segmenters)), tuple(dict.fromkeys(seeds)))
    _require_counts(suite, given)
    conditions = _choose(suite, given, kinds, severities)
    changed = {condition: _change_cases(condition, cases, given.seeds[0]) for condition in (CLEAN, *conditions)}
    runnable = [condition for condition in conditions if changed[condition]]
    done, total = 0, sum(map(len, changed.values()))
    runs = []
    for condition in (CLEAN, *runnable):
        place = folder / CLEAN.name if condition is CLEAN else folder / suite.name / condition.name
        told = None if on_row is None else partial(_tell, on_row, done, total)
        runs.append(_run(condition, changed[condition], policy, given, place, on_row=told, **settings))
        done += len(changed[condition])
    skipped = [condition.name for condition in conditions if not changed[condition]]
    return summarize_suite(suite, runs[0], runs[1:], skipped)


def _tell(on_row: OnRow, before: int, total: int, row: Row, done: int, _of: int) -> None:
    on_row(row, before + done, total)


def _run(
    condition: Condition, cases: Sequence[Case], policy: Policy | str, given: SuiteInput, place: Path, **settings: Any
) -> ConditionRun:
    segmenter = condition.segmenter or given.segmenters[0]
    run_eval(
        cases,
        [policy],
        [segmenter],
        place,
        seed=given.seeds[0] if condition.seed is None else condition.seed,
        start=condition.start,
        shift=condition.shift,
        jitter=condition.jitter,
        **settings,
    )
    known = json.loads((place / "settings.json").read_text(encoding="utf-8"))["segmenters"]
    name = policy if isinstance(policy, str) else policy.name
    return read_condition(condition, place, name, segmenter, known[segmenter])


def _change_cases(condition: Condition, cases: Sequence[Case], seed: int) -> list[Case]:
    """Return the cases with their requests changed, without those that the change cannot be made for."""
    if condition.request is None:
        return list(cases)

    def changed() -> Iterator[Case | None]:
        for case in cases:
            rng = np.random.default_rng(case_seed(seed, f"{condition.kind} of {case.id}"))
            yield condition.request(case, rng) if condition.request is not None else case

    return [case for case in changed() if case is not None]


def _require_counts(suite: Suite, given: SuiteInput) -> None:
    """Raise `InputError` for too few or too many segmenters or seeds, and for a segmenter that there is not."""
    for what, values in (("segmenters", given.segmenters), ("seeds", given.seeds)):
        several = suite.takes == what
        if (len(values) < 2) if several else (len(values) != 1):
            expected = "two or more, the first of them to compare with" if several else "one"
            remedy = f"repeat --{what[:-1]}" if several else f"name one --{what[:-1]}"
            raise InputError(f"suite {suite.name}: got {len(values)} {what}, expected {expected}; {remedy}")
    for name in given.segmenters:
        find_segmenter(name)


def _choose(suite: Suite, given: SuiteInput, kinds: Sequence[str], severities: Sequence[int]) -> list[Condition]:
    conditions = list(suite.conditions(given))
    known = list(dict.fromkeys(condition.kind for condition in conditions))
    for kind in kinds:
        if kind not in known:
            got = f"got condition {kind[:40]!r}, expected one of {', '.join(known)}"
            raise InputError(f"suite {suite.name}: {got}; correct it")
    known_degrees = sorted({each.severity for each in conditions if each.severity is not None})
    for degree in severities:
        if degree not in known_degrees:
            got = f"got severity {degree}, expected one of {', '.join(map(str, known_degrees)) or 'none'}"
            raise InputError(f"suite {suite.name}: {got}; correct it")
    return [
        each
        for each in conditions
        if (not kinds or each.kind in kinds) and (not severities or each.severity in (None, *severities))
    ]
