"""Evaluators of recorded runs: structure against a reference run, budgets, clinical checks, a judge of reasoning."""

from ibisagent.evals.evaluators.adapters import graph_trajectory, openevals_evaluator
from ibisagent.evals.evaluators.assertions import assert_run
from ibisagent.evals.evaluators.judged_run import EvaluatorResult, JudgedRun, with_truth
from ibisagent.evals.evaluators.llm_judge import LLMJudge, Rubric, load_rubric
from ibisagent.evals.evaluators.node_path import node_path
from ibisagent.evals.evaluators.structure import MATCHES, TOLERANCE, diff_runs
from ibisagent.evals.evaluators.table import (
    EVALUATORS,
    Evaluator,
    judge_run,
    judge_with,
    open_evaluator,
    plain_evaluators,
)

__all__ = [
    "EVALUATORS",
    "MATCHES",
    "TOLERANCE",
    "Evaluator",
    "EvaluatorResult",
    "JudgedRun",
    "LLMJudge",
    "Rubric",
    "assert_run",
    "diff_runs",
    "graph_trajectory",
    "judge_run",
    "judge_with",
    "load_rubric",
    "node_path",
    "open_evaluator",
    "openevals_evaluator",
    "plain_evaluators",
    "with_truth",
]
