"""Budgets of a run: 1 within the limit, beyond it the limit over what was spent.

Without a limit of its own an evaluator takes that of the run's settings; where these have none, it does not apply.
"""

from ibisagent.evals.evaluators.judged_run import EvaluatorResult, JudgedRun

__all__ = ["model_calls", "seconds", "steps", "tokens"]


def steps(run: JudgedRun, limit: float | None = None) -> EvaluatorResult:
    """Count the steps of every actor: prompts, undos, stops, and replies without an action."""
    return _judge("steps", len(run.record.steps), limit or run.record.config.get("max_steps"))


def seconds(run: JudgedRun, limit: float | None = None) -> EvaluatorResult:
    """Take the seconds spent in policy, segmenter and proposer."""
    return _judge("seconds", run.record.seconds, limit or run.record.config.get("max_seconds"))


def tokens(run: JudgedRun, limit: float | None = None) -> EvaluatorResult:
    """Count the tokens of all replies, prompt and output together; 0 for a policy that counts none."""
    return _judge("tokens", run.record.tokens, limit or run.record.config.get("max_tokens"))


def model_calls(run: JudgedRun, limit: float | None = None) -> EvaluatorResult:
    """Count the calls of the policy, the unparseable replies and a call that failed included."""
    made = run.metrics.turns + (run.record.stop == "policy_error")
    return _judge("model calls", made, limit or run.record.config.get("max_steps"))


def _judge(what: str, spent: float, limit: float | None) -> EvaluatorResult:
    if limit is None:
        return EvaluatorResult(None, f"{spent:g} {what}, no limit given")
    return EvaluatorResult(min(1.0, limit / spent) if spent else 1.0, f"{spent:.6g} {what} of {limit:g}")
