"""A part of a data set's rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ibisagent.tools.datasets.case import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text

__all__ = ["ALL_CASES", "CaseFilter", "sample_evenly"]


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which rows to take, for leave-one-out: train ``without`` a source, evaluate on it ``only``.

    ``without``, ``only``: sources; ``without_modality``, ``only_modality``: modalities. Without any, all are taken.
    """

    without: Sequence[str] = ()
    only: Sequence[str] = ()
    without_modality: Sequence[str] = ()
    only_modality: Sequence[str] = ()

    def select(self, cases: Iterable[Case]) -> list[Case]:
        """Return the cases that are taken; `InputError` for a name that no case has, and where none is left."""
        given = list(cases)
        self.require_known(given)
        taken = [case for case in given if self.takes(case)]
        if given and not taken:
            raise InputError(f"got none of {len(given)} cases with {self}, expected some; leave out fewer")
        return taken

    def takes(self, case: Case) -> bool:
        """Whether a case is taken."""
        left_out = case.source in self.without or case.modality in self.without_modality
        wanted = case.source in (self.only or (case.source,)) and case.modality in (
            self.only_modality or (case.modality,)
        )
        return wanted and not left_out

    def require_known(self, cases: Sequence[Case]) -> None:
        """Raise `InputError` for a source or a modality that no case has."""
        for option, what, names in self._named():
            known = {getattr(case, what) for case in cases}
            for name in names:
                if name not in known:
                    listed = ", ".join(sorted(each or "''" for each in known))
                    raise InputError(
                        f"got {option} {printable_text(name)!r}, expected a {what} of the data: {listed}; correct it"
                    )

    def _named(self) -> list[tuple[str, str, Sequence[str]]]:
        return [
            ("--without", "source", self.without),
            ("--only", "source", self.only),
            ("--without-modality", "modality", self.without_modality),
            ("--only-modality", "modality", self.only_modality),
        ]

    def __str__(self) -> str:
        """Return the options that make it."""
        return " ".join(f"{option} {name!r}" for option, _, names in self._named() for name in names) or "no filter"


ALL_CASES = CaseFilter()


def sample_evenly(cases: list[Case], limit: int | None) -> list[Case]:
    """Return ``limit`` cases, evenly spaced over all; all of them for None and where there are no more."""
    if limit is None or limit >= len(cases):
        return cases
    if limit < 1:
        raise InputError(f"got limit={limit}, expected a number of cases from 1 up; raise it or leave it out")
    return [cases[index * len(cases) // limit] for index in range(limit)]
