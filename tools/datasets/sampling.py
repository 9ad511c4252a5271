"""A part of a data set's rows."""

from ibisagent.tools.datasets.case import Case
from ibisagent.tools.errors import InputError

__all__ = ["sample_evenly"]


def sample_evenly(cases: list[Case], limit: int | None) -> list[Case]:
    """Return ``limit`` cases, evenly spaced over all; all of them for None and where there are no more."""
    if limit is None or limit >= len(cases):
        return cases
    if limit < 1:
        raise InputError(f"got limit={limit}, expected a number of cases from 1 up; raise it or leave it out")
    return [cases[index * len(cases) // limit] for index in range(limit)]
