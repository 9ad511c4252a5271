"""Makes trajectories: cases distributed over processes, records written into shards; a killed run can be resumed.

Until it is finished the folder holds ``.rows.jsonl``, rows as they came, and ``settings.json``. At the end the kept
records lie in ``trajectories-00000.jsonl`` and so on, in the order of the cases, ``left-out.csv`` names the other
cases, and ``summary.json`` counts both.
"""

import json
import os
from collections.abc import Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from ibisagent.agent import LoopConfig, Policy, PolicyOptions, get_policy
from ibisagent.agent.policies.registry import find_policy, require_autonomous
from ibisagent.agent.proposers import get_proposer
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.jobs.job_runner import Engine, OnRow, RowFile, run_jobs
from ibisagent.tools.jobs.process_pool import map_unordered
from ibisagent.tools.jobs.run_settings import find_common_folder, hash_cases
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.training.experts.expert import ExpertConfig
from ibisagent.training.experts.noisy_expert import MistakeRates
from ibisagent.training.trajectories.generation_worker import GenerationWorker, run_cases
from ibisagent.training.trajectories.settings import (
    COLUMNS,
    Filters,
    GenerationJob,
    GenerationSettings,
    InitialMaskRates,
    build_row,
)
from ibisagent.training.trajectories.shards import SUMMARY, write_shards

__all__ = ["make_trajectories"]

_CASES_PER_GROUP = 16


def make_trajectories(
    cases: Sequence[Case],
    out: str | os.PathLike[str],
    *,
    segmenter: str = "geocut",
    expert: ExpertConfig | None = None,
    mistakes: MistakeRates | None = None,
    initial_masks: InitialMaskRates | None = None,
    filters: Filters | None = None,
    reword: bool = True,
    max_steps: int = 6,
    seed: int = 0,
    rationale_model: str | None = None,
    policy: Policy | str | None = None,
    propose: str | None = None,
    workers: int | None = None,
    on_row: OnRow | None = None,
    engine: Engine = map_unordered,
) -> dict[str, Any]:
    """Run every case with an expert, or with ``mistakes`` a noisy one; write the folder ``out``, return its summary.

    ``reword``: the words of a request are drawn from `ibisagent.training.requests`, where the data set has none of its
    own. ``rationale_model``: a chat model, ``provider:model``, that writes the thoughts. ``policy``: drives the loop
    instead, errs by itself, and has each reply labelled with the expert's; by default its runs are kept however they
    end. ``propose``: the name of a proposer, whose mask begins the runs that ``initial_masks`` gives none; None is the
    policy's own, "none" none. Equal settings give equal files but for the seconds in them, whatever ``workers``
    (processes, by default one a core); with others than those of ``out`` it is an `InputError`. A broken case is a row
    with its reason. ``on_row`` is called with each new row; ``engine``: see `run_jobs`. A policy that is no string is
    pickled. The processes import the script that calls this, which therefore needs ``if __name__ == "__main__":``.
    """
    settings = GenerationSettings(
        out=Path(os.path.abspath(out)),
        segmenter=segmenter,
        expert=expert or ExpertConfig(),
        mistakes=mistakes or MistakeRates(),
        initial_masks=initial_masks or InitialMaskRates(),
        filters=filters or (Filters() if policy is None else Filters(min_dice=None)),
        reword=reword,
        max_steps=LoopConfig(max_steps=max_steps).max_steps,
        seed=seed,
        rationale_model=rationale_model,
        policy=policy,
        propose=propose,
    )
    _require_work(cases, settings)
    rows, finished = settings.out / ".rows.jsonl", (settings.out / SUMMARY).exists()
    depends_on = settings.to_json() | {"segmenter": get_segmenter(segmenter).fingerprint}
    run_jobs(
        {} if finished else _list_jobs(cases),
        partial(run_cases, GenerationWorker(settings)),
        RowFile(rows, COLUMNS, itemgetter("id"), lambda row: row["status"] == "broken"),
        {"data": hash_cases(cases, find_common_folder(cases)), **depends_on},
        on_crash=lambda job, reason: build_row(job.case, "broken", reason),
        group_by=lambda job: job.case.image_key,
        group_size=_CASES_PER_GROUP,
        workers=workers,
        on_row=on_row,
        engine=engine,
    )
    if not finished:
        write_shards(settings.out, rows, cases)
    rows.unlink(missing_ok=True)
    summary: dict[str, Any] = json.loads((settings.out / SUMMARY).read_text(encoding="utf-8"))
    return summary


def _require_work(cases: Sequence[Case], settings: GenerationSettings) -> None:
    if not cases or len({case.id for case in cases}) < len(cases):
        raise InputError(f"got {len(cases)} cases, expected one or more, each id once; rename them")
    if settings.rationale_model is not None:
        from ibisagent.agent.policies.chat import build_chat_model

        build_chat_model(settings.rationale_model)
    if settings.policy is not None:
        _require_policy(settings, settings.policy)
    if settings.propose is not None:
        get_proposer(settings.propose, None, PolicyOptions(seed=settings.seed))


def _require_policy(settings: GenerationSettings, policy: Policy | str) -> None:
    if settings.mistakes != MistakeRates():
        raise InputError("got mistakes and a policy, expected one of them: a policy errs by itself; leave one out")
    require_autonomous(policy)
    if not find_policy(policy).per_case:
        get_policy(policy, PolicyOptions(seed=settings.seed))


def _list_jobs(cases: Sequence[Case]) -> dict[str, GenerationJob]:
    """Return a job for each case, by its id."""
    pictures: dict[Any, list[Case]] = {}
    for case in cases:
        pictures.setdefault(case.image_key, []).append(case)
    together = {key: tuple(some) for key, some in pictures.items()}
    return {case.id: GenerationJob(case, together[case.image_key]) for case in cases}
