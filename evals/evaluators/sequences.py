"""How alike two sequences are, where items can be alike in part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

__all__ = ["AlignedPair", "Alike", "Overlap", "align", "compare_sequences", "equal_items"]

Item = TypeVar("Item")
Alike = Callable[[Item, Item], float]
"""Of two items: 1 for equal ones, 0 for ones that have nothing in common; symmetric."""


def equal_items(one: object, other: object) -> float:
    """Return 1 for equal items, else 0."""
    return float(one == other)


class AlignedPair(NamedTuple, Generic[Item]):
    """An item of the one sequence and one of the other that stand for each other; None where there is none."""

    own: Item | None
    other: Item | None
    alike: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two sequences of ``own`` and ``other`` items.

    ``edits``: the smallest number of insertions, deletions and changes between them, a change counted by how unlike the
    two items are; ``in_order``: the longest common subsequence, each pair counted by how alike it is; ``in_any_order``:
    the same for the best assignment of items to items, whatever their order.
    """

    own: int
    other: int
    edits: float
    in_order: float
    in_any_order: float


def compare_sequences(own: Sequence[Item], other: Sequence[Item], alike: Alike[Item]) -> Overlap:
    """Compare two sequences.

    >>> compare_sequences("abcd", "abd", equal_items)
    Overlap(own=4, other=3, edits=1.0, in_order=3.0, in_any_order=3.0)
    """
    table = _table(own, other, alike)
    edits, in_order = _edit_costs(table)[-1][-1], _longest_common(table)
    rows, columns = linear_sum_assignment(table, maximize=True) if table.size else ((), ())
    return Overlap(len(own), len(other), edits, in_order, float(sum(table[rows, columns])))


def align(own: Sequence[Item], other: Sequence[Item], alike: Alike[Item]) -> list[AlignedPair[Item]]:
    """Align two sequences by their smallest number of edits; ties are broken towards pairs."""
    table = _table(own, other, alike)
    costs, pairs = _edit_costs(table), list[AlignedPair[Item]]()
    row, column = len(own), len(other)
    while row or column:
        here = costs[row][column]
        value = float(table[row - 1, column - 1]) if row and column else 0.0
        if row and column and value > 0 and here == costs[row - 1][column - 1] + 1 - value:
            row, column = row - 1, column - 1
            pairs.append(AlignedPair(own[row], other[column], value))
        elif column and here == costs[row][column - 1] + 1:
            column -= 1
            pairs.append(AlignedPair(None, other[column], 0.0))
        elif row and here == costs[row - 1][column] + 1:
            row -= 1
            pairs.append(AlignedPair(own[row], None, 0.0))
        else:
            row, column = row - 1, column - 1
            pairs.append(AlignedPair(own[row], other[column], value))
    return pairs[::-1]


def _table(own: Sequence[Item], other: Sequence[Item], alike: Alike[Item]) -> NDArray[np.float64]:
    return np.array([[alike(one, two) for two in other] for one in own], np.float64).reshape(len(own), len(other))


def _edit_costs(table: NDArray[np.float64]) -> list[list[float]]:
    costs = [[float(column) for column in range(table.shape[1] + 1)]]
    for number, values in enumerate(table.tolist(), 1):
        above, row = costs[-1], [float(number)]
        for column, value in enumerate(values):
            row.append(min(row[-1] + 1, above[column + 1] + 1, above[column] + 1 - value))
        costs.append(row)
    return costs


def _longest_common(table: NDArray[np.float64]) -> float:
    above = [0.0] * (table.shape[1] + 1)
    for values in table.tolist():
        row = [0.0]
        for column, value in enumerate(values):
            row.append(max(row[-1], above[column + 1], above[column] + value))
        above = row
    return above[-1]
