"""Runs that failed, told in a line: what failed, what it said, and what can be done."""

from ibisagent.agent.state import FAILURES
from ibisagent.tools.errors import RunFailed

__all__ = ["failure_line", "require_success"]

_REMEDIES = {
    "policy_error": "expected a reply; see that its model or its server runs, or name another --policy",
    "segmenter_error": "expected a mask; see that its weights are whole and fit in memory, or name another --segmenter",
    "store_error": "expected room to write; make some, then give the same command again",
}


def failure_line(stop: str, error: str | None, policy: str, segmenter: str) -> str:
    """Return one line on a run that ended with one of `FAILURES`."""
    failed = {"policy_error": f"policy {policy}", "segmenter_error": f"segmenter {segmenter}"}.get(
        stop, "the run's store"
    )
    return f"{failed}: got {(error or 'no reason').rstrip('.')}, {_REMEDIES[stop]} ({stop})"


def require_success(stop: str | None, error: str | None, policy: str, segmenter: str) -> None:
    """Raise `RunFailed` for a run that ended with one of `FAILURES`."""
    if stop in FAILURES:
        raise RunFailed(failure_line(stop, error, policy, segmenter))
