"""Records of runs, changed for a test."""

from dataclasses import replace
from typing import Any

from ibisagent.agent.trajectory import Trajectory

__all__ = ["with_target"]


def with_target(record: Trajectory, **fields: Any) -> Trajectory:
    """Return the record with other fields of its active target."""
    targets = (replace(each, **fields) if each.name == record.active else each for each in record.targets)
    return replace(record, targets=tuple(targets))
