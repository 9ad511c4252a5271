"""Files of trajectories: ``.json`` holds one, ``.jsonl`` one a line."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, describe_os_error

__all__ = ["format_trajectory", "read_trajectories", "write_trajectory"]


def format_trajectory(record: Trajectory) -> str:
    """Return one record as the text of its ``.json`` file."""
    return json.dumps(record.to_json(), indent=1)


def write_trajectory(path: str | os.PathLike[str], record: Trajectory) -> None:
    """Write one record as ``.json``, whole or not at all."""
    with atomic_write(Path(path)) as temporary:
        temporary.write_text(format_trajectory(record), encoding="utf-8")


def _describe_read_error(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"nothing that can be read ({describe_os_error(error)})"
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON ({error})"
    return "JSON nested too deep" if isinstance(error, RecursionError) else "data that is no text"


def read_trajectories(path: str | os.PathLike[str]) -> Iterator[Trajectory]:
    """Read the records of a ``.json`` (one object) or ``.jsonl`` (one a line) file."""
    name = Path(path).name
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        lines = [line for line in text.splitlines() if line.strip()] if Path(path).suffix == ".jsonl" else [text]
        objects = [json.loads(line) for line in lines]
    except (OSError, ValueError, RecursionError) as error:
        expected = "expected the .json or .jsonl of a trajectory; name one"
        got = _describe_read_error(error)
        raise InputError(f"{name}: not a readable trajectory file: got {got}, {expected}") from error
    for number, data in enumerate(objects, 1):
        try:
            yield Trajectory.from_json(data)
        except InputError as error:
            raise InputError(f"{name}, record {number}: {error}") from error
