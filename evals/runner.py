"""Run the loop over a data set: cases spread over processes, finished rows kept, killed runs resumed.

The folder of a run holds ``rows.jsonl`` (rows as they came), ``settings.json`` (what they depend on),
``trajectories/<policy>/<segmenter>/<case>.json``, and in the end ``results.csv`` and ``summary.json``.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ibisagent.agent import Policy
from ibisagent.agent.config import preset as loop_settings
from ibisagent.agent.policies.registry import find_policy, require_autonomous
from ibisagent.agent.prompting import PromptSet
from ibisagent.agent.proposers import open_proposer
from ibisagent.evals.evaluators import open_evaluator
from ibisagent.evals.initial_conditions import NEEDS_OTHERS, STARTS
from ibisagent.evals.results import write_results
from ibisagent.evals.rows import COLUMNS, EvalRun, Key, Pair, broken_row, evaluator_columns, is_failed, row_key
from ibisagent.evals.worker import evaluate_case
from ibisagent.evals.worker_state import MODES, EvalSettings, WorkerState, build_policy
from ibisagent.tools.clicks import Similar
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.jobs.job_output import JobOutput
from ibisagent.tools.jobs.job_runner import Engine, OnRow, RowFile, run_jobs
from ibisagent.tools.jobs.process_pool import map_unordered
from ibisagent.tools.jobs.run_settings import find_common_folder, hash_cases, hash_json, to_relative_path
from ibisagent.tools.perturbations.click_jitter import ClickJitter
from ibisagent.tools.perturbations.picture_shifts import PictureShift
from ibisagent.tools.remote_folder import require_no_address
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.tools.segmenters.prompt_kinds import require_taken
from ibisagent.tools.segmenters.registry import find_segmenter, require_local_segmenter

__all__ = ["run_eval"]


def run_eval(
    cases: Sequence[Case],
    policies: Sequence[Policy | str],
    segmenters: Sequence[str],
    out: str | os.PathLike[str],
    *,
    max_steps: int = 20,
    start: str = "none",
    propose: str | None = None,
    preset: str = "default",
    mode: str = "point",
    seed: int = 0,
    workers: int | None = None,
    prompts: PromptSet | None = None,
    local_only: bool = False,
    evaluators: Sequence[str] = (),
    shift: PictureShift | None = None,
    jitter: ClickJitter | None = None,
    on_row: OnRow | None = None,
    engine: Engine = map_unordered,
) -> None:
    """Run every policy with every segmenter on every case and write the folder ``out``.

    ``start``: what runs begin from, one of `ibisagent.evals.initial_conditions.STARTS`, drawn from (seed, case id).
    ``propose``: the name of a proposer of initial masks, None for each policy's own, "none" for none.
    ``preset``: of the loop's settings (`ibisagent.agent.config.PRESETS`).
    ``mode``: one of `ibisagent.evals.worker_state.MODES`.
    ``evaluators``: names of those that judge every run (`ibisagent.evals.evaluators`), none against a reference run.
    ``shift``: of every picture with its true mask, ``jitter``: of every prompt that a policy gives; both are drawn from
    (seed, picture), and the shifted pictures are kept beside the trajectories.
    Equal settings give equal rows except for `VOLATILE`, and for what evaluators say of times or a model says,
    whatever ``workers`` (processes, by default one per core).
    Finished rows in ``out`` are not run again: settings other than those of ``out`` are an `InputError`, further
    policies and segmenters are added to the earlier ones. A broken case, or one that kills its process, is a row with
    the reason. ``on_row`` is called with each new row. ``engine``: what runs the processes
    (`ibisagent.tools.jobs.engines`). Policies that are not strings are pickled.
    The processes import the script that calls this, which therefore needs ``if __name__ == "__main__":``.
    """
    settings = EvalSettings(
        out=Path(os.path.abspath(out)),
        root=find_common_folder(cases),
        policies={each if isinstance(each, str) else each.name: each for each in policies},
        max_steps=loop_settings(preset, max_steps=max_steps).max_steps,
        seed=seed,
        prompts=prompts,
        local_only=local_only,
        start=start,
        propose=propose,
        preset=preset,
        mode=mode,
        evaluators=tuple(dict.fromkeys(evaluators)),
        shift=shift,
        jitter=jitter,
    )
    pairs = [(policy, name) for policy in settings.policies for name in dict.fromkeys(segmenters)]
    _require_valid(settings, cases, pairs)
    columns = (*COLUMNS, *evaluator_columns(settings.evaluators))
    rows = RowFile(settings.out / "rows.jsonl", columns, row_key, is_failed)
    known = run_jobs(
        _list_runs(settings, cases, pairs),
        partial(evaluate_case, WorkerState(settings)),
        rows,
        {"data": hash_cases(cases, settings.root), **_row_settings(settings, dict.fromkeys(segmenters))},
        on_crash=lambda run, reason: JobOutput(broken_row(run, reason, settings.evaluators), {}),
        group_by=lambda run: run.case.id,
        workers=workers,
        on_row=on_row,
        engine=engine,
    )
    names = list(known["policies"]), list(known["segmenters"])
    write_results(settings.out, rows.path, cases, *names, evaluators=settings.evaluators)


def _require_valid(settings: EvalSettings, cases: Sequence[Case], pairs: Sequence[Pair]) -> None:
    """Raise `InputError` for every fault that can be found before anything runs."""
    if not cases or not pairs:
        got = f"{len(cases)} cases and {len(pairs)} pairs of policy and segmenter"
        raise InputError(f"got {got}, expected one of each or more; name them")
    if len({case.id for case in cases}) < len(cases):
        raise InputError("got cases of equal ids, expected each id once; name them anew")
    for case in cases:
        if case.remote is not None:
            require_no_address(case.remote.address, settings.local_only)
    if settings.start not in STARTS:
        raise InputError(f"got start {settings.start[:40]!r}, expected one of {', '.join(STARTS)}; choose one")
    if settings.shift is not None and settings.start != "none":
        got = f"got shift {settings.shift} with start {settings.start}"
        raise InputError(f"{got}, expected one of both, as an initial mask is of the picture as it is; leave one out")
    if settings.mode not in MODES:
        raise InputError(f"got mode {settings.mode[:40]!r}, expected one of {', '.join(MODES)}; choose one")
    if settings.mode == "similar":
        for name in dict.fromkeys(segmenter for _, segmenter in pairs):
            require_taken([Similar(0.5, 0.5)], find_segmenter(name).prompts, name)
    if settings.local_only:
        for name in dict.fromkeys(segmenter for _, segmenter in pairs):
            require_local_segmenter(name)
    for evaluator in (open_evaluator(name, local_only=settings.local_only) for name in settings.evaluators):
        if "reference" in evaluator.needs:
            remedy = "judge the trajectories of this folder with `ibisagent trajectories judge --reference`"
            raise InputError(f"evaluator {evaluator.name!r}: got no reference run, expected one; {remedy}")
    if settings.propose is not None:
        open_proposer(settings.propose, None, settings.policy_options)
    for name, policy in settings.policies.items():
        require_autonomous(policy)
        if not find_policy(policy).per_case:
            build_policy(settings, name)


def _row_settings(settings: EvalSettings, segmenters: Iterable[str]) -> dict[str, Any]:
    """Return the settings on which rows depend: ``policies`` with the hash of each one's prompts, None without."""
    prompts = hash_json(asdict(settings.prompts)) if settings.prompts is not None else None
    return {
        "max_steps": settings.max_steps,
        "start": settings.start,
        "propose": settings.propose,
        "preset": settings.preset,
        "mode": settings.mode,
        "evaluators": list(settings.evaluators),
        "shift": None if settings.shift is None else str(settings.shift),
        "jitter": None if settings.jitter is None else str(settings.jitter),
        "seed": settings.seed,
        "policies": {
            name: prompts if find_policy(policy).uses_prompts else None for name, policy in settings.policies.items()
        },
        "segmenters": {name: get_segmenter(name).fingerprint for name in segmenters},
    }


def _list_runs(settings: EvalSettings, cases: Sequence[Case], pairs: Sequence[Pair]) -> dict[Key, EvalRun]:
    """Return every run by its key, those of one case together."""
    pictures: dict[Any, list[Case]] = {}
    if settings.start in NEEDS_OTHERS:
        for case in cases:
            pictures.setdefault(case.image_key, []).append(case)
    runs = dict[Key, EvalRun]()
    for case in cases:
        image = to_relative_path(settings.root, case.image)
        others = tuple(other for other in pictures.get(case.image_key, ()) if other.id != case.id)
        runs |= {(case.id, *pair): EvalRun(case, image, *pair, others) for pair in pairs}
    return runs
