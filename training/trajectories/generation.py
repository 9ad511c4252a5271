"""Makes trajectories: cases distributed over processes, records written into shards; a killed run can be resumed.

Until it is finished the folder holds ``.rows.jsonl``, rows as they came, and ``settings.json``. At the end the kept
records lie in ``trajectories-00000.jsonl`` and so on, in the order of the cases, ``left-out.csv`` names the other
cases, and ``summary.json`` counts both.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from ibisagent.agent import LoopConfig, Policy, PolicyOptions, get_policy
from ibisagent.agent.policies.registry import find_policy, require_autonomous
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.jobs import jsonl
from ibisagent.tools.jobs.process_pool import map_unordered
from ibisagent.tools.jobs.run_settings import find_common_folder, record_settings
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.training.experts.expert import ExpertConfig
from ibisagent.training.experts.noisy_expert import MistakeRates
from ibisagent.training.trajectories.generation_worker import GenerationWorker, run_jobs
from ibisagent.training.trajectories.settings import (
    COLUMNS,
    Filters,
    GenerationJob,
    GenerationSettings,
    InitialMaskRates,
    OnRow,
    Row,
    build_row,
)
from ibisagent.training.trajectories.shards import SUMMARY, write_shards

__all__ = ["make_trajectories"]

_CASES_PER_UNIT = 16


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
    workers: int | None = None,
    on_row: OnRow | None = None,
) -> dict[str, Any]:
    """Run every case with an expert, or with ``mistakes`` a noisy one; write the folder ``out``, return its summary.

    ``reword``: the words of a request are drawn from `ibisagent.training.requests`, where the data set has none of its
    own. ``rationale_model``: a chat model, ``provider:model``, that writes the thoughts. ``policy``: drives the loop
    instead, errs by itself, and has each reply labelled with the expert's; by default its runs are kept however they
    end. Equal settings give equal files but for the seconds in them, whatever ``workers`` (processes, by default one a
    core); with others than those of ``out`` it is an `InputError`. A broken case is a row with its reason. ``on_row``
    is called with each new row. A policy that is no string is pickled.
    The processes import the script that calls this, which therefore needs ``if __name__ == "__main__":``.
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
    )
    _require_work(cases, settings, workers)
    rows = settings.out / ".rows.jsonl"
    recorded = settings.to_json() | {"segmenter": get_segmenter(segmenter).fingerprint}
    record_settings(rows, cases, find_common_folder(cases), **recorded)
    if not (settings.out / SUMMARY).exists():
        _run(cases, settings, rows, workers, on_row)
        write_shards(settings.out, rows, cases)
    rows.unlink(missing_ok=True)
    summary: dict[str, Any] = json.loads((settings.out / SUMMARY).read_text(encoding="utf-8"))
    return summary


def _require_work(cases: Sequence[Case], settings: GenerationSettings, workers: int | None) -> None:
    if workers is not None and workers < 1:
        raise InputError(f"got {workers} workers, expected 1 or more; leave them out for one a core")
    if not cases or len({case.id for case in cases}) < len(cases):
        raise InputError(f"got {len(cases)} cases, expected one or more, each id once; rename them")
    if settings.rationale_model is not None:
        from ibisagent.agent.policies.chat import build_chat_model

        build_chat_model(settings.rationale_model)
    if settings.policy is not None:
        _require_policy(settings, settings.policy)


def _require_policy(settings: GenerationSettings, policy: Policy | str) -> None:
    if settings.mistakes != MistakeRates():
        raise InputError("got mistakes and a policy, expected one of them: a policy errs by itself; leave one out")
    require_autonomous(policy)
    if not find_policy(policy).per_case:
        get_policy(policy, PolicyOptions(seed=settings.seed))


def _run(
    cases: Sequence[Case], settings: GenerationSettings, rows: Path, workers: int | None, on_row: OnRow | None
) -> None:
    jsonl.truncate_partial_line(rows)
    status = {row["id"]: row["status"] for _, row in jsonl.scan_rows(rows, COLUMNS)}
    done = {case.id for case in cases if status.get(case.id) in ("kept", "dropped")}  # a broken one is tried again
    count = len(done)
    with closing(
        map_unordered(
            partial(run_jobs, GenerationWorker(settings)), _group_cases(cases, done), workers, _build_killed_row
        )
    ) as batches:
        for batch in batches:
            jsonl.append_rows(rows, batch)
            for row in batch:
                count += 1
                if on_row is not None:
                    on_row(row, count, len(cases))


def _build_killed_row(job: GenerationJob, reason: str) -> Row:
    return build_row(job.case, "broken", reason)


def _group_cases(cases: Sequence[Case], done: set[str]) -> Iterator[list[GenerationJob]]:
    """Yield the unfinished cases grouped by picture, a few at a time."""
    pictures: dict[Any, list[Case]] = {}
    for case in cases:
        pictures.setdefault((case.image, case.slice, case.window), []).append(case)
    for some in pictures.values():
        left = [GenerationJob(case, tuple(some)) for case in some if case.id not in done]
        for first in range(0, len(left), _CASES_PER_UNIT):
            yield left[first : first + _CASES_PER_UNIT]
