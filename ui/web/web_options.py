"""Options of a page's sessions."""

from dataclasses import dataclass, field
from pathlib import Path

from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.recorded_runs import RecordList

__all__ = ["EXPIRY", "WebOptions"]

EXPIRY = 24 * 3600.0
"""Seconds after which an unused session is deleted."""


@dataclass(frozen=True, slots=True)
class WebOptions:
    """What a page's sessions are made with.

    ``database``: of the sessions, None for a temporary one; ``keep``: folder of kept cases, None for none; ``roots``:
    further folders in which a record's picture may lie; ``runs``: recorded runs that every new session begins with;
    ``weak_on_scans``: the policy knows few kinds of real pictures, so that a scan is to be begun by hand;
    ``takes_examples``: so does the segmenter; ``cookie``: name of the owner's; ``expiry``: in seconds.
    """

    database: Path | None = None
    keep: Path | None = None
    roots: tuple[Path, ...] = ()
    runs: RecordList | None = None
    limits: Limits = field(default_factory=Limits)
    weak_on_scans: bool = False
    takes_examples: bool = False
    cookie: str = "ibisagent"
    expiry: float = EXPIRY
