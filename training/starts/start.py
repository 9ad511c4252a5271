"""A start: a recorded state at which an episode begins; a file holds one a line."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, describe_os_error, printable_text

__all__ = ["Start", "read_starts", "write_starts"]

VERSION = 1


@dataclass(frozen=True, slots=True)
class Start:
    """A state of a recorded run in which the policy is to reply.

    ``source``: the record or the thread that it is of; ``step``: number of that run's steps before it; ``why``: the
    reason, one of `ibisagent.training.starts.mining.REASONS`. ``record``: the run up to there, with its truth
    (`ibisagent.agent.record_parts.first_steps`); its image's path is relative to the file of the start.
    """

    source: str
    step: int
    why: str
    record: Trajectory

    @property
    def image_sha(self) -> str:
        """The content hash of the picture."""
        return str(self.record.image["sha"])

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        plain = {"source": self.source, "step": self.step, "why": self.why}
        return {"start": VERSION, **plain, "record": self.record.to_json()}

    @classmethod
    def from_json(cls, data: Any) -> "Start":
        """Read a JSON object; `InputError` describes what is wrong with it."""
        if not isinstance(data, dict) or data.get("start") != VERSION:
            raise InputError(f"got no start of version {VERSION}; write the file anew by `ibisagent starts mine`")
        record = Trajectory.from_json(data.get("record"))
        names, step = [data.get(name) for name in ("source", "why")], data.get("step")
        if not all(isinstance(name, str) for name in names) or not isinstance(step, int):
            raise InputError("got a start without source, step and why; write the file anew by `ibisagent starts mine`")
        if record.truth is None or record.stop is not None or not isinstance(record.image.get("sha"), str):
            raise InputError("got a start without a truth, or of a run that has ended; mine it anew")
        return cls(str(names[0]), step, str(names[1]), record)


def write_starts(path: str | os.PathLike[str], starts: Sequence[Start]) -> None:
    """Write a ``.jsonl`` of starts, whole or not at all."""
    with atomic_write(Path(path)) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(start.to_json()) + "\n" for start in starts)


def read_starts(path: str | os.PathLike[str]) -> list[Start]:
    """Read the starts of a file; `InputError` names the line that is none, and an empty file."""
    name, starts = printable_text(path), list[Start]()
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        reason = describe_os_error(error) if isinstance(error, OSError) else "it is no text"
        expected = "expected a file that `ibisagent starts mine` wrote; check the path"
        raise InputError(f"{name}: got nothing that can be read ({reason}), {expected}") from error
    for number, line in enumerate(lines, 1):
        try:
            starts.append(Start.from_json(json.loads(line)))
        except (InputError, ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, InputError) else "got no JSON; write the file anew"
            raise InputError(f"{name}, line {number}: {reason}") from error
    if not starts:
        raise InputError(f"{name}: got no start, expected one a line; mine other runs")
    return starts
