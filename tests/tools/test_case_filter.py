"""Parts of a data set by source and modality."""

from pathlib import Path

import pytest

from ibisagent.tools.datasets import Case
from ibisagent.tools.datasets.sampling import ALL_CASES, CaseFilter
from ibisagent.tools.errors import InputError

CASES = [
    Case(f"{source}-{modality}", Path("a.png"), None, None, "liver", modality=modality, source=source)
    for source in ("north", "south", "")
    for modality in ("CT", "MR")
]


@pytest.mark.parametrize(
    ("part", "taken"),
    [
        (ALL_CASES, [0, 1, 2, 3, 4, 5]),
        (CaseFilter(without=["south"]), [0, 1, 4, 5]),
        (CaseFilter(only=["south", ""]), [2, 3, 4, 5]),
        (CaseFilter(without_modality=["CT"]), [1, 3, 5]),
        (CaseFilter(only=["north"], only_modality=["MR"]), [1]),
        (CaseFilter(without=["north"], only_modality=["MR"]), [3, 5]),
    ],
)
def test_a_part_is_taken(part: CaseFilter, taken: list[int]) -> None:
    assert part.select(CASES) == [CASES[number] for number in taken]


def test_left_out_and_only_that_are_the_whole() -> None:
    left, only = CaseFilter(without=["north"]).select(CASES), CaseFilter(only=["north"]).select(CASES)
    assert sorted(case.id for case in left + only) == sorted(case.id for case in CASES)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (
            CaseFilter(without=["west"]),
            "got --without 'west', expected a source of the data: '', north, south; correct",
        ),
        (CaseFilter(only_modality=["US"]), "got --only-modality 'US', expected a modality of the data: CT, MR"),
        (CaseFilter(without_modality=["CT", "MR"]), "got none of 6 cases with --without-modality 'CT'"),
    ],
)
def test_a_name_that_no_case_has_is_refused(part: CaseFilter, said: str) -> None:
    with pytest.raises(InputError, match=said):
        part.select(CASES)
