"""From stored values to what they mean: modality LUT or rescale, and which pixels are no picture at all."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ibisagent.tools.dicom.elements import items, numbers, readable
from ibisagent.tools.dicom.tables import table_of
from ibisagent.tools.grids import Mask

__all__ = ["completable", "completed", "padding_of", "rescaled"]

_PADDING = {"i": "", "u": "", "f4": "Float", "f8": "DoubleFloat"}
_OF_VALUES = (
    *("RescaleSlope", "RescaleIntercept"),
    *(f"{kind}PixelPadding{which}" for kind in ("", "Float", "DoubleFloat") for which in ("Value", "RangeLimit")),
)


def completable(heads: Sequence[Dataset]) -> dict[str, list[float]]:
    """Return what is unreadable in some planes' headers, and the same in all the others, by its element's name."""
    found: dict[str, list[float]] = {}
    for keyword in _OF_VALUES:
        values = [numbers(head, keyword) for head in heads]
        known = [value for value in values if value]
        lost = len(known) < len(values) and not all(readable(head, keyword) for head in heads)
        if lost and known and known.count(known[0]) == len(known):
            found[keyword] = known[0]
    return found


def completed(heads: Sequence[Dataset]) -> list[Dataset]:
    """Return the headers of one volume's planes, with what is `completable` put in: one scale holds for all of it."""
    found = completable(heads)
    return [_with(head, {name: value for name, value in found.items() if not readable(head, name)}) for head in heads]


def _with(head: Dataset, found: dict[str, list[float]]) -> Dataset:
    if not found:
        return head
    whole = Dataset()
    whole.update(head)
    for keyword, (value,) in found.items():
        whole.add_new(keyword, "FD", value)
    return whole


def rescaled(stored: NDArray[Any], head: Dataset) -> NDArray[Any]:
    """Apply the modality LUT, or the rescale slope and intercept, of which one alone counts as well (PS3.3 C.11.1)."""
    table = next((table_of(item, head) for item in items(head, "ModalityLUTSequence")), None)
    if table is not None:
        return table.applied(stored)
    slope, intercept = numbers(head, "RescaleSlope"), numbers(head, "RescaleIntercept")
    if not slope and not intercept:
        return stored
    values: NDArray[Any] = stored.astype(np.float64) * (slope or [1.0])[0] + (intercept or [0.0])[0]
    # Many writers add slope 1 and intercept 0, which says nothing and costs the type.
    return stored if stored.dtype == np.uint8 and np.array_equal(values, stored) else values


def padding_of(stored: NDArray[Any], head: Dataset) -> Mask:
    """Return where grey (rows, columns) stored values pad the picture out to its size (PS3.3 C.7.5.1.1.2).

    That is PixelPaddingValue, or all from there to PixelPaddingRangeLimit, whichever of the two is lower.
    """
    kind = _PADDING[stored.dtype.kind if stored.dtype.kind in "iu" else stored.dtype.str[1:]]
    value = numbers(head, f"{kind}PixelPaddingValue")
    if not value:
        return np.zeros(stored.shape, dtype=np.bool_)
    limit = numbers(head, f"{kind}PixelPaddingRangeLimit") or value
    low, high = sorted(_as_stored(number, stored.dtype) for number in (value[0], limit[0]))
    return np.asarray((stored >= low) & (stored <= high), dtype=np.bool_)


def _as_stored(number: float, dtype: np.dtype[Any]) -> float:
    """Read a number with the sign that stored pixels have, since writers give -2000 of 16 bits as 63536 as well."""
    if dtype.kind == "f":
        return float(np.asarray(number).astype(dtype))
    limits = np.iinfo(dtype)
    turn = 2**limits.bits
    return number + turn if number < limits.min else number - turn if number > limits.max else number
