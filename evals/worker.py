"""What a process of an evaluation does: all policies and segmenters on one case, whose picture it opens once."""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from ibisagent.agent import ImageStore, RunStore, build_graph
from ibisagent.agent.config import preset
from ibisagent.agent.privacy import restrict_to_local
from ibisagent.agent.state import Input
from ibisagent.agent.trajectory import Trajectory, build_trajectory, write_trajectory
from ibisagent.evals.initial_conditions import build_initial_input
from ibisagent.evals.metrics import case_metrics
from ibisagent.evals.rows import Row, EvalRun, broken_row, done_row
from ibisagent.evals.trajectories import trajectory_metrics
from ibisagent.evals.worker_state import UnsharedMemo, WorkerState, EvalSettings
from ibisagent.tools.datasets.names import is_safe_id
from ibisagent.tools.errors import IbisError, InputError
from ibisagent.tools.files import printable_text, describe_os_error
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.rle import decode
from ibisagent.tools.segmenters.memo import Memo

__all__ = ["evaluate_case"]


def evaluate_case(state: WorkerState, runs: Sequence[EvalRun]) -> list[Row]:
    """Run one case; whatever is wrong with it, a policy or a segmenter is a row, but a full disk an `InputError`."""
    case = runs[0].case
    with restrict_to_local(state.settings.local_only):
        try:
            image = case.open()
            truth = case.truth(image)
            given = build_initial_input(state.settings.start, state.settings.seed, case, runs[0].others, image, truth)
        except Exception as error:
            return [broken_row(run, _said(error, state.settings)) for run in runs]
        return [_row(state, run, image, truth, given) for run in runs]


def _row(desk: WorkerState, run: EvalRun, image: MedicalImage, truth: Mask, given: Input) -> Row:
    path = f"trajectories/{_file(run.policy)}/{_file(run.segmenter)}/{_file(run.case.id)}.json"
    target = desk.settings.out / path
    try:
        tool = desk.segmenter(run.segmenter)
        encoding = tool.encoding_seconds(image)
        record = _record(desk, run, image, truth, given, UnsharedMemo(tool), target.parent)
        metrics = case_metrics(decode(record.mask), truth, image.spacing)
        row = done_row(run, record, path, metrics, trajectory_metrics(record), encoding, desk.settings.start if given else None)
    except (Exception, SystemExit) as error:
        return broken_row(run, _said(error, desk.settings))
    _keep(target, record)
    return row


def _keep(path: Path, record: Trajectory) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "make room or choose another --out"
        raise InputError(f"{printable_text(path.parent)}: cannot be made ({describe_os_error(error)}); {remedy}") from error
    write_trajectory(path, record)


def _record(
    desk: WorkerState, run: EvalRun, image: MedicalImage, truth: Mask, given: Input, memo: Memo, folder: Path
) -> Trajectory:
    graph = build_graph(
        desk.policy(run.policy, run.case, truth),
        memo,
        preset(desk.settings.preset, max_steps=desk.settings.max_steps),
        images=ImageStore(),
        store=RunStore(),
    )
    ended = graph.invoke(given | Input(image=image, request=run.case.request))
    return build_trajectory(graph, ended, truth=truth, folder=folder)


def _said(error: BaseException, plan: EvalSettings) -> str:
    text = str(error) if isinstance(error, IbisError) else f"{type(error).__name__}: {error}"
    return text.replace(f"{plan.root}{os.sep}", "")


def _file(name: str) -> str:
    """Name a file or folder after anything.

    >>> _file("oracle"), _file("openai:any")
    ('oracle', 'openai-any-03e5d45a')
    """
    if is_safe_id(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9_+-]+', '-', name)[:100]}-{digest[:8]}"
