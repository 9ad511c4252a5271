"""Cases spread over processes and their records into shards; a killed run is taken up where it was.

While it is made the folder holds ``.rows.jsonl``, rows as they came, and ``settings.json``. At the end the kept records
lie in ``trajectories-00000.jsonl`` and so on, in the order of the cases, ``left-out.csv`` names the other cases, and
``summary.json`` counts both.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from ibisagent.agent import LoopConfig, Policy, get_policy
from ibisagent.agent.policies import PER_CASE
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.jobs import jsonl
from ibisagent.tools.jobs.process_pool import spread
from ibisagent.tools.jobs.run_settings import keep_settings, root_of
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.training.experts.expert import Lesson
from ibisagent.training.experts.noisy_expert import Mistakes
from ibisagent.training.trajectories.generation_worker import Maker, work
from ibisagent.training.trajectories.settings import COLUMNS, Filters, Job, OnRow, Plan, Row, Starts, row_of
from ibisagent.training.trajectories.shards import SUMMARY, write_shards

__all__ = ["make_trajectories"]

_UNIT = 16


def make_trajectories(
    cases: Sequence[Case],
    out: str | os.PathLike[str],
    *,
    segmenter: str = "geocut",
    lesson: Lesson | None = None,
    mistakes: Mistakes | None = None,
    starts: Starts | None = None,
    filters: Filters | None = None,
    reword: bool = True,
    max_steps: int = 6,
    seed: int = 0,
    teacher: str | None = None,
    policy: Policy | str | None = None,
    workers: int | None = None,
    on_row: OnRow | None = None,
) -> dict[str, Any]:
    """Let a teacher, or with ``mistakes`` a learner, run every case; write the folder ``out`` and give its summary.

    ``reword``: the words of a request are drawn from `ibisagent.training.requests`, where the data set has none of its
    own. ``teacher``: a chat model, ``provider:model``, that writes the thoughts. ``policy``: drives the loop instead,
    errs by itself, and has each reply labelled with the teacher's; by default its runs are kept however they end.
    Equal settings give equal files but for the seconds in them, whatever ``workers`` (processes, by default one a
    core); with others than those of ``out`` it is an `InputError`. A broken case is a row with its reason. ``on_row``
    is told of each new row. A policy that is no string is pickled.
    The processes import the script that calls this, which therefore needs ``if __name__ == "__main__":``.
    """
    plan = Plan(
        out=Path(os.path.abspath(out)),
        segmenter=segmenter,
        lesson=lesson or Lesson(),
        mistakes=mistakes or Mistakes(),
        starts=starts or Starts(),
        filters=filters or (Filters() if policy is None else Filters(dice=None)),
        reword=reword,
        max_steps=LoopConfig(max_steps=max_steps).max_steps,
        seed=seed,
        teacher=teacher,
        policy=policy,
    )
    _require_work(cases, plan, workers)
    rows = plan.out / ".rows.jsonl"
    told = plan.told() | {"segmenter": get_segmenter(segmenter).fingerprint}
    keep_settings(rows, cases, root_of(cases), **told)
    if not (plan.out / SUMMARY).exists():
        _run(cases, plan, rows, workers, on_row)
        write_shards(plan.out, rows, cases)
    rows.unlink(missing_ok=True)
    summary: dict[str, Any] = json.loads((plan.out / SUMMARY).read_text(encoding="utf-8"))
    return summary


def _require_work(cases: Sequence[Case], plan: Plan, workers: int | None) -> None:
    if workers is not None and workers < 1:
        raise InputError(f"got {workers} workers, expected 1 or more; leave them out for one a core")
    if not cases or len({case.id for case in cases}) < len(cases):
        raise InputError(f"got {len(cases)} cases, expected one or more, each id once; name them anew")
    if plan.teacher is not None:
        from ibisagent.agent.policies.chat import chat_model

        chat_model(plan.teacher)
    if plan.policy is not None:
        _require_policy(plan, plan.policy)


def _require_policy(plan: Plan, policy: Policy | str) -> None:
    if plan.mistakes != Mistakes():
        raise InputError("got mistakes and a policy, expected one of them: a policy errs by itself; leave one out")
    if policy == "person":
        raise InputError("policy 'person': got one that asks, expected one that acts alone; use `ibisagent segment`")
    if policy not in PER_CASE:
        get_policy(policy, seed=plan.seed)


def _run(cases: Sequence[Case], plan: Plan, rows: Path, workers: int | None, on_row: OnRow | None) -> None:
    jsonl.mend(rows)
    status = {row["id"]: row["status"] for _, row in jsonl.rows_in(rows, COLUMNS)}
    done = {case.id for case in cases if status.get(case.id) in ("kept", "dropped")}  # a broken one gets another try
    count = len(done)
    with closing(spread(partial(work, Maker(plan)), _units(cases, done), workers, _died)) as batches:
        for batch in batches:
            jsonl.append(rows, batch)
            for row in batch:
                count += 1
                if on_row is not None:
                    on_row(row, count, len(cases))


def _died(job: Job, reason: str) -> Row:
    return row_of(job.case, "broken", reason)


def _units(cases: Sequence[Case], done: set[str]) -> Iterator[list[Job]]:
    """Group what is left by its picture, a few cases at a time."""
    pictures: dict[Any, list[Case]] = {}
    for case in cases:
        pictures.setdefault((case.image, case.slice, case.window), []).append(case)
    for some in pictures.values():
        left = [Job(case, tuple(some)) for case in some if case.id not in done]
        for first in range(0, len(left), _UNIT):
            yield left[first : first + _UNIT]
