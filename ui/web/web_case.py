"""What the page needs of a session to go on with it in another process: plain values, kept in the ledger."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ibisagent.tools.masks.rle import Rle

__all__ = ["PendingJob", "WebCase"]


@dataclass(frozen=True, slots=True)
class PendingJob:
    """A job that was in progress when the process ended.

    ``policy_acts``: the policy goes on by itself; ``text``, ``kind``: of a request; ``newest``: the thread's newest
    checkpoint when the job began, None for none.
    """

    policy_acts: bool
    text: str | None = None
    kind: str = "segment"
    newest: str | None = None


@dataclass(frozen=True, slots=True)
class WebCase:
    """A session's picture and what was chosen for it.

    ``place``: of the picture, relative to the session's folder, "" before one is opened; ``records``: of recorded runs
    instead, a file or a folder; ``served``: these are the ones that the server was started with; ``chosen``: index of
    the one that is shown, None for none. ``slice``, ``window``: shown; ``title``: of an example; ``suggestion``: a
    request for it; ``manual_first``: clicking by hand is to be offered first. ``truths``: true masks by slice, "" where
    there are none. ``mask``: to begin the first request with, as ``prompts`` (plain forms), which are an experiment's.
    ``head``: checkpoint of the active branch, where it is not the newest, ``newest``. ``kept``: folders of kept cases,
    the last one of this picture if ``keeps``.
    """

    place: str = ""
    records: str = ""
    served: bool = False
    chosen: int | None = None
    slice: str | None = None
    window: str | None = None
    suggestion: str = ""
    manual_first: bool = False
    truths: dict[str, Rle] = field(default_factory=dict)
    mask: Rle | None = None
    prompts: tuple[dict[str, Any], ...] = ()
    head: str | None = None
    newest: str | None = None
    job: PendingJob | None = None
    kept: tuple[str, ...] = ()
    keeps: bool = False

    @property
    def reads(self) -> bool:
        """Whether recorded runs are read, and nothing can be run."""
        return self.served or bool(self.records)

    def truth_of(self, slice: str | None) -> Rle | None:
        """Return the true mask of a slice, None where none was given."""
        return self.truths.get(slice or "")

    def to_json(self) -> dict[str, Any]:
        """Return the plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "WebCase":
        """Read the plain values; unknown ones, of another version, are left out."""
        known = {each.name: data[each.name] for each in fields(cls) if each.name in data}
        for name in ("prompts", "kept"):
            known[name] = tuple(known.get(name, ()))
        if known.get("job"):
            known["job"] = PendingJob(**known["job"])
        return cls(**known)
