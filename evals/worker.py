"""The work of one evaluation process: all policies and segmenters on one case, whose picture is opened once."""

import hashlib
import os
import re
from collections.abc import Sequence

import numpy as np

from ibisagent.agent import ImageStore, RunStore, build_graph
from ibisagent.agent.episode import run_episode
from ibisagent.agent.privacy import restrict_to_local
from ibisagent.agent.state import Input
from ibisagent.agent.stores import kept_png
from ibisagent.agent.trajectory import Trajectory
from ibisagent.agent.trajectory_files import format_trajectory
from ibisagent.evals.evaluators import JudgedRun, judge_with
from ibisagent.evals.initial_conditions import build_initial_input
from ibisagent.evals.metrics import case_metrics, instance_metrics
from ibisagent.evals.rows import EvalRun, broken_row, done_row, evaluator_values
from ibisagent.evals.trajectories import trajectory_metrics
from ibisagent.evals.worker_state import UnsharedMemo, WorkerState
from ibisagent.tools.datasets.names import is_safe_id
from ibisagent.tools.errors import describe_error
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.jobs.job_output import JobOutput
from ibisagent.tools.jobs.run_settings import case_seed
from ibisagent.tools.masks.instances import instances
from ibisagent.tools.masks.rle import decode
from ibisagent.tools.perturbations.picture_shifts import shift_picture
from ibisagent.tools.segmenters.memo import Memo

__all__ = ["evaluate_case", "safe_name"]


def evaluate_case(state: WorkerState, runs: Sequence[EvalRun]) -> list[JobOutput]:
    """Run one case: a row for each run with its record, and the picture where it has no file of its own.

    Any fault of the case, a policy or a segmenter is a row without files.
    """
    case = runs[0].case
    with restrict_to_local(state.settings.local_only):
        try:
            image = case.open()
            truth = case.read_truth(image)
            if state.settings.shift is not None:
                rng = np.random.default_rng(case_seed(state.settings.seed, f"shift of {runs[0].image}"))
                image, truth = shift_picture(image, truth, state.settings.shift, rng)
            initial = build_initial_input(state.settings.start, state.settings.seed, case, runs[0].others, image, truth)
        except Exception as error:
            return [_broken_row(state, run, error) for run in runs]
        return [_evaluate(state, run, image, truth, initial) for run in runs]


def _evaluate(state: WorkerState, run: EvalRun, image: MedicalImage, truth: Mask, initial: Input) -> JobOutput:
    folder = f"trajectories/{safe_name(run.policy)}/{safe_name(run.segmenter)}"
    path = f"{folder}/{safe_name(run.case.id)}.json"
    try:
        loaded = state.segmenter(run.segmenter)
        encoding = loaded.encoding_seconds(image)
        record = _run_graph(state, run, image, truth, initial, UnsharedMemo(loaded), folder)
        mask = decode(record.mask)
        metrics = case_metrics(mask, truth, image.spacing)
        found = instance_metrics(instances(mask), instances(truth))
        row = done_row(
            run,
            record,
            path,
            metrics,
            found,
            trajectory_metrics(record),
            encoding,
            state.settings.start if initial else None,
        ) | evaluator_values(judge_with(JudgedRun(record, target=run.case.target), state.evaluators))
    except (Exception, SystemExit) as error:
        return _broken_row(state, run, error)
    picture = {} if image.uri is not None else {f"{folder}/{image.sha}.png": kept_png(image)}
    return JobOutput(row, picture | {path: format_trajectory(record).encode()})


def _run_graph(
    state: WorkerState, run: EvalRun, image: MedicalImage, truth: Mask, initial: Input, memo: Memo, folder: str
) -> Trajectory:
    policy = state.policy(run.policy, run.case, truth)
    graph = build_graph(
        policy,
        memo,
        state.settings.loop_config,
        proposer=state.proposer(policy),
        images=ImageStore(),
        store=RunStore(),
    )
    given = initial | Input(image=image, request=run.case.request)
    return run_episode(graph, given, truth=truth, folder=state.settings.out / folder)


def _broken_row(state: WorkerState, run: EvalRun, error: BaseException) -> JobOutput:
    reason = describe_error(error).replace(f"{state.settings.root}{os.sep}", "")
    return JobOutput(broken_row(run, reason, state.settings.evaluators), {})


def safe_name(name: str) -> str:
    """Return a safe file or folder name for any name.

    >>> safe_name("oracle"), safe_name("openai:any")
    ('oracle', 'openai-any-03e5d45a')
    """
    if is_safe_id(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9_+-]+', '-', name)[:100]}-{digest[:8]}"
