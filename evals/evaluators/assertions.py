"""The helper for a test: a run that scores less than it should fails it, with the reasons and a diff."""

from collections.abc import Mapping, Sequence

from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.evaluators.judged_run import EvaluatorResult
from ibisagent.evals.evaluators.structure import diff_runs
from ibisagent.evals.evaluators.table import judge_run
from ibisagent.tools.imaging.grids import Mask

__all__ = ["assert_run"]


def assert_run(
    record: Trajectory,
    evaluators: Mapping[str, float] | Sequence[str],
    *,
    reference: Trajectory | None = None,
    truth: Mask | None = None,
    target: str | None = None,
) -> dict[str, EvaluatorResult]:
    """Return the results by evaluator, or raise `AssertionError`, a line for each that fails and the diff of actions.

    ``evaluators``: names with the least score of each, or names alone, which have to score 1. One that does not apply,
    for want of a truth or a reference, fails: a test that checks nothing is no test.
    """
    least = dict(evaluators) if isinstance(evaluators, Mapping) else dict.fromkeys(evaluators, 1.0)
    found = judge_run(record, list(least), reference=reference, truth=truth, target=target)
    lines = [
        f"{name}: got {'no score' if each.score is None else f'{each.score:.3f}'}, expected {least[name]:g} or more: "
        f"{each.reason}"
        for name, each in found.items()
        if each.score is None or each.score < least[name]
    ]
    if lines and reference is not None:
        lines += ["actions against the reference (- missing, + added, ~ changed):", diff_runs(record, reference)]
    if lines:
        raise AssertionError("\n".join(lines))
    return found
