"""One-line errors of failed runs: what failed, why, and the remedy."""

from ibisagent.agent.stop_reasons import FAILURES
from ibisagent.tools.errors import RunFailed

__all__ = ["failure_line", "require_success"]

_REMEDIES = {
    "policy_error": "expected a reply; check that its model or server runs, or name another --policy",
    "segmenter_error": "expected a mask; check that its weights are whole and fit memory, or name another --segmenter",
    "store_error": "expected free disk space; free some, then run the same command again",
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
